"""The documents: links lead somewhere, commands exist, the worked examples run, and every part is listed."""
import re
from pathlib import Path

import mmengine.registry
import mmpose.registry
import numpy as np
import pytest
import torch
import yaml
from mmengine.config import Config
from mmengine.registry import Registry
from mmpose.registry import MODELS

from clamp_mmpose.testing import pack_batch, shrink_model
from clamp_mmpose.tools.cli import COMMANDS

ROOT = Path(__file__).resolve().parents[1]
README = (ROOT / 'README.md').read_text(encoding='utf-8')
DOCUMENTS = sorted([*ROOT.glob('*.md'), *ROOT.glob('docs/**/*.md'), *ROOT.glob('configs/**/*.md')])
EXAMPLES = dict(re.findall(r'<!-- example: (\w+) -->\n```python\n(.*?)```', README, re.DOTALL))
CONFIGS = sorted(path.relative_to(ROOT).as_posix() for path in ROOT.glob('configs/[!_]*/*.py'))


def headings(document):
    """The anchors of a document, as GitHub names them."""
    titles = re.findall(r'^#+ (.+)$', document.read_text(encoding='utf-8'), re.MULTILINE)
    return {re.sub(r'[^\w\- ]', '', title.lower()).replace(' ', '-') for title in titles}


@pytest.mark.parametrize('document', DOCUMENTS, ids=lambda path: path.relative_to(ROOT).as_posix())
def test_links_lead_to_files_and_headings(document):
    for link in re.findall(r'\]\(([^)\s]+)\)', document.read_text(encoding='utf-8')):
        if link.startswith(('http://', 'https://')):
            continue
        path, _, anchor = link.partition('#')
        target = (document.parent / path).resolve() if path else document
        assert target.exists(), f'{link} leads nowhere'
        assert not anchor or anchor in headings(target), f'{link} names no heading'


@pytest.mark.parametrize('document', DOCUMENTS, ids=lambda path: path.relative_to(ROOT).as_posix())
def test_commands_exist(document):
    text = document.read_text(encoding='utf-8')
    targets = set(re.findall(r'^([a-z-]+):', (ROOT / 'Makefile').read_text(encoding='utf-8'), re.MULTILINE))
    assert set(re.findall(r'(?:`|^)make ([a-z-]+)', text, re.MULTILINE)) <= targets
    assert set(re.findall(r'(?:`|^)clamp-mmpose ([a-z-]+)', text, re.MULTILINE)) <= set(COMMANDS)
    for config in re.findall(r'configs/\w+/[\w.-]+\.py', text):
        assert (ROOT / config).exists()


def registered_parts():
    """The names under which this package registers anything, in MMPose's registries and MMEngine's."""
    registries = [
        value for module in (mmpose.registry, mmengine.registry) for value in vars(module).values()
        if isinstance(value, Registry)
    ]
    return {
        name
        for registry in registries for name, part in registry.module_dict.items()
        if getattr(part, '__module__', '').startswith('clamp_mmpose')
    }


def test_every_registered_part_is_listed():
    listed = set(re.findall(r'`(\w+)`', '\n'.join(re.findall(r'^\|.*', README, re.MULTILINE))))
    parts = registered_parts()
    assert 'CLAMPHead' in parts and 'CLIPPretrained' in parts
    assert parts <= listed


def test_parts_are_linked_to_the_file_that_has_them():
    for names, path in re.findall(r'\[(`\w+`(?:, `\w+`)*)\]\((clamp_mmpose/[^)]+\.py)\)', README):
        source = (ROOT / path).read_text(encoding='utf-8')
        for name in re.findall(r'\w+', names):
            assert re.search(rf'^(class|def) {name}\b', source, re.MULTILINE), f'{name} is not in {path}'


@pytest.mark.parametrize('name', ['backbone', 'neck', 'denseclip'])
def test_worked_examples_train_and_predict(name, tmp_path):
    path = tmp_path / f'{name}.py'
    path.write_text(EXAMPLES[name])
    config = Config.fromfile(path)
    num_keypoints = config.model.head.out_channels
    model = MODELS.build(shrink_model(config.model))
    batch = pack_batch(config.codec, num_keypoints)
    losses = model(**model.data_preprocessor(batch, True), mode='loss')
    losses['loss_kpt'].backward()
    assert torch.isfinite(losses['loss_kpt']) and losses['loss_kpt'] > 0
    with torch.no_grad():
        samples = model.eval()(**model.data_preprocessor(batch, False), mode='predict')
    assert samples[0].pred_instances.keypoints.shape == (1, num_keypoints, 2)
    assert np.isfinite(samples[0].pred_instances.keypoints).all()


def test_the_neck_example_gives_the_head_score_maps(tmp_path):
    path = tmp_path / 'neck.py'
    path.write_text(EXAMPLES['neck'])
    config = Config.fromfile(path)
    model = MODELS.build(shrink_model(config.model))
    assert list(model.neck.keypoint_names) == config.keypoint_names
    feats = model.extract_feat(torch.zeros(1, 3, 256, 256))
    assert feats[-1].shape[1] == model.head.in_channels
    torch.testing.assert_close(feats[-1][:, -len(config.keypoint_names):], feats.score_map)


@pytest.fixture(scope='module')
def model_index():
    """The entries of every metafile that the model index imports."""
    imports = yaml.safe_load((ROOT / 'model-index.yml').read_text(encoding='utf-8'))['Import']
    files = [yaml.safe_load((ROOT / path).read_text(encoding='utf-8')) for path in imports]
    return {key: [entry for file in files for entry in file[key]] for key in ('Collections', 'Models')}


def test_model_index_lists_every_config_once(model_index):
    assert sorted(model['Config'] for model in model_index['Models']) == CONFIGS
    for model in model_index['Models']:
        assert model['Name'] == Path(model['Config']).stem
        assert {'Training Data', 'Paper Result', 'Our Result'} <= set(model['Metadata'])


def test_collections_are_declared_and_described(model_index):
    declared = {collection['Name']: collection for collection in model_index['Collections']}
    assert {model['In Collection'] for model in model_index['Models']} == set(declared)
    for collection in declared.values():
        assert (ROOT / collection['README']).exists()


def test_mim_reads_the_model_index(model_index, monkeypatch):
    search = pytest.importorskip('mim.commands.search')
    from modelindex.load_model_index import load
    monkeypatch.chdir(ROOT)
    table = search.convert2df(load('model-index.yml'))
    assert len(table) == len(CONFIGS)
    found = search.filter_by_training_datasets(search.filter_by_models(table, ['clamp']), ['ap-10k'])
    assert 'clamp_rn50_4xb32-210e_ap10k-256x256' in found.index
    assert len(search.filter_by_conditions(table, 'epochs>100')) == sum(
        int(re.search(r'-(\d+)e_', name).group(1)) > 100 for name in CONFIGS)


def paper_rows(model):
    """The rows of the paper that a model stands for: (name or None, AP as the table prints it or None)."""
    result = model['Metadata']['Paper Result']
    if isinstance(result, dict):
        return [(name, '-' if metrics['AP'] is None else str(metrics['AP'])) for name, metrics in result.items()]
    value = re.search(r'AP (\d+\.\d)', result)
    return [] if result.startswith('none') else [(None, value and value.group(1))]


def test_method_readme_has_a_row_for_every_row_of_the_paper(model_index):
    for model in model_index['Models']:
        method = ROOT / Path(model['Config']).parent
        if method.name == 'lofr':  # several datasets and metrics: tests/configs/test_lofr_configs.py compares its rows
            continue
        linked = [line for line in (method / 'README.md').read_text(encoding='utf-8').splitlines()
                  if f']({Path(model["Config"]).name})' in line and line.startswith('|')]
        named = paper_rows(model)
        if named:
            assert len(linked) == len(named), model['Name']
        for name, value in named:
            (row, ) = [line for line in linked if name is None or line.startswith(f'| {name} |')]
            assert value is None or f'| {value} |' in row
            assert f"| {model['Metadata']['Our Result']} |" in row


def test_the_rows_of_a_paper_have_distinct_names_and_plausible_values(model_index):
    rows = []
    for model in model_index['Models']:
        result = model['Metadata']['Paper Result']
        rows += result.items() if isinstance(result, dict) else []
    names = [name for name, _ in rows]
    assert len(names) == len(set(names)) > 50
    known = {'AP', 'AP50', 'AP75', 'APM', 'APL', 'AR', 'Parameters (M)', 'GFLOPs', 'AP medium', 'AP hard'}
    for name, metrics in rows:
        if 'PCKh@0.5' in metrics:
            continue
        if 'PCKh' in name or 'mean response' in name:  # of each joint
            assert {'Shoulder', 'Elbow', 'Wrist', 'Hip', 'Knee', 'Ankle'} < set(metrics), name
            continue
        assert set(metrics) <= known and 'AP' in metrics, name
        if 'AP75' in metrics:
            assert metrics['AP75'] < metrics['AP50'] and metrics['AP'] < metrics['AP50'], name
            if 'LOFR' not in name and 'category-label' not in name:  # whose tables 1 and 3 have no AR
                assert metrics['AP'] < metrics['AR'], name

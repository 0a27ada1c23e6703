"""The command: what it writes, what it says of every tensor, and what it refuses."""
import re

import pytest
import torch
from mim_runs import mim
from mmengine.config import Config
from mmengine.registry import MODELS
from oracles.released_clamp import AP10K_NAMES
from oracles.released_configs import released_config
from oracles.released_files import TINY_RN, TINY_VIT, make_released_clamp, save_released

from clamp_mmpose.checkpoint.safe_loading import safe_load
from clamp_mmpose.datasets.toy import make_toy_dataset
from clamp_mmpose.tools.cli import main


@pytest.fixture(scope='module')
def made(tmp_path_factory):
    """A random released checkpoint and the config for it, as files."""
    folder = tmp_path_factory.mktemp('released')
    files = {}
    for kind, sizes in (('vit', TINY_VIT), ('resnet', TINY_RN)):
        released_config(sizes).dump(folder / f'{kind}.py')
        save_released(make_released_clamp(sizes), folder / f'{kind}.pth')
        files[kind] = folder / f'{kind}.pth', folder / f'{kind}.py'
    return files


@pytest.fixture
def convert(made, tmp_path, capsys):
    """Runs the command; returns its status, its output and its errors. ``edit`` changes the tensors before."""

    def run(*arguments, kind='vit', source=None, edit=None, out=None, names=None):
        path, config = made[kind]
        if names is not None:
            config = tmp_path / 'names.py'
            cfg = Config.fromfile(made[kind][1])
            cfg.model.neck.keypoint_names = names
            cfg.dump(config)
        if edit is not None:
            tensors = edit(make_released_clamp({'vit': TINY_VIT, 'resnet': TINY_RN}[kind])) or {}
            path = save_released(tensors, tmp_path / 'edited.pth')
        status = main(['convert', str(source or path), str(out or tmp_path / 'out.pth'), '--config', str(config),
                       *map(str, arguments)])
        printed = capsys.readouterr()
        return status, printed.out, printed.err

    return run


def load(config, path):
    """The config's model with the checkpoint, which must name every weight and no other."""
    model = MODELS.build(Config.fromfile(config).model)
    model.load_state_dict(safe_load(path)['state_dict'], strict=True)
    return model


@pytest.mark.parametrize('kind', ['vit', 'resnet'])
def test_what_is_written_loads_strictly_and_says_where_it_comes_from(convert, made, tmp_path, kind):
    status, _, err = convert(kind=kind)
    assert (status, err) == (0, '')
    checkpoint = safe_load(tmp_path / 'out.pth')
    meta = checkpoint['meta']
    assert meta['converted_from'] == f'{kind}.pth' and len(meta['converted_from_sha256']) == 64
    assert meta['dataset_meta']['num_keypoints'] == 17 and meta['dataset_meta']['flip_indices'][0] == 1
    assert 'clamp_mmpose' in meta['cfg']
    model = load(made[kind][1], tmp_path / 'out.pth')
    # As complete as what a training of ours saves: the text embedding of the tower that it holds, and how it was made.
    state_dict = model.state_dict()
    assert state_dict.keys() == checkpoint['state_dict'].keys()
    torch.testing.assert_close(checkpoint['state_dict']['neck.prompts.embedding'], model.neck.prompts()[0])
    metadata = checkpoint['state_dict']._metadata
    assert metadata['neck.prompts']['keypoint_names'] == tuple(AP10K_NAMES)
    assert metadata['backbone']['grid_size'] == (4, 4)
    assert [path.name for path in tmp_path.iterdir()] == ['out.pth']


def test_it_loads_into_a_model_whose_text_is_fused(convert, made, tmp_path):
    convert()
    model, fused = (load(made['vit'][1], tmp_path / 'out.pth') for _ in range(2))
    fused.neck.fuse_text()
    fused.neck.prompts.embedding.zero_()
    fused.load_state_dict(safe_load(tmp_path / 'out.pth')['state_dict'], strict=True)
    torch.testing.assert_close(fused.neck.prompts.embedding, model.neck.prompts()[0])


@pytest.mark.parametrize('kind', ['vit', 'resnet'])
def test_the_report_accounts_for_every_tensor(convert, kind):
    tensors = make_released_clamp({'vit': TINY_VIT, 'resnet': TINY_RN}[kind])
    _, out, _ = convert(kind=kind)
    assert f'CLAMP for pose, CLIP {"vision transformer" if kind == "vit" else "ResNet"}' in out
    assert f'17 keypoints, {len(tensors)} tensors' in out
    used = sum(map(int, re.findall(r' -> \S+ \((\d+)\)$', out, re.M)))
    dropped = re.search(r'^dropped: (\d+)$', out, re.M)
    assert used + int(dropped[1]) == len(tensors) and dropped[1] == '3'
    assert '  backbone.* -> backbone.tower.* (' in out and '  upconv_head.* -> head.score_head.* (20)'[:-4] in out
    assert '  prompt_encoder.positional_embedding: the released model has it and never uses it' in out
    assert 'missing: none' in out and 'resized: none' in out
    assert 'neck.prompts.embedding: computed from the text tower' in out

    _, out, _ = convert('--every-key', '--force', kind=kind)
    for name in tensors:
        assert re.search(rf'^  {re.escape(name)}(:| -> )', out, re.M), name


def test_a_resized_table_is_told(convert, tmp_path):
    options = ['--cfg-options', 'model.backbone.input_size=(96,96)', 'model.head.decoder.input_size=(96,96)',
               'model.head.decoder.heatmap_size=(24,24)']
    status, out, _ = convert(*options)
    assert status == 0 and 'backbone.tower.positional_embedding: (17, 32) -> (37, 32)' in out


def test_a_file_is_neither_overwritten_nor_left_half_written(convert, made, tmp_path):
    out = tmp_path / 'out.pth'
    out.write_text('precious')
    assert convert()[0] == 2
    assert 'exists; --force overwrites it' in convert()[2]
    assert out.read_text() == 'precious'
    # A file that does not fit leaves what was there, even with --force.
    assert convert('--force', kind='resnet', source=made['vit'][0])[0] == 2
    assert out.read_text() == 'precious'
    assert convert('--force')[0] == 0 and out.stat().st_size > 1000
    assert [path.name for path in tmp_path.iterdir()] == ['out.pth']


def test_a_file_that_cannot_be_read_back_is_not_left_behind(convert, tmp_path, monkeypatch):
    out = tmp_path / 'out.pth'
    out.write_text('precious')
    monkeypatch.setattr(torch, 'save', lambda checkpoint, path: path.write_bytes(b'half of a file'))
    status, printed, err = convert('--force')
    assert status == 2 and err.startswith('convert: error: ') and printed == ''
    monkeypatch.setattr(torch, 'save', lambda checkpoint, path: torch.serialization.save(
        dict(state_dict=dict(list(checkpoint['state_dict'].items())[1:])), path))
    status, _, err = convert('--force')
    assert status == 2 and 'is not written: the model would not find' in err
    assert out.read_text() == 'precious' and [path.name for path in tmp_path.iterdir()] == ['out.pth']


def test_out_must_not_be_in(convert, made, tmp_path):
    path = made['vit'][0]
    before = path.read_bytes()
    status, _, err = convert('--force', out=path)
    assert status == 2 and 'OUT is IN' in err
    link = tmp_path / 'link.pth'
    link.symlink_to(path)
    assert 'OUT is IN' in convert('--force', out=link)[2]
    assert path.read_bytes() == before
    assert 'is a folder' in convert(out=tmp_path)[2]


def test_folders_of_out_are_made(convert, tmp_path):
    assert convert(out=tmp_path / 'a' / 'b' / 'out.pth')[0] == 0
    assert (tmp_path / 'a' / 'b' / 'out.pth').exists()


OPTIONS = {  # what no shape tells
    'model.backbone.arch.quick_gelu=False': 'backbone.quick_gelu=False',
    'model.neck.text_encoder.arch.quick_gelu=False': 'neck.text_encoder.quick_gelu=False',
    'model.neck.text_encoder.heads=4': 'neck.text_encoder.heads=4, but the released model has 8',
    'model.neck.prompt_encoder.num_heads=4': 'neck.prompt_encoder.num_heads=4',
    'model.neck.context_decoder.num_heads=8': 'neck.context_decoder.num_heads=8',
    'model.data_preprocessor.mean=[122.77,116.75,104.09]': 'data_preprocessor.mean=(122.77, 116.75, 104.09)',
    'model.data_preprocessor.std=[68.5,66.6,70.3]': 'data_preprocessor.std=',
    'model.data_preprocessor.bgr_to_rgb=False': 'data_preprocessor.bgr_to_rgb=False',
}


@pytest.mark.parametrize('option', OPTIONS)
def test_options_that_would_give_other_heatmaps_are_refused(convert, tmp_path, option):
    status, _, err = convert('--cfg-options', option)
    assert status == 2 and OPTIONS[option] in err and "'-released' in their names have" in err
    assert err.count('\n') == 1 and not (tmp_path / 'out.pth').exists()


@pytest.mark.parametrize('option, message', [
    ('model.head.feature_sampling=bilinear', "head.feature_sampling='bilinear', but the released model has 'released'"),
    ('model.head.feature_loss.loss_weight=1.0', 'head.feature_loss.loss_weight=1.0, but the released model has 0.0005'),
    ('model.head.loss.use_target_weight=False', 'head.loss='),
    ('model.test_cfg.flip_test=False', 'test_cfg.flip_test=False'),
    ('model.test_cfg.shift_heatmap=False', 'test_cfg.shift_heatmap=False'),
    ('model.head.decoder.unbiased=True', 'head.decoder.unbiased=True'),
])
def test_options_that_change_losses_or_decoding_are_warned_of(convert, option, message):
    status, _, err = convert('--cfg-options', option)
    assert status == 0 and f'convert: warning: {message}' in err


@pytest.mark.parametrize('option, dropped', [
    ('model.head.spatial_loss=None', 'upconv_head.* ('),
    ('model.head.score_head=None', 'upconv_head.* ('),
    ('model.head.feature_loss=None', 'logit_scale: the config has no feature loss; it only trains'),
])
def test_what_only_trains_is_dropped_where_the_config_does_without(convert, tmp_path, option, dropped):
    status, out, _ = convert('--cfg-options', option)
    assert status == 0 and dropped in out and (tmp_path / 'out.pth').exists()


def drop(*beginnings):
    return lambda tensors: {name: tensor for name, tensor in tensors.items() if not name.startswith(beginnings)}


def edited(**changes):
    return lambda tensors: tensors | {name: change(tensors) for name, change in changes.items()}


@pytest.mark.parametrize('beginning, part', [('upconv_head.', 'head.score_head.* ('), ('logit_scale', 'logit_scale:')])
def test_what_only_trains_may_be_missing_and_is_told(convert, made, tmp_path, beginning, part):
    status, out, _ = convert(edit=drop(beginning))
    assert status == 0 and part in out.split('missing: ')[1] and 'the file has none; it only trains' in out
    state_dict = safe_load(tmp_path / 'out.pth')['state_dict']
    missing = MODELS.build(Config.fromfile(made['vit'][1]).model).load_state_dict(state_dict, strict=False).missing_keys
    assert missing and all(name.startswith(('head.score_head.', 'head.feature_loss.')) for name in missing)


def test_counts_of_batches_may_be_missing(convert, made, tmp_path):
    status, out, _ = convert(
        edit=lambda tensors: {k: v for k, v in tensors.items() if not k.endswith('num_batches_tracked')}, kind='resnet')
    assert status == 0 and 'missing: none' in out
    model = load(made['resnet'][1], tmp_path / 'out.pth')
    assert model.backbone.tower.bn1.num_batches_tracked == 0


@pytest.mark.parametrize('edit, message', [
    (drop('keypoint_head.final_layer'), 'it lacks 2 tensors (head.final_layer.weight, head.final_layer.bias)'),
    (drop('prompt_encoder.'), 'it lacks 14 tensors (neck.prompt_encoder'),
    (drop('upconv_head.final_layer'), 'it lacks 2 tensors (head.score_head.final_layer'),
    (drop('backbone.transformer.resblocks.2.'), 'its backbone is a CLIP vision transformer (2 blocks'),
    (drop('text_encoder.transformer.resblocks.1.'), 'its text_encoder is a CLIP text transformer (1 blocks'),
    (drop('context_decoder.decoder.2.'), 'it lacks 20 tensors'),
    (drop('contexts'), 'it has no contexts among its'),
    (drop('context_decoder.', 'gamma'), 'it has no context_decoder, gamma among its'),
    (edited(extra=lambda t: torch.ones(2)), 'it has 1 tensors (extra) that the config has no place for'),
    (edited(**{'backbone.adapter.weight': lambda t: torch.ones(2)}), 'backbone.adapter.weight'),
    (edited(**{'context_decoder.decoder.3.norm1.weight': lambda t: torch.ones(256)}), 'no place for'),
    (edited(gamma=lambda t: t['gamma'].clone().fill_(float('nan'))), 'gamma is not finite'),
    (edited(contexts=lambda t: t['contexts'] / 0), 'contexts is not finite'),
    (edited(gamma=lambda t: t['gamma'].int()), 'gamma is torch.int32, neck.gamma of the config torch.float32'),
    (edited(contexts=lambda t: t['contexts'][:, :4]), 'contexts is (1, 4, 32), neck.prompts.contexts of the config '
                                                      '(1, 8, 32)'),
    (edited(**{'text_encoder.positional_embedding': lambda t: t['text_encoder.positional_embedding'][:9]}),
     'context_length=13 of text_encoder, but it has text positions for 9 tokens; use context_length=9'),
    (edited(text_projection=lambda t: torch.ones(32, 16)), 'text and image embedding differ in width'),
    (edited(**{'backbone.positional_embedding': lambda t: torch.ones(12, 32)}),
     'backbone.positional_embedding has 12 rows, which no square grid'),
])
def test_files_that_do_not_fit_are_refused(convert, tmp_path, edit, message):
    status, out, err = convert(edit=edit)
    assert status == 2 and message in err and out == ''
    assert err.startswith('convert: error: ') and err.count('\n') == 1
    assert not (tmp_path / 'out.pth').exists()


@pytest.mark.parametrize('text', ['model = (', 'model = undefined', "model = dict(type='Missing')"])
def test_a_config_that_is_wrong_is_one_line(convert, tmp_path, text):
    (tmp_path / 'wrong.py').write_text(text)
    status, out, err = convert('--config', tmp_path / 'wrong.py')
    assert status == 2 and out == ''
    assert err.startswith('convert: error: ') and err.count('\n') == 1


def test_a_released_file_of_another_backbone_is_refused(convert, made):
    status, _, err = convert(kind='resnet', source=made['vit'][0])
    assert status == 2
    assert 'its backbone is a CLIP vision transformer (3 blocks, width 32' in err and 'the config a CLIP ResNet' in err


def test_another_number_of_keypoints_is_refused(convert):
    status, _, err = convert(names=['nose', 'left eye', 'right eye'])
    assert status == 2 and 'it was trained with 17 names, and the neck of the config has 3' in err


def test_unknown_tensors_can_be_left_out_on_demand(convert):
    status, out, _ = convert('--ignore', 'extra', 'other', edit=edited(**{
        'extra.weight': lambda t: torch.ones(2), 'other': lambda t: torch.ones(2)}))
    assert status == 0 and 'extra.weight: left out on demand' in out and 'other: left out on demand' in out


SWAPPED = [AP10K_NAMES[1], AP10K_NAMES[0], *AP10K_NAMES[2:]]
WORDED = ['the left eye', *AP10K_NAMES[1:]]


def test_a_beginning_that_leaves_nothing_out_is_told(convert):
    status, _, err = convert('--ignore', 'upconv_head', 'upcnov')
    assert status == 0 and "no tensor begins with 'upcnov'" in err and 'upconv_head' not in err


def test_names_in_another_order_are_refused(convert):
    status, _, err = convert(names=SWAPPED)
    assert status == 2 and 'trained with the names in another order' in err


@pytest.mark.parametrize('names, status, message', [
    (AP10K_NAMES, 0, ''), (SWAPPED, 2, 'trained with the names in another order: right eye, left eye'),
    (WORDED, 0, "trained with other words: 'the left eye' there, 'left eye' here"), (['nose'], 0, ''),
])
def test_names_in_the_files_own_config_count(convert, tmp_path, names, status, message):
    path = save_released(make_released_clamp(TINY_VIT), tmp_path / 'named.pth', names=names)
    found, _, err = convert(source=path)
    assert found == status and message in err and (message or not err)


def test_names_that_the_file_does_not_say_are_doubted(convert):
    status, _, err = convert(names=WORDED)
    assert status == 0 and 'the file does not say which names it was trained with' in err and 'the left eye' in err


@pytest.fixture
def toy_config(made, tmp_path):
    """The ViT's config with some drawn animals as its data."""
    make_toy_dataset(tmp_path / 'data', train=1, val=3)
    cfg = Config.fromfile(made['vit'][1])
    for loader in (cfg.train_dataloader, cfg.val_dataloader, cfg.test_dataloader):
        loader.dataset.data_root = str(tmp_path / 'data')
    for evaluator in (cfg.val_evaluator, cfg.test_evaluator):
        evaluator.ann_file = str(tmp_path / 'data/annotations/ap10k-val-split1.json')
    cfg.dump(tmp_path / 'config.py')
    config, out = tmp_path / 'config.py', tmp_path / 'out.pth'
    assert main(['convert', str(made['vit'][0]), str(out), '--config', str(config)]) == 0
    return config, out


COMPLAINT = 'missing keys|unexpected key|do not match'


def test_the_inferencer_finds_every_weight(toy_config, tmp_path, capfd):
    from mmpose.apis import MMPoseInferencer
    config, out = map(str, toy_config)
    inferencer = MMPoseInferencer(pose2d=config, pose2d_weights=out, det_model='whole_image', device='cpu')
    picture = next((tmp_path / 'data').rglob('*.jpg'))
    instances = next(inferencer(str(picture)))['predictions'][0]
    assert len(instances[0]['keypoints']) == 17
    printed = ''.join(capfd.readouterr())
    assert 'Loads checkpoint by local backend' in printed and not re.search(COMPLAINT, printed)
    assert 'dataset_meta are not saved' not in printed


@pytest.mark.slow
def test_mim_tests_it_and_trains_from_it(toy_config, tmp_path):
    config, out = toy_config
    log = mim('test', 'mmpose', config, '--checkpoint', out, '--work-dir', tmp_path / 'work')
    assert 'coco/AP:' in log and f'Load checkpoint from {out}' in log and not re.search(COMPLAINT, log)
    log = mim('train', 'mmpose', config, '--work-dir', tmp_path / 'work', '--cfg-options', f'load_from={out}',
              'train_cfg.max_epochs=1', 'train_dataloader.batch_size=2', 'val_dataloader.num_workers=0')
    assert f'Load checkpoint from {out}' in log and not re.search(COMPLAINT, log)

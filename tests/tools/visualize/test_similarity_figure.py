import csv

import numpy as np
import pytest
import torch
from drawn_models import NAMES
from mmengine.config import Config
from mmpose.registry import DATASETS, MODELS

from clamp_mmpose.tools.cli import main
from clamp_mmpose.visualization import choose_instances, compute_similarity


def draw(files, out, *options, num=2):
    arguments = ['--out', str(out), '--figure', 'similarity', '--num', str(num), '--mean-over', '3', *options]
    return main(['visualize', *files, *arguments])


def read(out):
    """(weights, image, keypoint) -> (seen in, values)."""
    with open(out / 'similarity.csv', newline='', encoding='utf-8') as file:
        header, *rows = csv.reader(file)
    assert header == ['weights', 'kind', 'image', 'keypoint', 'seen in', *NAMES]
    return {(weights, image, keypoint): (int(seen), [float(value or 'nan') for value in values])
            for weights, kind, image, keypoint, seen, *values in rows}


def test_the_table_has_the_numbers_of_the_figures(files, tmp_path, unpainted):
    paths = files()
    assert draw(paths, tmp_path / 'out') == 0
    table = read(tmp_path / 'out')
    config = Config.fromfile(paths[0])
    settings = config.val_dataloader.dataset
    settings.pop('bbox_file')
    settings.pipeline[-1].pack_transformed = True
    dataset = DATASETS.build(settings)
    model = MODELS.build(config.model).eval()
    model.load_state_dict(torch.load(paths[1])['state_dict'])
    expected = {}
    for index in choose_instances(dataset, 3):
        name = dataset.get_data_info(index)['img_path'].rsplit('/', 1)[-1]
        expected[name] = compute_similarity(model, dataset, index, 'logits')
    images = {image for weights, image, _ in table if weights == 'after'}
    assert images == {*list(expected)[:2], 'mean of 3'}
    for name in images - {'mean of 3'}:
        for keypoint, row in zip(NAMES, expected[name]):
            seen, values = table['after', name, keypoint]
            assert seen == np.isfinite(row).all()
            np.testing.assert_allclose(values, row, rtol=1e-4, atol=1e-5)
    for place, keypoint in enumerate(NAMES):
        rows = np.array([values[place] for values in expected.values()])
        rows = rows[np.isfinite(rows).all(1)]
        seen, values = table['after', 'mean of 3', keypoint]
        assert seen == len(rows)
        np.testing.assert_allclose(values, rows.mean(0) if len(rows) else np.full(17, np.nan), rtol=1e-3, atol=1e-4)


def test_before_is_the_start_of_the_training_or_a_checkpoint(files, tmp_path, unpainted):
    paths = files()
    assert draw(paths, tmp_path / 'initial') == 0
    assert draw(paths, tmp_path / 'again') == 0
    assert draw(paths, tmp_path / 'same', '--before', paths[1]) == 0
    initial, same = read(tmp_path / 'initial'), read(tmp_path / 'same')
    assert repr(initial) == repr(read(tmp_path / 'again'))
    for key in [key for key in same if key[0] == 'after']:
        np.testing.assert_array_equal(same[key][1], same['before', key[1], key[2]][1])
    assert any(initial[key][1] != initial['before', key[1], key[2]][1] for key in initial if key[0] == 'after')


@pytest.mark.parametrize('kind, low, high', [('cosine', -1, 1), ('softmax', 0, 1)])
def test_other_similarities(kind, low, high, files, tmp_path, unpainted):
    assert draw(files(), tmp_path / 'out', '--similarity', kind, num=1) == 0
    values = np.array([row for _, row in read(tmp_path / 'out').values()])
    values = values[np.isfinite(values).all(1)]
    assert low <= values.min() and values.max() <= high
    if kind == 'softmax':
        np.testing.assert_allclose(values.sum(1), 1, atol=1e-4)


@pytest.mark.parametrize('option, error', [
    (('--similarity', 'dot'), 'logits, cosine, softmax'),
    (('--mean-over', '0'), '--mean-over 0'),
    (('--before', 'none.pth'), 'none.pth'),
])
def test_what_cannot_be_compared_is_named(option, error, files, tmp_path, capsys):
    assert draw(files(), tmp_path / 'out', *option) == 2
    assert error in capsys.readouterr().err


def test_initial_weights_that_are_not_there_have_a_way_out(files, tmp_path, capsys, unpainted):
    config = Config.fromfile(files()[0])
    config.model.backbone.init_cfg = dict(type='CLIPPretrained', checkpoint=str(tmp_path / 'clip.pt'))
    config.dump(tmp_path / 'config.py')
    paths = str(tmp_path / 'config.py'), str(tmp_path / 'config.pth')
    assert draw(paths, tmp_path / 'out') == 2
    error = capsys.readouterr().err
    assert 'clip.pt' in error and '--before CHECKPOINT' in error
    assert draw(paths, tmp_path / 'out', '--before', paths[1], num=1) == 0

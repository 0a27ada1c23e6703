"""`clamp-mmpose visualize` with LOFR."""
import csv

import cv2
import numpy as np
import pytest
import torch
from drawn_models import plain_model

from clamp_mmpose.testing import tiny_lofr_model
from clamp_mmpose.tools.cli import main


@pytest.fixture
def lofr(files):
    """Writes config and checkpoint of a tiny LOFR model for 17 keypoints."""

    def write(name='lofr', **changes):
        torch.manual_seed(0)
        return files(name, **tiny_lofr_model(num_keypoints=17, **changes))

    return write


def rows_of(path):
    with path.open(newline='', encoding='utf-8') as file:
        return list(csv.DictReader(file))


def visualize(config, out, *options):
    return main(['visualize', *config, '--out', str(out), '--num', '2', *options])


def test_response_maps_are_drawn_beside_activation_maps(lofr, tmp_path):
    out = tmp_path / 'out'
    assert visualize(lofr(), out, '--figure', 'response-maps', '--keypoints', 'nose', 'l_eye') == 0
    assert {path.name for path in out.iterdir()} == {
        'response_maps_1.png', 'response_maps_2.png', 'response_maps.csv'}
    for path in out.glob('*.png'):
        assert cv2.imread(str(path)).std() > 10
    rows = rows_of(out / 'response_maps.csv')
    assert [(row['keypoint'], row['map']) for row in rows[:4]] == [
        ('Nose', 'activation'), ('Nose', 'response'), ('L Eye', 'activation'), ('L Eye', 'response')]
    assert len({row['image'] for row in rows}) == 2 and len(rows) == 8


def test_a_baseline_of_any_kind_and_size_has_its_maps_between(lofr, files, tmp_path, unpainted, capsys):
    for name, model, size in (('plain', plain_model(96), 96), ('base', tiny_lofr_model(
            num_keypoints=17, head=dict(spe=None, reppg=None, diversity_loss=None, scales=(4, ))), 64)):
        other = files(name, size=size, **model)
        assert visualize(lofr(), tmp_path / name, '--figure', 'response-maps', '--baseline', *other) == 0
        rows = rows_of(tmp_path / name / 'response_maps.csv')
        assert [row['map'] for row in rows[:3]] == ['activation', 'baseline', 'response'] and len(rows) == 2 * 17 * 3
    people = files('people', dataset_type='CocoDataset', **plain_model())
    assert visualize(lofr(), tmp_path / 'out', '--figure', 'response-maps', '--baseline', *people) == 2
    assert 'people.py predicts other keypoints' in capsys.readouterr().err


@pytest.mark.parametrize('kind', ['cosine', 'dot'])
def test_products_of_the_prototypes_are_drawn(lofr, tmp_path, kind):
    out = tmp_path / 'out'
    assert visualize(lofr(), out, '--figure', 'prototypes', '--mean-over', '3', '--products', kind) == 0
    assert {path.name for path in out.iterdir()} == {'prototypes.png', 'prototypes.csv'}
    assert cv2.imread(str(out / 'prototypes.png')).std() > 10
    rows = rows_of(out / 'prototypes.csv')
    assert len(rows) == 2 * 17 and {row['product'] for row in rows} == {kind}
    diagonal = [float(row[row['keypoint']]) for row in rows]
    assert (np.round(diagonal, 4) == 1).all() == (kind == 'cosine')


def test_another_state_stands_in_front(lofr, tmp_path, unpainted):
    config = lofr()
    other = torch.load(config[1], weights_only=True)
    other['state_dict']['head.reppg.embed.weight'].neg_()
    torch.save(other, tmp_path / 'early.pth')
    assert visualize(config, tmp_path / 'out', '--figure', 'prototypes', '--before', str(tmp_path / 'early.pth')) == 0
    rows = rows_of(tmp_path / 'out' / 'prototypes.csv')
    stages = list(dict.fromkeys(row['prototypes'] for row in rows))
    assert [stage.split(',')[0] for stage in stages] == ['before training'] * 2 + ['after training'] * 2
    related = [[row['Nose'] for row in rows if row['prototypes'] == stage] for stage in (stages[1], stages[3])]
    assert related[0] != related[1]


def test_learned_queries_have_one_matrix(lofr, tmp_path, unpainted):
    assert visualize(lofr(head=dict(reppg=None)), tmp_path / 'out', '--figure', 'prototypes') == 0
    assert {row['prototypes'] for row in rows_of(tmp_path / 'out' / 'prototypes.csv')} == {'learned queries'}


def test_images_of_ones_own_need_no_labels(lofr, tmp_path):
    for number, size in enumerate(((40, 80), (90, 30))):
        image = np.random.default_rng(number).integers(0, 255, (*size, 3), dtype=np.uint8)
        cv2.imwrite(str(tmp_path / f'{number}.png'), image)
    config = lofr(test_cfg=dict(flip_test=True))
    options = ['--images', str(tmp_path), '--figure', 'response-maps', 'prototypes', '--keypoints', 'nose']
    assert visualize(config, tmp_path / 'out', *options) == 0
    rows = rows_of(tmp_path / 'out' / 'response_maps.csv')
    assert {row['image'] for row in rows} == {'0.png', '1.png'}
    assert {row['response at label'] for row in rows} == {row['label x'] for row in rows} == {''}


def test_response_maps_are_drawn_unasked(lofr, files, tmp_path, unpainted):
    assert visualize(lofr(), tmp_path / 'lofr') == 0
    assert visualize(files(**plain_model()), tmp_path / 'plain') == 0
    drawn = [{path.name for path in (tmp_path / name).iterdir()} for name in ('lofr', 'plain')]
    assert drawn == [{'poses.png', 'response_maps_1.png', 'response_maps_2.png', 'response_maps.csv'}, {'poses.png'}]


@pytest.mark.parametrize('figure, message', [
    ('response-maps', 'a head with response maps, LOFRHead; HeatmapHead has no read, activation_maps, part_decoder'),
    ('prototypes', 'a head with pose prototypes, LOFRHead; HeatmapHead has no read, activation_maps, reppg'),
])
def test_a_model_of_another_kind_is_refused(figure, message, files, tmp_path, capsys):
    assert visualize(files(**plain_model()), tmp_path / 'out', '--figure', figure) == 2
    assert f'visualize: error: --figure {figure} needs {message}' in capsys.readouterr().err


def test_products_of_another_kind_are_refused(lofr, tmp_path, capsys):
    assert visualize(lofr(), tmp_path / 'out', '--figure', 'prototypes', '--products', 'sine') == 2
    assert "error: products='sine' must be one of cosine, dot" in capsys.readouterr().err
    assert not (tmp_path / 'out').exists()

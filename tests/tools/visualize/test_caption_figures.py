"""`clamp-mmpose visualize` with a model that writes captions: Fig. 7 to 9."""
import csv
import re

import cv2
import numpy as np
import pytest
import torch
from drawn_models import plain_model

from clamp_mmpose.testing.tiny_blip import tiny_blip_model
from clamp_mmpose.tools.cli import main

pytest.importorskip('transformers')
WORDS = [*'abcdefgh', 'head', *'jklmnop', 'tail']  # of AP-10K's 17 keypoints


@pytest.fixture
def blip(files):
    """Writes config and checkpoint of a tiny BLIP."""

    def write(name='blip', **changes):
        torch.manual_seed(0)
        return files(name, **(tiny_blip_model(WORDS) | changes))

    return write


def rows_of(path):
    with path.open(newline='', encoding='utf-8') as file:
        return list(csv.DictReader(file))


def visualize(config, out, *options):
    return main(['visualize', *config, '--out', str(out), '--num', '2', *options])


def test_what_a_caption_model_has_is_drawn_and_the_rest_is_left_out_with_a_reason(blip, tmp_path, capsys, unpainted):
    out = tmp_path / 'out'
    assert visualize(blip(), out, '--figure', 'all') == 0
    assert sorted(path.name for path in out.iterdir()) == [
        'captions.csv', 'captions.png', 'masking.csv', 'masking.png', 'masking_errors.png', 'poses.png',
        'self_attention.csv', 'self_attention_1.png', 'self_attention_2.png']
    left_out = [line for line in capsys.readouterr().err.splitlines() if line.startswith('visualize:')]
    assert len(left_out) == 10
    assert any('MeTTAHead; BLIPCaptionPoseEstimator has no resize' in line for line in left_out)
    assert any(line.endswith('MeTTAPoseEstimator; this is BLIPCaptionPoseEstimator') for line in left_out)
    assert any('score-maps is left out: it needs a model with a score map' in line for line in left_out)
    assert any('prompts is left out: it needs a model that compares image embedding' in line for line in left_out)


def test_the_default_figures_of_a_caption_model(blip, tmp_path):
    assert visualize(blip(), tmp_path / 'out') == 0
    assert {path.name for path in (tmp_path / 'out').iterdir()} == {'poses.png', 'captions.png', 'captions.csv'}
    for name in ('poses.png', 'captions.png'):
        assert cv2.imread(str(tmp_path / 'out' / name)).std() > 10


@pytest.mark.parametrize('figure', ['captions', 'self-attention'])
def test_a_model_without_captions_is_refused(figure, files, tmp_path, capsys):
    assert visualize(files(**plain_model()), tmp_path / 'out', '--figure', figure) == 2
    assert f'--figure {figure} needs a model that writes captions' in capsys.readouterr().err


def test_checkpoints_stand_in_their_order_with_their_own_captions(blip, tmp_path, unpainted, monkeypatch):
    config, last = blip()
    weights = torch.load(last)['state_dict']
    for name, factor in (('epoch_1', 0.0), ('epoch_2', 3.0)):
        changed = {key: value * factor if 'cls.predictions.transform' in key else value
                   for key, value in weights.items()}
        torch.save(dict(state_dict=changed), tmp_path / f'{name}.pth')
    drawn = {}
    monkeypatch.setattr('clamp_mmpose.visualization.draw_captions', lambda views, columns, meta: drawn.update(columns))
    earlier = [str(tmp_path / f'epoch_{number}.pth') for number in (1, 2)]
    assert visualize((config, last), tmp_path / 'out', '--figure', 'captions', '--checkpoints', *earlier, last) == 0
    assert list(drawn) == ['ground truth', 'epoch_1', 'epoch_2', 'blip']
    rows = rows_of(tmp_path / 'out' / 'captions.csv')
    assert [row['weights'] for row in rows] == ['epoch_1'] * 2 + ['epoch_2'] * 2 + ['blip'] * 2
    assert len({row['caption'] for row in rows}) > 1 and all(row['parses'] == '1' for row in rows)
    for title, start in (('epoch_1', 0), ('blip', 4)):
        assert [cell.caption for cell in drawn[title]] == [row['caption'] for row in rows[start:start + 2]]
    assert visualize((config, last), tmp_path / 'out', '--figure', 'captions', '--checkpoints', 'none.pth') == 2


def test_checkpoints_of_one_name_keep_their_folders(blip, tmp_path, unpainted, monkeypatch):
    config, last = blip()
    (tmp_path / 'other').mkdir()
    other = tmp_path / 'other' / 'blip.pth'
    other.write_bytes((tmp_path / 'blip.pth').read_bytes())
    assert visualize((config, last), tmp_path / 'out', '--figure', 'captions', '--checkpoints', str(other)) == 0
    assert {row['weights'] for row in rows_of(tmp_path / 'out' / 'captions.csv')} == {str(other), last}


def test_parts_are_hidden_by_the_names_of_the_caption_and_of_the_dataset(blip, tmp_path, unpainted, capsys):
    out = tmp_path / 'out'
    parts = ['lower-body', 'first-four', 'head', 'L_Eye', 'tail+Nose']
    assert visualize(blip(), out, '--figure', 'masking', '--mask', *parts) == 0
    rows = rows_of(out / 'masking.csv')
    assert len(rows) == 2 * len(parts) * 17 and [row['hidden part'] for row in rows[:34:17]] == parts[:2]
    assert {row['keypoint'] for row in rows} == set(WORDS)
    assert {row['inside'] for row in rows if row['keypoint'] == 'head' and row['hidden part'] == 'head'} <= {'1', ''}
    assert visualize(blip(), out, '--figure', 'masking', '--mask', 'wing') == 2
    error = capsys.readouterr().err
    assert "mask='wing'" in error and 'first-four' in error and "'tail'" in error
    assert visualize(blip(), out, '--figure', 'masking', '--mask-margin', '-1') == 2
    assert '--mask-margin -1.0 must be 0 or more' in capsys.readouterr().err


def test_hiding_parts_works_for_models_with_heatmaps_too(files, tmp_path, unpainted):
    assert visualize(files(**plain_model()), tmp_path / 'out', '--figure', 'masking', '--mask', 'upper-body') == 0
    rows = rows_of(tmp_path / 'out' / 'masking.csv')
    assert len(rows) == 34 and any(float(row['moved']) > 0 for row in rows if row['moved'])


def test_captions_without_coordinates_have_no_errors_to_compare(blip, tmp_path, unpainted, capsys):
    config = blip(codec=dict(type='CaptionPose', input_size=(64, 64), names=WORDS, style='visibility_text'))
    assert visualize(config, tmp_path / 'out', '--figure', 'masking') == 2
    assert "style='visibility_text' do not" in capsys.readouterr().err
    assert visualize(config, tmp_path / 'out', '--figure', 'captions', 'self-attention') == 0


def test_attention_is_of_the_chosen_layer_and_head(blip, tmp_path, unpainted, capsys):
    config = blip()
    tables = {}
    for options in ((), ('--layer', '2', '--head', '2'), ('--layer', '1', '--head', '2'), ('--head', '1'),
                    ('--head', 'mean')):
        out = tmp_path / ''.join(['out', *options])
        assert visualize(config, out, '--figure', 'self-attention', *options) == 0
        tables[options] = rows_of(out / 'self_attention.csv')
    weights = {key: np.array([float(row['weight']) for row in rows]) for key, rows in tables.items()}
    default, same, layer, head, mean = weights.values()
    np.testing.assert_array_equal(default, same)  # the last layer, and the last head where there are fewer than 8
    assert np.abs(default - layer).max() > 1e-4 and np.abs(default - head).max() > 1e-4
    np.testing.assert_allclose(mean, (default + head) / 2, atol=1e-4)
    first = tables[()]
    assert (first[0]['looks at'], first[0]['weight'], first[0]['layer'], first[0]['head']) == ('[DEC]', '1', '2', '2')
    steps = [row['writes'] for row in first if row['looks at'] == '[DEC]' and row['image'] == first[0]['image']]
    assert re.fullmatch(r'([a-z]+:\d+,\d+)+', ''.join(steps[:-1]).replace('##', '')) and steps[-1] == '[SEP]'
    for options in (('--layer', '3'), ('--layer', '0'), ('--head', '3'), ('--head', 'all')):
        assert visualize(config, tmp_path / 'out', '--figure', 'self-attention', *options) == 2
        assert f'{" ".join(options)} must be 1 to 2' in capsys.readouterr().err


def test_images_of_ones_own_are_drawn_without_ground_truth(blip, tmp_path, unpainted):
    for number, size in enumerate(((40, 80), (90, 30))):
        cv2.imwrite(str(tmp_path / f'{number}.png'), np.full((*size, 3), 90, np.uint8))
    figures = ['--figure', 'poses', 'captions', 'masking', 'self-attention']
    assert visualize(blip(), tmp_path / 'out', '--images', str(tmp_path), *figures) == 0
    assert {row['mean error in input pixels'] for row in rows_of(tmp_path / 'out' / 'captions.csv')} == {''}
    rows = rows_of(tmp_path / 'out' / 'masking.csv')
    assert {row['error after'] for row in rows} == {''} and any(row['moved'] for row in rows)


def test_another_number_of_names_than_the_dataset_has_keypoints_is_refused(blip, tmp_path, capsys):
    assert visualize(blip(**tiny_blip_model()), tmp_path / 'out') == 2
    assert 'names 5 keypoints' in capsys.readouterr().err

import numpy as np
import pytest
from mmengine.dataset import pseudo_collate
from mmpose.registry import MODELS, VISUALIZERS

from clamp_mmpose.testing import tiny_clamp_model

NAMES = [f'point {index}' for index in range(17)]


@pytest.fixture
def prediction(dataset):
    model = MODELS.build(tiny_clamp_model('vit', names=NAMES)).eval()
    return model.test_step(pseudo_collate([dataset[0]]))[0]


def test_a_picture_shows_each_score_map_over_the_crop(prediction):
    draw = VISUALIZERS.get('ScoreMapVisualizer').draw_score_maps
    dark, light = np.zeros((17, 4, 4)), np.zeros((17, 4, 4))
    light[3] = 1
    pictures = [draw(prediction, NAMES, score_map=values, limits=(0, 1), height=64) for values in (dark, light)]
    assert pictures[0].dtype == np.uint8 and pictures[0].shape == pictures[1].shape and pictures[0].shape[2] == 3
    brighter = (pictures[1].astype(int) - pictures[0]).mean(-1) > 60
    rows, columns = np.flatnonzero(brighter.any(1)), np.flatnonzero(brighter.any(0))
    # One cell of the page, filled.
    assert np.ptp(columns) < pictures[0].shape[1] / 5 and np.ptp(rows) < pictures[0].shape[0] / 2
    assert brighter[rows[0]:rows[-1], columns[0]:columns[-1]].mean() > 0.8


def test_chosen_keypoints_make_a_smaller_picture(prediction):
    draw = VISUALIZERS.get('ScoreMapVisualizer').draw_score_maps
    values = np.zeros((17, 4, 4))
    assert draw(prediction, NAMES, score_map=values, keypoints=['point 3']).size < draw(
        prediction, NAMES, score_map=values).size / 2
    with pytest.raises(ValueError, match=r"\['beak'\] are not among.*'point 0'"):
        draw(prediction, NAMES, score_map=values, keypoints=['beak'])


def test_it_stands_in_a_config_in_place_of_mmposes(prediction, tmp_path):
    visualizer = VISUALIZERS.build(
        dict(type='ScoreMapVisualizer', name=tmp_path.name, save_dir=str(tmp_path),
             vis_backends=[dict(type='LocalVisBackend')]))
    visualizer.add_score_maps('maps', prediction, NAMES, score_map=np.zeros((17, 4, 4)), keypoints=['point 1'], step=7)
    assert [path.name for path in tmp_path.rglob('*.png')] == ['maps_7.png']

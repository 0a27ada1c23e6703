import numpy as np
import pytest

from clamp_mmpose.visualization import PoseView, choose_keypoints, find_keypoints

NAMES = ['left eye', 'right eye', 'nose']


def view(visible):
    zeros = np.zeros((len(visible), 2))
    return PoseView('', np.zeros((8, 8, 3), np.uint8), zeros, np.array(visible), zeros, zeros[:, 0])


def test_names_are_found_whatever_their_spelling():
    assert find_keypoints(['Nose', 'left_eye'], NAMES) == [2, 0]


def test_an_unknown_name_lists_those_there_are():
    with pytest.raises(ValueError, match=r"\['tail'\].*'left eye', 'right eye', 'nose'"):
        find_keypoints(['nose', 'tail'], NAMES)


def test_chosen_keypoints_are_mostly_visible_and_spread():
    views = [view([1] * 17), view([1, 0] * 8 + [1]), view([1, 0] * 8 + [1])]
    assert choose_keypoints(views, 5) == [0, 4, 8, 12, 16]


def test_fewer_keypoints_than_asked_for_are_all_chosen():
    assert choose_keypoints([view([1, 0, 1])], 5) == [0, 2]
    assert choose_keypoints([view([0, 0, 0])], 5) == [0, 1, 2]

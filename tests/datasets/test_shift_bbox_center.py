import numpy as np
import pytest
from mmpose.registry import TRANSFORMS


def transform(**arguments):
    return TRANSFORMS.build(dict(type='mmpose.ShiftBBoxCenter', **arguments))


def test_it_moves_by_parts_of_each_boxs_longer_side_whatever_the_padding():
    boxes = np.array([[0, 0, 40, 80], [10, 10, 210, 20]], dtype=np.float32)
    for padding in (1.0, 1.25):
        results = TRANSFORMS.build(dict(type='GetBBoxCenterScale', padding=padding))(dict(bbox=boxes))
        moved = transform(shift=(0.5, -0.1))(results)
        np.testing.assert_allclose(moved['bbox_center'], [[60, 32], [210, -5]])
        np.testing.assert_array_equal(moved['bbox_scale'], results['bbox_scale'])
        assert moved['bbox_center'].dtype == np.float32
    np.testing.assert_allclose(transform()(results)['bbox_center'], [[20, 46], [110, 30]])
    np.testing.assert_array_equal(results['bbox_center'], [[20, 40], [110, 15]])


@pytest.mark.parametrize('shift', [0.1, (1, ), (1, 2, 3), (0, float('nan'))])
def test_a_shift_that_makes_no_sense_is_named(shift):
    with pytest.raises(ValueError, match=r'^shift='):
        transform(shift=shift)


def test_without_center_it_says_where_it_belongs():
    with pytest.raises(ValueError, match='put it after GetBBoxCenterScale'):
        transform()(dict(bbox=np.zeros((1, 4))))

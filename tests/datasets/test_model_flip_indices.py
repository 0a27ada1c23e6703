import pytest
from mmpose.registry import TRANSFORMS


def test_the_model_flips_by_its_own_order():
    transform = TRANSFORMS.build(dict(type='ModelFlipIndices', flip_indices=[1, 0, 2]))
    given = dict(flip_indices=[0, 1], img_id=5)
    assert transform(given) == dict(flip_indices=[1, 0, 2], img_id=5)
    assert given['flip_indices'] == [0, 1]


@pytest.mark.parametrize('indices', [[0, 2], [1, 1], [1, 2, 0], [-1, 0]])
def test_what_pairs_no_mirror_images(indices):
    with pytest.raises(ValueError, match='must pair each keypoint with its mirror image'):
        TRANSFORMS.build(dict(type='ModelFlipIndices', flip_indices=indices))

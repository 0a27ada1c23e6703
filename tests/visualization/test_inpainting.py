"""Fig. 2 and 3 of MeTTA's supplement: what is painted, and the numbers beside it."""
import numpy as np
import pytest
import torch
from matplotlib.backends.backend_agg import FigureCanvasAgg
from mmengine.dataset import pseudo_collate

from clamp_mmpose.models.layers.masks import central_patch, patch_masks
from clamp_mmpose.visualization import (
    draw_inpainting,
    draw_inpainting_errors,
    inpaint_instance,
    inpainting_table,
    missing_for_inpainting,
)
from clamp_mmpose.visualization.inpainting import HIDDEN, OTHER_POSE, WITH_POSE, WITHOUT_POSE, to_picture
from clamp_mmpose.visualization.inpainting_panel import colour_heatmaps

NORMALISED = dict(mean=[123.675, 116.28, 103.53], std=[58.395, 57.12, 57.375])


def prepare(model, dataset, index=0):
    return model.data_preprocessor(pseudo_collate([dataset[index]]), False)['inputs']


def rgb(dataset, index=0):
    """The crop as MMPose has cut it, before any preprocessing; it loads BGR."""
    return dataset[index]['inputs'].numpy()[::-1].transpose(1, 2, 0)


@pytest.mark.parametrize('preprocessor', [
    dict(NORMALISED, bgr_to_rgb=True), NORMALISED, dict(bgr_to_rgb=True), {},
    dict(mean=[0, 0, 0], std=[255, 255, 255], bgr_to_rgb=True)
])
def test_the_picture_is_the_crop_whatever_the_preprocessor_has_made_of_it(preprocessor, make_metta, dataset):
    model = make_metta(data_preprocessor=dict(type='PoseDataPreprocessor', **preprocessor))
    picture = to_picture(model, prepare(model, dataset)[0])
    assert picture.dtype == np.uint8
    np.testing.assert_allclose(picture, rgb(dataset), atol=1)


def test_the_patch_alone_is_painted_and_by_the_models_own_network(make_metta, dataset):
    model = make_metta(dict(inpainting_size=(40, 48)))
    found = inpaint_instance(model, dataset, 1, [0.3, 0.9])
    inputs = prepare(model, dataset, 1)
    image = model.head.resize(inputs)
    assert found.image.shape == (48, 40, 3) and found.name == dataset.get_data_info(1)['img_path'].rsplit('/', 1)[-1]
    for side, patch in found.patches.items():
        mask = patch_masks([central_patch((48, 40), side)], (48, 40), image)
        with torch.no_grad():
            painted = model.head.inpaint(model.extract_feat(inputs), image, mask)
        inside = mask[0, 0].bool().numpy()
        assert inside[patch.top:patch.bottom, patch.left:patch.right].all() and inside.sum() == patch.crop(mask).sum()
        with_pose = found.painted[side][WITH_POSE].image
        np.testing.assert_array_equal(with_pose[inside], to_picture(model, painted[0])[inside])
        for kind in (HIDDEN, WITH_POSE, WITHOUT_POSE):
            np.testing.assert_array_equal(found.painted[side][kind].image[~inside], found.image[~inside])
        assert (found.painted[side][HIDDEN].image[inside] == np.round(NORMALISED['mean'])).all()


def test_without_pose_nothing_of_the_pose_is_left(make_metta, dataset):
    model = make_metta()
    before = inpaint_instance(model, dataset, 0, [0.5])
    with torch.no_grad():
        model.head.self_supervised_layer.weight.mul_(-1)
    after = inpaint_instance(model, dataset, 0, [0.5])
    assert np.abs(before.heatmaps[WITH_POSE] - after.heatmaps[WITH_POSE]).max() > 0.1
    assert not before.heatmaps[WITHOUT_POSE].any()
    for kind, changes in ((WITH_POSE, True), (WITHOUT_POSE, False), (HIDDEN, False)):
        assert (before.painted[0.5][kind].loss != after.painted[0.5][kind].loss) == changes, kind
        assert (before.painted[0.5][kind].image != after.painted[0.5][kind].image).any() == changes, kind


def test_another_pose_is_that_of_the_other_instance_over_ones_own_picture(make_metta, dataset):
    model = make_metta()
    own, other = (inpaint_instance(model, dataset, index, [0.5], other=1) for index in (0, 1))
    np.testing.assert_array_equal(own.heatmaps[OTHER_POSE], other.heatmaps[WITH_POSE])
    assert own.painted[0.5][OTHER_POSE].loss != own.painted[0.5][WITH_POSE].loss
    assert other.painted[0.5][OTHER_POSE].loss == other.painted[0.5][WITH_POSE].loss
    outside = np.ones((64, 64), bool)
    outside[16:48, 16:48] = False
    np.testing.assert_array_equal(own.painted[0.5][OTHER_POSE].image[outside], own.image[outside])


@pytest.mark.parametrize('loss', ['mse', 'l1'])
def test_errors_are_those_of_the_missing_pixels(loss, make_metta, dataset):
    model = make_metta(dict(inpainting_loss=loss, mask_side=0.6))
    found = inpaint_instance(model, dataset, 2, [0.6, 1])
    inputs = prepare(model, dataset, 2)
    with torch.no_grad():
        expected = model.head.adaptation_loss(model.extract_feat(inputs), inputs)  # of the same patch
    assert found.painted[0.6][WITH_POSE].loss == pytest.approx(float(expected), rel=1e-4)
    patch = found.patches[0.6]
    for kind, painted in found.painted[0.6].items():
        differences = [abs(int(a) - int(b)) for y in range(patch.top, patch.bottom)
                       for x in range(patch.left, patch.right) for a, b in zip(painted.image[y, x], found.image[y, x])]
        assert painted.error == pytest.approx(sum(differences) / len(differences)), kind
    whole = found.painted[1][HIDDEN]
    assert (whole.image == np.round(NORMALISED['mean'])).all() and found.patches[1] == (0, 64, 0, 64)


def test_the_picture_has_the_numbers_and_the_table_too(make_metta, dataset):
    model = make_metta(dict(num_maps=7))
    found = [inpaint_instance(model, dataset, index, [0.9, 0.3], other=2) for index in range(2)]
    figure = draw_inpainting(found[0])
    FigureCanvasAgg(figure).draw()
    titles = [ax.get_title() for ax in figure.axes]
    assert titles[:3] == ['image', 'side 0.9', 'side 0.3']
    assert '7 self-supervised heatmaps' in figure.axes[3].get_xlabel()
    for place, kind in ((1, HIDDEN), (4, WITH_POSE), (7, WITHOUT_POSE), (10, OTHER_POSE)):
        assert figure.axes[place].get_xlabel() == f'error {found[0].painted[0.9][kind].error:.1f}'
    rows = list(inpainting_table(found))
    assert len(rows) == 2 * 2 * 4 and rows[1][:3] == [found[0].name, '0.9', 'with pose']
    assert float(rows[1][3]) == pytest.approx(found[0].painted[0.9][WITH_POSE].error, rel=1e-3)
    curves = draw_inpainting_errors(found)
    FigureCanvasAgg(curves).draw()
    lines = {line.get_label(): line for line in curves.axes[0].lines}
    assert lines['with pose'].get_xdata().tolist() == [0.3, 0.9]
    expected = [np.mean([each.painted[side][WITH_POSE].error for each in found]) for side in (0.3, 0.9)]
    np.testing.assert_allclose(lines['with pose'].get_ydata(), expected)


def test_every_map_has_a_colour_and_no_map_leaves_the_dark_picture():
    image = np.full((16, 16, 3), 100, np.uint8)
    maps = np.zeros((3, 4, 4), np.float32)
    dark = colour_heatmaps(image, maps)
    assert np.ptp(dark) == 0 and dark.max() < 0.3
    for index in range(3):
        maps[index, index, index] = 1
    light = colour_heatmaps(image, maps)
    places = [light[4 * index + 2, 4 * index + 2] for index in range(3)]
    assert len({tuple(np.round(colour, 2)) for colour in places}) == 3 and min(colour.max() for colour in places) > 0.5
    assert np.allclose(light[15, 0], dark[15, 0])


def test_what_a_head_lacks_is_named(make_metta):
    assert missing_for_inpainting(make_metta().head) == []
    assert missing_for_inpainting(None) == ['resize', 'self_supervised_heatmaps', 'inpainting', 'pixel_loss']

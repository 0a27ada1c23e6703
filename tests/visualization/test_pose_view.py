import cv2
import numpy as np
import pytest
import torch
from mmengine.dataset import pseudo_collate
from mmengine.structures import InstanceData
from mmpose.registry import MODELS
from mmpose.structures import PoseDataSample

from clamp_mmpose.testing import tiny_clamp_model
from clamp_mmpose.visualization import choose_instances, view_instances, view_sample

NAMES = [f'point {index}' for index in range(17)]


def build(**changes):
    model = tiny_clamp_model('vit', names=NAMES)
    model.update(changes)
    return MODELS.build(model).eval()


def test_keypoints_lie_where_the_network_sees_them(dataset):
    sample = dataset[0]['data_samples']
    view, = view_instances(build(), dataset, [0], height=256)
    assert view.image.shape == (256, 256, 3)
    visible = view.visible > 0
    seen_by_network = sample.gt_instances.transformed_keypoints[0] * 256 / 64
    np.testing.assert_allclose(view.keypoints[visible], seen_by_network[visible], atol=1e-2)


def test_crop_shows_what_the_network_sees(dataset):
    view, = view_instances(build(), dataset, [1], height=64)
    seen_by_network = dataset[1]['inputs'].flip(0).permute(1, 2, 0).numpy().astype(float)  # BGR to RGB
    assert np.abs(view.image - seen_by_network).mean() < 4  # cubic here, linear there


def test_a_perfect_prediction_covers_the_ground_truth(dataset, monkeypatch):
    model = build()
    decode = model.head.decode

    def perfect(heatmaps):
        prediction, = decode(heatmaps)
        prediction.keypoints = dataset[2]['data_samples'].gt_instances.transformed_keypoints.copy()
        return [prediction]

    monkeypatch.setattr(model.head, 'decode', perfect)
    view, = view_instances(model, dataset, [2])
    visible = view.visible > 0
    np.testing.assert_allclose(view.predicted[visible], view.keypoints[visible], atol=0.05)


def test_maps_are_those_of_neck_and_head(dataset):
    model = build()
    view, = view_instances(model, dataset, [0])
    with torch.no_grad():
        feats = model.extract_feat(model.data_preprocessor(pseudo_collate([dataset[0]]))['inputs'])
        upsampled = model.head.upsample_score_map(feats.score_map, (16, 16))
    np.testing.assert_allclose(view.score_map, feats.score_map[0], atol=1e-6)
    np.testing.assert_allclose(view.upsampled, upsampled[0], atol=1e-6)
    assert view.heatmap.shape == (17, 16, 16)


def test_a_model_without_score_maps_has_none(dataset):
    head = dict(type='HeatmapHead', in_channels=32, out_channels=17, decoder=tiny_clamp_model()['head']['decoder'],
                deconv_out_channels=(16, 16), deconv_kernel_sizes=(4, 4))
    view, = view_instances(build(neck=None, head=head), dataset, [0])
    assert view.score_map is None and view.upsampled is None
    assert view.predicted.shape == (17, 2)


def test_simcc_head_behind_the_neck_shows_the_cosines_alone(dataset):
    codec = dict(type='SimCCLabel', input_size=(64, 64), sigma=6.0, simcc_split_ratio=2.0)
    head = dict(type='SimCCHead', in_channels=32 + 17, out_channels=17, input_size=(64, 64), in_featuremap_size=(4, 4),
                simcc_split_ratio=2.0, deconv_out_channels=None, decoder=codec)
    view, = view_instances(build(head=head, test_cfg=dict()), dataset, [0])
    assert view.score_map.shape == (17, 4, 4)
    assert view.upsampled is None and view.heatmap is None


def test_offset_maps_are_not_taken_for_keypoints(dataset):
    codec = dict(type='UDPHeatmap', input_size=(64, 64), heatmap_size=(16, 16), heatmap_type='combined')
    model = tiny_clamp_model('vit', names=NAMES, codec=codec, head=dict(out_channels=3 * 17, num_keypoints=17))
    model['test_cfg'] = dict()
    view, = view_instances(MODELS.build(model).eval(), dataset, [0])
    assert view.upsampled is None and view.heatmap is None
    assert view.score_map.shape == (17, 4, 4) and view.predicted.shape == (17, 2)


def test_a_pipeline_without_crops_is_refused(dataset):
    sample = dataset[0]
    for key in ('input_center', 'input_scale'):
        sample['data_samples'].pop(key)
    with pytest.raises(ValueError, match='TopdownAffine'):
        view_instances(build(), [sample], [0])


def test_chosen_instances_depend_on_the_seed_and_show_much(dataset):
    size = len(dataset)
    chosen = choose_instances(dataset, 3, seed=1)
    assert chosen == choose_instances(dataset, 3, seed=1)
    assert len({tuple(choose_instances(dataset, 3, seed=seed)) for seed in range(5)}) > 1
    assert sorted(choose_instances(dataset, 10 * size)) == list(range(size))


def test_instances_with_few_labels_come_last():
    class Few:
        counts = [2, 17, 3, 12]

        def __len__(self):
            return 4

        def get_data_info(self, index):
            return dict(keypoints_visible=(np.arange(17) < self.counts[index])[None].astype(np.float32))

    assert set(choose_instances(Few(), 2)) == {1, 3}
    assert set(choose_instances(Few(), 3)) > {1, 3}


def test_no_instance_is_refused(dataset):
    with pytest.raises(ValueError, match='num=0'):
        choose_instances(dataset, 0)


def test_an_image_that_is_squeezed_into_a_square_is_shown_in_its_own_proportions(tmp_path):
    """As the captions of BLIP have it: the whole image, without keeping its aspect."""
    image = np.zeros((60, 120, 3), np.uint8)
    image[10:20, 90:100] = 255
    cv2.imwrite(str(tmp_path / 'wide.png'), image)
    corner = np.array([[[94.5, 14.5]]], np.float32)
    sample = PoseDataSample(
        gt_instances=InstanceData(keypoints=corner, keypoints_visible=np.ones((1, 1))),
        pred_instances=InstanceData(keypoints=corner, keypoint_scores=np.ones((1, 1))),
        metainfo=dict(img_path=str(tmp_path / 'wide.png'), input_size=(64, 64), input_center=np.array([60, 30]),
                      input_scale=np.array([120, 60])))
    view = view_sample(sample, height=120)
    assert view.image.shape == (120, 240, 3)
    assert view.image[22:38, 182:198].min() > 200 and view.image[:18].max() < 50 and view.image[:, :178].max() < 50
    np.testing.assert_allclose(view.keypoints, [[189, 29]])
    np.testing.assert_allclose(view.to_crop(corner[0]), view.predicted)

import copy
import math

import numpy as np
import pytest
import torch
from mmpose.models import build_pose_estimator
from mmpose.registry import KEYPOINT_CODECS, MODELS

from clamp_mmpose.models.layers import sample_bilinear, sample_released
from clamp_mmpose.structures import VisionLanguageFeatures
from clamp_mmpose.testing import pack_batch, randomize, tiny_clamp_model

SIZES = dict(input_size=(64, 96), heatmap_size=(16, 24))
CODECS = {
    'msra': dict(type='MSRAHeatmap', sigma=1.5, **SIZES),
    'msra unbiased': dict(type='MSRAHeatmap', sigma=1.5, unbiased=True, **SIZES),
    'udp': dict(type='UDPHeatmap', sigma=1.5, **SIZES),
    'udp combined': dict(type='UDPHeatmap', heatmap_type='combined', **SIZES),
    'megvii': dict(type='MegviiHeatmap', kernel_size=5, **SIZES),
}


def samples_of(batch):
    """The data samples as the data preprocessor leaves them."""
    return copy.deepcopy(batch['data_samples'])


def make(K=5, codec=CODECS['msra'], **arguments):
    arguments = {'in_channels': 10 + K, 'out_channels': K, 'decoder': codec,
                 'deconv_out_channels': (8, 8), 'deconv_kernel_sizes': (4, 4),
                 'score_head': dict(deconv_out_channels=(6, 6)), **arguments}
    return randomize(MODELS.build(dict(type='CLAMPHead', **arguments)))


def make_feats(num_keypoints=5, batch=2, seed=0, size=(6, 4)):
    generator = torch.Generator().manual_seed(seed)
    randn = lambda *shape: torch.randn(*shape, generator=generator)  # noqa: E731
    score_map = randn(batch, num_keypoints, *size).tanh()
    return VisionLanguageFeatures([torch.cat([randn(batch, 10, *size), score_map], 1)], dense=randn(batch, 7, *size),
                                  text=randn(batch, num_keypoints, 7), score_map=score_map)


def mse_by_hand(output, target, visible):
    """The mean over images and joints of the mean square over pixels; a hidden joint's maps are zeroed."""
    total = 0.0
    for b, k in np.ndindex(*visible.shape):
        total += visible[b, k] * ((output[b, k] - target[b, k])**2).mean()
    return total / visible.size


def test_losses_of_prediction_and_score_map_are_the_mean_square_of_visible_joints():
    head, feats = make(spatial_loss=dict(type='KeypointMSELoss', use_target_weight=True, loss_weight=0.4)), make_feats()
    head.train()
    batch = pack_batch(CODECS['msra'], 5, hidden=(1, 4))
    with torch.no_grad():
        losses = head.loss(feats, samples_of(batch))
        prediction, upsampled = head(feats).numpy(), head.score_head(feats.score_map).numpy()
    target = np.stack([sample.gt_fields.heatmaps.numpy() for sample in batch['data_samples']])
    visible = np.array([[1, 0, 1, 1, 0]] * 2)
    assert losses['loss_kpt'].item() == pytest.approx(mse_by_hand(prediction, target, visible), rel=1e-5)
    assert losses['loss_spatial'].item() == pytest.approx(0.4 * mse_by_hand(upsampled, target, visible), rel=1e-5)
    assert set(losses) == {'loss_kpt', 'acc_pose', 'loss_spatial', 'loss_feature'}


def test_without_a_score_head_the_score_map_is_enlarged_bilinearly():
    head, feats = make(score_head=None), make_feats()
    batch = pack_batch(CODECS['msra'], 5)
    target = np.stack([sample.gt_fields.heatmaps.numpy() for sample in batch['data_samples']])
    enlarged = np.zeros_like(target)
    for b, k, y, x in np.ndindex(*target.shape):
        v, u = min(max((y + 0.5) / 4 - 0.5, 0), 5), min(max((x + 0.5) / 4 - 0.5, 0), 3)
        for row, column in {(r, c) for r in (int(v), math.ceil(v)) for c in (int(u), math.ceil(u))}:
            weight = (1 - abs(v - row)) * (1 - abs(u - column))
            enlarged[b, k, y, x] += weight * feats.score_map[b, k, row, column].item()
    loss = head.loss(feats, samples_of(batch))['loss_spatial'].item()
    assert loss == pytest.approx(0.4 * mse_by_hand(enlarged, target, np.ones((2, 5))), rel=1e-4)
    assert head.score_head is None


@pytest.mark.parametrize('sampling', [sample_bilinear, sample_released], ids=['bilinear', 'released'])
def test_the_feature_loss_contrasts_the_embedding_at_the_keypoints(sampling):
    head = make(feature_sampling=sampling.__name__.split('_')[1], feature_loss=dict(type='KeypointTextContrastiveLoss'))
    feats, batch = make_feats(), pack_batch(CODECS['msra'], 5, hidden=(2, ))
    instances = [sample.gt_instances for sample in batch['data_samples']]
    # In pixels of the input, which are not those of the picture.
    for instance in instances:
        instance.transformed_keypoints = 0.5 * instance.transformed_keypoints
    keypoints = torch.stack([torch.from_numpy(instance.transformed_keypoints[0]) for instance in instances])
    visible = torch.tensor([[1.0, 1, 0, 1, 1]]).expand(2, -1)
    features, weight = sampling(feats.dense, keypoints, visible, (64, 96))
    assert features.any(-1).any() and torch.equal(weight, visible)
    expected = head.feature_loss(features, feats.text, weight)
    torch.testing.assert_close(head.loss(feats, samples_of(batch))['loss_feature'], expected)


@pytest.mark.parametrize('codec', CODECS)
@pytest.mark.parametrize('num_keypoints', [1, 3, 20])
def test_any_heatmap_codec_and_number_of_keypoints_trains_and_decodes(codec, num_keypoints):
    codec_config, arguments = CODECS[codec], {}
    if codec == 'udp combined':
        loss = dict(type='CombinedTargetMSELoss', use_target_weight=True)
        arguments = dict(out_channels=3 * num_keypoints, num_keypoints=num_keypoints, loss=loss, spatial_loss=loss)
    head, feats = make(num_keypoints, codec_config, **arguments), make_feats(num_keypoints)
    samples = samples_of(pack_batch(codec_config, num_keypoints, hidden=(0, ) if num_keypoints > 1 else ()))
    losses = head.train().loss(feats, samples, dict(compute_acc=codec != 'udp combined'))
    names = ('loss_kpt', 'loss_spatial', 'loss_feature')
    # The contrast among one keypoint is nothing.
    assert all(losses[name] > 0 for name in names[:3 if num_keypoints > 1 else 2])
    sum(losses[name] for name in names).backward()
    assert all(p.grad is not None and torch.isfinite(p.grad).all() for p in head.parameters())
    with torch.no_grad():
        predictions = head.eval().predict(feats, samples, {})
    assert [p.keypoints.shape for p in predictions] == [(1, num_keypoints, 2)] * 2


def test_flip_test_averages_the_unflipped_heatmaps_of_both_images():
    head, feats, flipped = make().eval(), make_feats(), make_feats(seed=1)
    flip_indices = [1, 0, 2, 4, 3]
    samples = samples_of(pack_batch(CODECS['msra'], 5, flip_indices=flip_indices))
    with torch.no_grad():
        _, fields = head.predict([feats, flipped], samples,
                                 dict(flip_test=True, shift_heatmap=False, output_heatmaps=True))
        expected = (head(feats) + head(flipped)[:, flip_indices].flip(-1)) / 2
    for field, heatmap in zip(fields, expected):
        torch.testing.assert_close(field.heatmaps, heatmap)


def test_a_whole_estimator_gives_heatmaps_on_demand():
    config = tiny_clamp_model()
    config['test_cfg'] = dict(flip_test=True, output_heatmaps=True)
    model = build_pose_estimator(config).eval()
    with torch.no_grad():
        results = model(**model.data_preprocessor(pack_batch(config['head']['decoder'], 5)), mode='predict')
    assert results[0].pred_fields.heatmaps.shape == (5, 16, 16)
    assert results[0].pred_instances.keypoints.shape == (1, 5, 2)


@pytest.mark.parametrize('sampling', ['bilinear', 'released'])
@pytest.mark.parametrize('codec', ['msra', 'udp', 'megvii'])
def test_nothing_visible_gives_zero_losses_and_finite_gradients(sampling, codec):
    head, feats = make(codec=CODECS[codec], feature_sampling=sampling).train(), make_feats()
    for tensor in (feats[-1], feats.dense, feats.text, feats.score_map):
        tensor.requires_grad_()
    losses = head.loss(feats, samples_of(pack_batch(CODECS[codec], 5, hidden='all')))
    assert [losses[name].item() for name in ('loss_kpt', 'loss_spatial', 'loss_feature')] == [0, 0, 0]
    sum(value for name, value in losses.items() if 'loss' in name).backward()
    for tensor in (feats[-1], feats.dense, feats.text, feats.score_map, *head.parameters()):
        assert tensor.grad is not None and torch.isfinite(tensor.grad).all()


def test_a_loss_left_out_leaves_its_weights_out():
    no_spatial, no_feature = make(spatial_loss=None), make(feature_loss=None)
    batch = pack_batch(CODECS['msra'], 5)
    assert set(no_spatial.loss(make_feats(), samples_of(batch))) == {'loss_kpt', 'acc_pose', 'loss_feature'}
    assert set(no_feature.loss(make_feats(), samples_of(batch))) == {'loss_kpt', 'acc_pose', 'loss_spatial'}
    assert not any('score_head' in name for name, _ in no_spatial.named_parameters())
    assert not any('logit_scale' in name for name, _ in no_feature.named_parameters())


def test_losses_of_a_seeded_head_stay_what_they_were():
    losses = make().train().loss(make_feats(), samples_of(pack_batch(CODECS['msra'], 5, hidden=(3, ))))
    pinned = dict(loss_kpt=0.356583, loss_spatial=0.0968250, loss_feature=0.00267251)
    assert {name: losses[name].item() for name in pinned} == pytest.approx(pinned, rel=1e-4)


def test_the_losses_start_at_the_released_scale():
    """17 joints, 64 x 64 heatmaps of sigma 2: a zero prediction costs pi sigma^2 / 4096, the contrast is ln 17."""
    codec = dict(type='MSRAHeatmap', input_size=(256, 256), heatmap_size=(64, 64), sigma=2)
    head = make(17, codec)
    torch.nn.init.zeros_(head.final_layer.weight), torch.nn.init.zeros_(head.final_layer.bias)
    batch = pack_batch(codec, 17)
    keypoints = np.random.default_rng(0).uniform(60, 190, (1, 17, 2)).astype(np.float32)
    target = torch.from_numpy(KEYPOINT_CODECS.build(codec).encode(keypoints)['heatmaps'])
    for sample in batch['data_samples']:
        sample.gt_fields.heatmaps = target
    feats = make_feats(17, size=(16, 16))
    feats.dense.zero_()
    losses = head.loss(feats, samples_of(batch))
    assert losses['loss_kpt'].item() == pytest.approx(3.07e-3, rel=1e-2)
    assert losses['loss_feature'].item() == pytest.approx(5e-4 * math.log(17), rel=1e-5)

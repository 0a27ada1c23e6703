"""MeTTA's head: what its auxiliary task reaches, and that preparing and windows change nothing but the time."""
import copy

import pytest
import torch
from mmengine.structures import InstanceData
from mmpose.registry import MODELS
from torch.func import functional_call
from torch.testing import assert_close

from clamp_mmpose.engine.adaptation import adapt
from clamp_mmpose.models.heads.adaptable_head import (
    forward_adapted,
    loss_of_one_image,
    missing_for_adaptation,
    prepare_adaptation,
    select,
)
from clamp_mmpose.models.layers.masks import central_patch, patch_masks
from clamp_mmpose.testing import calibrate_norms, pack_batch, randomize, tiny_metta_model


def make(batch_size=2, dtype=torch.float64, **arguments):
    """A head with random weights, features and images of 64x48 (H, W)."""
    config = tiny_metta_model(head=arguments)['head']
    head = randomize(MODELS.build(config)).to(dtype).eval()
    generator = torch.Generator().manual_seed(1)
    feats = (torch.randn(batch_size, 32, 4, 3, generator=generator, dtype=dtype), )
    images = torch.randn(batch_size, 3, 64, 48, generator=generator, dtype=dtype)
    calibrate_norms(head, lambda: head.adaptation_loss(feats, images))
    return head, feats, images


def gradients(head, feats, images):
    params = head.adaptable_parameters()
    return dict(zip(params, torch.autograd.grad(head.adaptation_loss(feats, images).sum(), params.values())))


def test_the_adaptable_block_is_shared_and_the_norms_stay():
    head, *_ = make()
    assert set(head.adaptable_parameters()) == {
        'conv_layers.0.weight', 'conv_layers.0.bias', 'conv_layers.3.weight', 'conv_layers.3.bias',
        'self_supervised_layer.weight'}
    assert head.final_layer.in_channels == 8 + 5
    other, *_ = make(adaptable=['conv_layers.4', 'inpainting.decoder', 'final_layer'])
    names = set(other.adaptable_parameters())
    assert {'conv_layers.4.weight', 'inpainting.decoder.0.weight', 'final_layer.bias'} <= names
    assert 'inpainting.decoder.1.weight' not in names


def test_a_step_of_the_auxiliary_loss_moves_the_prediction():
    head, feats, images = make()
    with torch.no_grad():
        before = head(feats)
    slopes = gradients(head, feats, images)
    assert all(slope.abs().max() > 0 for slope in slopes.values())
    adapted = {name: value - 0.01 * slopes[name] for name, value in head.adaptable_parameters().items()}
    after = functional_call(head, adapted, (feats, ))
    assert (after - before).abs().max() > 1e-4


@pytest.mark.parametrize('windowed', [False, True])
def test_the_auxiliary_loss_reaches_the_block_through_the_heatmaps_alone(windowed, monkeypatch):
    head, feats, images = make(windowed=windowed)
    keypoints = head.bottleneck.keypoints
    monkeypatch.setattr(head.bottleneck, 'keypoints', lambda maps: keypoints(maps).detach())
    params = head.adaptable_parameters()
    adapted = adapt(loss_of_one_image(head), params, prepare_adaptation(head, feats, images), images, lr=0.01, steps=1)
    for name, value in adapted.items():
        assert torch.equal(value, params[name].expand_as(value)), name


def test_features_that_are_prepared_give_the_same_loss_and_prediction():
    head, feats, images = make()
    prepared = prepare_adaptation(head, feats, images)
    assert_close(head(prepared), head(feats))
    assert_close(head.adaptation_loss(prepared, images), head.adaptation_loss(feats, images))


def test_a_window_gives_the_loss_and_the_gradients_of_the_whole_image():
    head, feats, images = make()
    other, *_ = make(windowed=False)
    other.load_state_dict(head.state_dict())
    assert_close(head.adaptation_loss(feats, images), other.adaptation_loss(feats, images), rtol=0, atol=1e-10)
    assert_close(gradients(head, feats, images), gradients(other, feats, images), rtol=0, atol=1e-10)


def test_adapting_by_dense_heatmaps_comes_to_the_same():
    head, feats, images = make()
    dense = copy.deepcopy(head)
    forward = dense.inpainting.forward
    dense.inpainting.forward = lambda appearance, heatmaps, window: forward(appearance, heatmaps.dense(), window)
    stored = head.adaptable_parameters()
    results = []
    for one in (head, dense):
        params = adapt(loss_of_one_image(one), one.adaptable_parameters(), prepare_adaptation(one, feats, images),
                       images, lr=1e-3, steps=2, create_graph=True)
        slopes = torch.autograd.grad(sum(value.square().sum() for value in params.values()),
                                     [*one.adaptable_parameters().values(), *one.inpainting.pose_encoder.parameters()])
        results.append((params, slopes))
    assert_close(*results, rtol=1e-8, atol=1e-8)
    assert not torch.equal(results[0][0]['conv_layers.0.weight'][0], stored['conv_layers.0.weight'])


@pytest.mark.parametrize('kind', ['l1', 'mse'])
def test_the_loss_is_that_of_the_painted_patch(kind):
    head, feats, images = make(inpainting_loss=kind, mask_side=0.25)
    mask = patch_masks([central_patch((64, 48), 0.25)], (64, 48), images)
    painted = head.inpaint(feats, images, mask)
    assert painted.shape == images.shape
    difference = (painted - images)[:, :, 24:40, 18:30]
    expected = (difference.abs() if kind == 'l1' else difference**2).mean((1, 2, 3))
    assert_close(head.adaptation_loss(feats, images), expected)


def test_what_is_missing_is_not_seen():
    """Another content of the patch changes the loss, but not what is painted."""
    head, feats, images = make()
    other = images.clone()
    central_patch((64, 48), 0.5).crop(other).add_(1)
    assert_close(prepare_adaptation(head, feats, other), prepare_adaptation(head, feats, images))
    assert (head.adaptation_loss(feats, other) - head.adaptation_loss(feats, images)).abs().min() > 1e-3


def test_the_joint_stage_draws_its_patches():
    head, feats, images = make()
    torch.manual_seed(0)
    first = head.auxiliary_loss(feats, images)
    assert first.shape == (2, ) and not torch.equal(first, head.auxiliary_loss(feats, images))
    torch.manual_seed(0)
    assert torch.equal(first, head.auxiliary_loss(feats, images))


def test_each_image_has_its_own_parameters_in_the_prediction():
    head, feats, images = make(batch_size=3)
    prepared = prepare_adaptation(head, feats, images)
    adapted = adapt(loss_of_one_image(head), head.adaptable_parameters(), prepared, images, lr=0.01, steps=2)
    batched = forward_adapted(head, adapted, prepared)
    for index in range(3):
        alone = functional_call(head, {name: value[index] for name, value in adapted.items()},
                                ((feats[0][index:index + 1], ), ))
        assert_close(batched[index], alone[0])
    kept = select(torch.tensor([True, False, True]), adapted, {n: p.expand(3, *p.shape)
                                                             for n, p in head.adaptable_parameters().items()})
    mixed = forward_adapted(head, kept, prepared)
    assert_close(mixed[1], head(feats)[1])
    assert_close(mixed[::2], batched[::2])


def test_adapting_lowers_the_loss_of_each_image():
    head, feats, images = make(batch_size=4)
    prepared = prepare_adaptation(head, feats, images)
    adapted = adapt(loss_of_one_image(head), head.adaptable_parameters(), prepared, images, lr=1e-4, steps=5)
    losses = torch.func.vmap(loss_of_one_image(head))(adapted, prepared, images)
    assert (losses < head.adaptation_loss(feats, images)).all()


def test_the_supervised_loss_and_prediction_are_mmposes():
    config = tiny_metta_model()['head']
    head = randomize(MODELS.build(config)).eval()
    samples = pack_batch(config['decoder'], 5)['data_samples']
    feats = (torch.randn(2, 32, 4, 4), )
    losses = head.loss(feats, samples)
    target = torch.stack([sample.gt_fields.heatmaps for sample in samples])
    assert_close(losses['loss_kpt'], (head(feats) - target).square().mean())
    predictions = head.predict(feats, samples)
    assert all(isinstance(p, InstanceData) and p.keypoints.shape == (1, 5, 2) for p in predictions)


def test_a_fresh_head_has_maps_with_peaks():
    config = tiny_metta_model(head=dict(conv_out_channels=(64, 64)))['head']
    head = MODELS.build(config)
    head.init_weights()
    assert head.self_supervised_layer.weight.std() > 0.1
    assert head.final_layer.weight.std() < 0.002
    assert head.inpainting.decoder[0].weight.std() > 0.1


def test_the_perceptual_loss_sees_the_image_with_its_painted_patch():
    head, feats, images = make(perceptual_loss=dict(type='PerceptualLoss', loss_weight=0.1))
    plain = copy.deepcopy(head)
    plain.perceptual_loss = None
    mask = patch_masks([central_patch((64, 48), 0.5)], (64, 48), images)
    painted = torch.where(mask > 0, head.inpaint(feats, images, mask), images)
    expected = plain.adaptation_loss(feats, images) + head.perceptual_loss(painted, images)
    assert_close(head.adaptation_loss(feats, images), expected)
    params = head.adaptable_parameters()
    adapted = adapt(loss_of_one_image(head), params, prepare_adaptation(head, feats, images), images, lr=1e-3, steps=1)
    assert not torch.equal(adapted['conv_layers.0.weight'][0], params['conv_layers.0.weight'])
    means = head.perceptual_loss.means.clone()
    head.auxiliary_loss(feats, images)
    assert torch.equal(head.perceptual_loss.means, means)
    head.train()
    head.auxiliary_loss(feats, images)
    assert (head.perceptual_loss.means != means).all()


def test_half_precision_gives_full_precision_heatmaps():
    head, feats, images = make(dtype=torch.float32)
    with torch.autocast('cpu', torch.bfloat16):
        heatmaps, loss = head(feats), head.adaptation_loss(feats, images)
    assert heatmaps.dtype == loss.dtype == torch.float32
    assert_close(heatmaps, head(feats), rtol=0.1, atol=0.1)


@pytest.mark.parametrize('arguments, message', [
    (dict(mask_side=1.5), 'mask_side=1.5 must be greater than 0 and at most 1'),
    (dict(random_mask_sides=(0.5, 2)), r'random_mask_sides=\(0.5, 2\) must'),
    (dict(inpainting_loss='l2'), "inpainting_loss='l2' must"),
    (dict(adaptable=['block']), "adaptable has 'block', which is no module"),
    (dict(adaptable=['inpainting']), "adaptable has 'inpainting', but"),
    (dict(adaptable=['deconv_layers.0']), "adaptable has 'deconv_layers.0', but"),
    (dict(adaptable=['bottleneck']), r"adaptable=\['bottleneck'\] holds no parameter"),
    (dict(adaptable=[]), r'adaptable=\[\] holds no parameter'), (dict(conv_out_channels=()), 'conv_out_channels='),
    (dict(sigma=0), 'sigma=0 must'),
])
def test_arguments_that_make_no_sense_are_named(arguments, message):
    with pytest.raises(ValueError, match=f'^{message}'):
        make(**arguments)


def test_a_head_says_what_it_lacks_to_adapt():
    head, *_ = make()
    assert missing_for_adaptation(head) == []
    assert missing_for_adaptation(None) == ['a head']
    plain = MODELS.build(dict(type='HeatmapHead', in_channels=4, out_channels=2))
    assert missing_for_adaptation(plain) == ['adaptable_parameters()', 'adaptation_loss()']
    empty = copy.copy(head)
    empty.adaptable_parameters = dict
    assert 'adaptable_parameters() is empty' in missing_for_adaptation(empty)[0]


@pytest.mark.parametrize('size', [(30, 32), (0, 8), (-8, 8), (32, ), 32, (24.0, 32.0)])
def test_an_inpainting_size_that_does_not_work_is_refused_before_the_first_batch(size):
    with pytest.raises(ValueError, match=r'^inpainting_size=.* must be a width and a height, both multiples of 8'):
        MODELS.build(tiny_metta_model(head=dict(inpainting_size=size))['head'])

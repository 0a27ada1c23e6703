"""CLAMP's losses and MeTTA's task in one head."""
import copy

import pytest
import torch
from mmpose.models import build_pose_estimator

from clamp_mmpose.testing import pack_batch, randomize, tiny_clamp_model


def make(stage='joint', adaptation=None, **head):
    config = tiny_clamp_model('resnet', head=dict(
        type='CLAMPMeTTAHead', conv_out_channels=(8, 8), inpainting=dict(base_channels=2)) | head)
    config.update(type='MeTTAPoseEstimator', stage=stage)
    config['test_cfg']['adaptation'] = adaptation
    model = randomize(build_pose_estimator(config))
    batch = pack_batch(config['head']['decoder'], 5, batch_size=2)
    return model, batch


def losses_of(model, batch):
    return model(**model.data_preprocessor(copy.deepcopy(batch), True), mode='loss')


def without_gradient(model):
    return {name for name, p in model.named_parameters() if p.requires_grad and p.grad is None}


@pytest.mark.parametrize('head', [{}, dict(spatial_loss=None), dict(feature_loss=None)])
@pytest.mark.parametrize('stage', ['joint', 'meta'])
def test_every_stage_has_clamps_losses_and_trains_every_weight_it_does_not_freeze(stage, head):
    model, batch = make(stage, **head)
    losses = losses_of(model.train(), batch)
    assert set(losses) == {'loss_kpt', 'acc_pose', 'loss_spatial', 'loss_feature', 'loss_auxiliary'} - {
        key.replace('spatial_loss', 'loss_spatial').replace('feature_loss', 'loss_feature') for key in head} - (
        {'loss_auxiliary'} if stage == 'meta' else set())
    model.parse_losses(losses)[0].backward()
    assert without_gradient(model) == set()
    trained = {name.split('.')[0] for name, p in model.named_parameters() if p.requires_grad}
    assert trained == ({'head'} if stage == 'meta' else {'backbone', 'neck', 'head'})


def test_clamps_losses_are_those_of_clamps_head():
    model, batch = make()
    model.eval()
    feats = model.extract_feat(model.data_preprocessor(copy.deepcopy(batch), False)['inputs'])
    plain = build_pose_estimator(tiny_clamp_model('resnet')).eval()
    state = {name: value for name, value in model.state_dict().items() if not name.startswith('head.final_layer.')}
    plain.load_state_dict(state, strict=False)
    samples = batch['data_samples']
    ours, clamps = model.head.loss(feats, samples), plain.head.loss(feats, samples)
    for name in ('loss_spatial', 'loss_feature'):
        torch.testing.assert_close(ours[name], clamps[name])
    assert ours['loss_kpt'] != clamps['loss_kpt']


@pytest.mark.parametrize('flip_test', [False, True])
def test_it_adapts_behind_the_score_map(flip_test):
    model, batch = make('test', adaptation=dict(steps=2, lr=1e-4, guard=False))
    model.test_cfg['flip_test'] = flip_test
    model.eval()
    with torch.no_grad():
        adapted = model.test_step(copy.deepcopy(batch))
        model.adaptation = None
        plain = model.test_step(copy.deepcopy(batch))
    for one, other in zip(adapted, plain):
        assert (one.pred_instances.keypoint_scores != other.pred_instances.keypoint_scores).any()


def test_it_starts_from_a_clamp_model():
    clamp, (model, _) = randomize(build_pose_estimator(tiny_clamp_model('resnet'))), make()
    state = {name: value for name, value in clamp.state_dict().items() if 'head.final_layer' not in name or
             'score_head' in name}
    result = model.load_state_dict(state, strict=False)
    assert result.unexpected_keys == []
    new = ('head.conv_layers.', 'head.self_supervised_layer.', 'head.final_layer.', 'head.inpainting.')
    assert all(name.startswith(new) for name in result.missing_keys)


def test_the_score_map_alone_leaves_nothing_to_adapt():
    with pytest.raises(ValueError, match=r'matching_only=True of CLAMPMeTTAHead leaves nothing to adapt'):
        make(matching_only=True)


@pytest.mark.parametrize('stage', ['joint', 'meta'])
def test_mettas_own_head_takes_auxiliary_losses_of_the_score_map(stage):
    config = tiny_clamp_model('resnet')
    args = {key: config['head'][key] for key in ('in_channels', 'out_channels', 'deconv_out_channels',
                                                 'deconv_kernel_sizes', 'decoder')}
    head = dict(type='MeTTAHead', conv_out_channels=(8, 8), inpainting=dict(base_channels=2), **args)
    config.update(type='MeTTAPoseEstimator', stage=stage, head=dict(
        type='WithAuxiliaryLoss', head=head, losses=[dict(type='ScoreMapBCELoss')]))
    model = randomize(build_pose_estimator(config)).train()
    losses = losses_of(model, pack_batch(args['decoder'], 5, batch_size=2))
    assert len([name for name in losses if 'loss' in name]) == (3 if stage == 'joint' else 2)
    model.parse_losses(losses)[0].backward()
    assert without_gradient(model) == set()

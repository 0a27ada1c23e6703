"""Any head can carry auxiliary losses and stays what it is."""
import copy
import pickle

import pytest
import torch
from mmpose.models import build_pose_estimator
from mmpose.models.heads import HeatmapHead
from mmpose.registry import MODELS

from clamp_mmpose.testing import TINY_TEXT, pack_batch, tiny_clamp_model

NAMES = ['left eye', 'right eye', 'nose', 'left front paw', 'tail root']
MSRA = dict(type='MSRAHeatmap', input_size=(64, 64), heatmap_size=(16, 16), sigma=1.5)
SIMCC = dict(type='SimCCLabel', input_size=(64, 64), sigma=(1.5, 1.5), simcc_split_ratio=2.0)
REGRESSION = dict(type='RegressionLabel', input_size=(64, 64))
NECK = dict(
    type='DenseCLIPNeck', names=NAMES, text_encoder=dict(type='CLIPTextEncoder', arch=TINY_TEXT),
    context_decoder=dict(width=32))
HEADS = {
    'HeatmapHead': (MSRA, dict(
        in_channels=37, out_channels=5, deconv_out_channels=(16, 16), deconv_kernel_sizes=(4, 4),
        loss=dict(type='KeypointMSELoss', use_target_weight=True))),
    'RTMCCHead': (SIMCC, dict(
        in_channels=37, out_channels=5, input_size=(64, 64), in_featuremap_size=(4, 4), simcc_split_ratio=2.0,
        final_layer_kernel_size=3, gau_cfg=dict(hidden_dims=32, s=16, expansion_factor=2, dropout_rate=0.,
                                               drop_path=0., act_fn='SiLU', use_rel_bias=False, pos_enc=False),
        loss=dict(type='KLDiscretLoss', use_target_weight=True, beta=10., label_softmax=True))),
    'RLEHead': (REGRESSION, dict(
        in_channels=37, num_joints=5, loss=dict(type='RLELoss', use_target_weight=True))),
    'CLAMPHead': (MSRA, dict(
        in_channels=37, out_channels=5, deconv_out_channels=(16, 16), deconv_kernel_sizes=(4, 4),
        score_head=dict(deconv_out_channels=(8, 8)))),
}
BACKBONES = {
    'CLIP ViT': (None, {}),
    'ResNet': (dict(type='ResNet', depth=18, base_channels=4, stem_channels=4), 32),
    'Swin': (dict(type='SwinTransformer', embed_dims=8, depths=[1, 1, 1, 1], num_heads=[1, 1, 2, 2], window_size=2,
                  out_indices=(3, ), pretrain_img_size=64), 64),
    'HRNet': (dict(type='HRNet', in_channels=3, extra=dict(
        stage1=dict(num_modules=1, num_branches=1, block='BOTTLENECK', num_blocks=(1, ), num_channels=(8, )),
        stage2=dict(num_modules=1, num_branches=2, block='BASIC', num_blocks=(1, 1), num_channels=(8, 16)),
        stage3=dict(num_modules=1, num_branches=3, block='BASIC', num_blocks=(1, ) * 3, num_channels=(8, 16, 32)),
        stage4=dict(num_modules=1, num_branches=4, block='BASIC', num_blocks=(1, ) * 4, num_channels=(8, 16, 32, 64),
                    multiscale_output=True))), 64),
}


def model_of(head, *, losses=(dict(type='ScoreMapBCELoss'), ), backbone='CLIP ViT', **neck):
    codec, arguments = HEADS[head]
    config = tiny_clamp_model(names=NAMES)
    config['neck'] = dict(copy.deepcopy(NECK), **neck)
    if head == 'RLEHead':
        config['neck']['next_neck'] = dict(type='GlobalAveragePooling')
        config['test_cfg'] = dict(flip_test=True, shift_coords=True)
    elif head == 'RTMCCHead':
        config['test_cfg'] = dict(flip_test=True)
    arguments = dict(arguments, type=head, decoder=codec)
    tower, channels = BACKBONES[backbone]
    if tower is not None:
        config['backbone'] = copy.deepcopy(tower)
        config['neck']['embedding'] = dict(type='DenseAttentionPool', in_channels=channels, input_size=(64, 64))
        arguments['in_channels'] = channels + 5
        if head == 'HeatmapHead':
            arguments.update(deconv_out_channels=(16, ) * 3, deconv_kernel_sizes=(4, ) * 3)
        if backbone == 'HRNet':
            config['neck']['next_neck'] = dict(type='FeatureMapProcessor', concat=True)
            arguments.update(in_channels=8 + 16 + 32 + 64 + 5, deconv_out_channels=None, deconv_kernel_sizes=None)
    config['head'] = arguments if losses is None else dict(type='WithAuxiliaryLoss', head=arguments, losses=losses)
    return build_pose_estimator(config), codec


def losses_of(model, codec):
    batch = model.train().data_preprocessor(pack_batch(codec, 5), True)
    return model(**batch, mode='loss')


@pytest.mark.parametrize('head', HEADS)
def test_mmposes_heads_train_and_predict_behind_denseclip_with_an_auxiliary_loss(head):
    model, codec = model_of(head)
    losses = losses_of(model, codec)
    assert losses['loss_score'] > 0
    model.parse_losses(losses)[0].backward()
    assert [name for name, p in model.named_parameters() if p.requires_grad and p.grad is None] == []
    results = model.eval()(**model.data_preprocessor(pack_batch(codec, 5)), mode='predict')
    assert results[0].pred_instances.keypoints.shape == (1, 5, 2)


@pytest.mark.parametrize('backbone', BACKBONES)
@pytest.mark.parametrize('prompting', ['post', 'pre', 'language', 'template'])
def test_any_backbone_trains_with_every_prompting(backbone, prompting):
    model, codec = model_of('HeatmapHead', backbone=backbone, prompting=prompting)
    model.parse_losses(losses_of(model, codec))[0].backward()
    assert [name for name, p in model.named_parameters() if p.requires_grad and p.grad is None] == []


def test_the_head_stays_what_it_is():
    torch.manual_seed(0)
    plain, codec = model_of('HeatmapHead', losses=None)
    carrying, _ = model_of('HeatmapHead')
    assert isinstance(carrying.head, HeatmapHead) and type(carrying.head).__name__ == 'HeatmapHead'
    assert carrying.state_dict().keys() == plain.state_dict().keys()
    carrying.load_state_dict(plain.state_dict())
    torch.manual_seed(1)
    expected = losses_of(plain, codec)
    torch.manual_seed(1)
    got = losses_of(carrying, codec)
    torch.testing.assert_close(got['loss_kpt'], expected['loss_kpt'])
    assert set(got) - set(expected) == {'loss_score'}


def test_several_losses_are_numbered_and_their_weights_are_saved():
    two = [dict(type='ScoreMapBCELoss'), dict(type='ScoreMapMSELoss', num_keypoints=5, deconv_out_channels=(8, ))]
    model, codec = model_of('HeatmapHead', losses=two)
    assert {'loss_kpt', 'loss_score', 'loss_score_1'} <= set(losses_of(model, codec))
    assert any(name.startswith('head.auxiliary_losses.1.') for name in model.state_dict())


@pytest.mark.parametrize('how', [copy.deepcopy, lambda model: pickle.loads(pickle.dumps(model))])
def test_it_is_copied_and_pickled(how):
    model, codec = model_of('HeatmapHead')
    twin = how(model)
    assert type(twin.head) is type(model.head)
    torch.manual_seed(0)
    expected = losses_of(model, codec)['loss_score']
    torch.manual_seed(0)
    torch.testing.assert_close(losses_of(twin, codec)['loss_score'], expected)


def test_features_without_a_score_map_are_refused():
    head = MODELS.build(dict(type='WithAuxiliaryLoss', losses=[dict(type='ScoreMapBCELoss')], head=dict(
        type='HeatmapHead', in_channels=37, out_channels=5, decoder=MSRA)))
    with pytest.raises(ValueError, match=r'auxiliary losses of HeatmapHead find no score_map.*DenseCLIPNeck'):
        head.loss((torch.rand(2, 37, 4, 4), ), pack_batch(MSRA, 5)['data_samples'])


def test_one_loss_needs_no_list_and_wrappers_nest():
    model, _ = model_of('HeatmapHead', losses=dict(type='ScoreMapBCELoss'))
    assert len(model.head.auxiliary_losses) == 1
    inner = dict(type='WithAuxiliaryLoss', losses=[dict(type='ScoreMapBCELoss')],
                 head=dict(HEADS['HeatmapHead'][1], type='HeatmapHead', decoder=MSRA))
    nested = MODELS.build(dict(type='WithAuxiliaryLoss', losses=[dict(type='ScoreMapBCELoss')], head=inner))
    assert len(nested.auxiliary_losses) == 2


def test_an_auxiliary_loss_is_initialised_in_its_own_way():
    """Not as the head's convolutions are, with a deviation of 0.001."""
    model, _ = model_of('HeatmapHead', losses=dict(type='ScoreMapMSELoss', num_keypoints=5, deconv_out_channels=(8, )))
    model.init_weights()
    assert model.head.deconv_layers[0].weight.std() < 0.002
    assert model.head.auxiliary_losses[0].upsampler.deconv_layers[0].weight.std() > 0.02


@pytest.mark.parametrize('config, message', [
    (dict(losses=[dict(type='KeypointMSELoss')]), "type='KeypointMSELoss' of losses is no auxiliary loss"),
    (dict(head=dict(type='FeatureMapProcessor')), "head type='FeatureMapProcessor' has no loss of features and data"),
    (dict(losses=[dict(type='ScoreMapBCELoss', tau=0)]), 'tau=0 must be above 0'),
])
def test_what_cannot_work_is_refused_when_it_is_built(config, message):
    head = dict(HEADS['HeatmapHead'][1], type='HeatmapHead', decoder=MSRA)
    with pytest.raises(ValueError, match=message):
        MODELS.build(dict(type='WithAuxiliaryLoss', losses=[dict(type='ScoreMapBCELoss')], head=head) | config)


@pytest.mark.parametrize('loss, message', [
    (dict(type='BoxScoreLoss'), 'BoxScoreLoss needs boxes with classes, as detectors have; for pose there are'),
    (dict(type='ScoreMapMSELoss', num_keypoints=4), 'num_keypoints=4 of ScoreMapMSELoss, but the neck has 5 names'),
])
def test_a_loss_that_does_not_fit_the_data_says_so(loss, message):
    with pytest.raises(ValueError, match=message):
        losses_of(*model_of('HeatmapHead', losses=[loss]))


def test_another_number_of_keypoints_than_names():
    model, _ = model_of('RTMCCHead')
    feats = model.extract_feat(torch.rand(2, 3, 64, 64))
    with pytest.raises(ValueError, match=r'2 instances of 7 keypoints, and the score map is \(2, 5, 4, 4\)'):
        model.head.auxiliary_losses[0](feats, pack_batch(MSRA, 7)['data_samples'])


def test_an_rpn_head_refuses_them():
    pytest.importorskip('mmdet')
    from mmengine.registry import DefaultScope
    with DefaultScope.overwrite_default_scope('mmdet'):
        import mmdet.models  # noqa: F401
        head = MODELS.build(dict(type='mmpose.WithAuxiliaryLoss', losses=[dict(type='BoxScoreLoss')], head=dict(
            type='RPNHead', in_channels=8, feat_channels=8)))
    with pytest.raises(ValueError, match='on RPNHead as rpn_head would not be used; give them to roi_head'):
        head.loss_and_predict((torch.rand(1, 8, 4, 4), ), [])

"""What does not fit together is named before the first training step."""
import copy

import pytest
import torch
from mmpose.models import build_pose_estimator

from clamp_mmpose.structures import VisionLanguageFeatures
from clamp_mmpose.testing import pack_batch, tiny_clamp_model

CODEC = dict(type='MSRAHeatmap', input_size=(64, 64), heatmap_size=(16, 16), sigma=1.5)


def loss(config, *, num_keypoints=5, **packing):
    model = build_pose_estimator(config).train()
    batch = model.data_preprocessor(pack_batch(CODEC, num_keypoints, **packing), True)
    return model(**batch, mode='loss')


def test_the_tiny_model_itself_trains():
    assert torch.isfinite(sum(value for name, value in loss(tiny_clamp_model()).items() if 'loss' in name))


def test_a_neck_without_a_score_map():
    config = tiny_clamp_model(head=dict(in_channels=32))
    config['neck'] = None
    with pytest.raises(ValueError, match=r"CLAMPHead finds no \['score_map', 'text'\].*PromptLearnerNeck or DenseCLIP"):
        loss(config)


def test_plain_feature_maps():
    head = build_pose_estimator(tiny_clamp_model()).head
    with pytest.raises(ValueError, match=r"CLAMPHead finds no \['score_map', 'dense', 'text'\]"):
        head((torch.rand(2, 37, 4, 4), ))
    with pytest.raises(ValueError, match=r"CLAMPHead finds no \['score_map', 'dense', 'text'\]"):
        head.loss((torch.rand(2, 37, 4, 4), ), pack_batch(CODEC, 5)['data_samples'])


def test_names_that_differ_in_number_from_the_keypoints_of_the_dataset():
    with pytest.raises(ValueError, match=r'the neck has 5 keypoint_names, the dataset 17 keypoints, and the head is '
                       'built for 5; all three must be the same'):
        loss(tiny_clamp_model(), num_keypoints=17)


def test_names_that_differ_in_number_from_the_heads_keypoints():
    with pytest.raises(ValueError, match=r'the neck has 5 keypoint_names, the dataset 5 keypoints, and the head is '
                       'built for 4'):
        loss(tiny_clamp_model(head=dict(out_channels=4)))


def test_in_channels_that_do_not_count_the_score_map():
    with pytest.raises(ValueError, match=r'in_channels=32 of CLAMPHead, but the last map in front of it has 37'):
        loss(tiny_clamp_model(head=dict(in_channels=32)))


@pytest.mark.parametrize('deconvs, size', [(1, 8), (3, 32)])
def test_a_codec_whose_heatmap_size_does_not_fit(deconvs, size):
    head = dict(deconv_out_channels=(8, ) * deconvs, deconv_kernel_sizes=(4, ) * deconvs)
    config = tiny_clamp_model(head=head)
    message = rf'makes heatmaps of \({size}, {size}\) \(W, H\), the codec has heatmap_size=\(16, 16\)'
    with pytest.raises(ValueError, match=message):
        loss(config)
    model = build_pose_estimator(config).eval()
    with pytest.raises(ValueError, match=message):
        model(**model.data_preprocessor(pack_batch(CODEC, 5)), mode='predict')


def test_a_score_head_that_does_not_reach_the_heatmaps():
    with pytest.raises(ValueError, match=r'the upsampled score map is \(2, 5, 8, 8\), the target \(2, 5, 16, 16\); '
                       'score_head must double its size as often'):
        loss(tiny_clamp_model(head=dict(score_head=dict(deconv_out_channels=(8, )))))


def test_a_pipeline_that_does_not_pack_the_keypoints():
    with pytest.raises(ValueError, match=r"dict\(type='PackPoseInputs', pack_transformed=True\) in the training pip"):
        loss(tiny_clamp_model(), pack_transformed=False)
    losses = loss(tiny_clamp_model(head=dict(feature_loss=None)), pack_transformed=False)
    assert 'loss_feature' not in losses


def test_an_unknown_sampling():
    with pytest.raises(ValueError, match=r"feature_sampling='nearest' must be one of \['bilinear', 'released'\]"):
        build_pose_estimator(tiny_clamp_model(head=dict(feature_sampling='nearest')))


def test_another_architecture_of_the_text():
    config = tiny_clamp_model()
    config['neck']['text_encoder']['arch'] = dict(config['neck']['text_encoder']['arch'], embed_dim=64)
    with pytest.raises(ValueError, match='image embedding has 32 channels and the text embedding 64; arch of backbone'):
        loss(config)


def test_a_backbone_without_embedding():
    with pytest.raises(ValueError, match=r'PromptLearnerNeck needs the image embedding.*with_embedding=True'):
        loss(tiny_clamp_model(with_embedding=False))


def test_a_checkpoint_of_another_number_of_keypoints_loads_all_but_the_last_layers():
    """As in any MMPose model: what depends on K starts anew, and PyTorch says so."""
    source = build_pose_estimator(tiny_clamp_model(names=('nose', 'tail', 'left eye')))
    target = build_pose_estimator(tiny_clamp_model())
    state = copy.copy(source.state_dict())
    with pytest.raises(RuntimeError, match=r'size mismatch for head\.final_layer') as error:
        target.load_state_dict(state)
    assert 'backbone' not in str(error.value) and 'neck' not in str(error.value)


def test_a_score_map_of_another_neck_serves_too():
    """The head asks for attributes, not for a class."""
    model = build_pose_estimator(tiny_clamp_model())
    feats = VisionLanguageFeatures([torch.rand(2, 37, 4, 4)], dense=torch.rand(2, 7, 4, 4), text=torch.rand(2, 5, 7),
                                   score_map=torch.rand(2, 5, 4, 4))
    losses = model.head.loss(feats, pack_batch(CODEC, 5)['data_samples'])
    assert set(losses) == {'loss_kpt', 'acc_pose', 'loss_spatial', 'loss_feature'}

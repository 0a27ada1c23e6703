"""CLAMPHead(matching_only=True): the score map alone predicts, for any number of names."""
import copy

import pytest
import torch
from mmengine.config import Config
from mmpose.models import build_pose_estimator

from clamp_mmpose.models import mirror_indices
from clamp_mmpose.structures import VisionLanguageFeatures
from clamp_mmpose.testing import pack_batch, randomize, shrink_model, tiny_clamp_model

CODEC = dict(type='MSRAHeatmap', input_size=(64, 64), heatmap_size=(16, 16), sigma=1.5)
UDP = dict(CODEC, type='UDPHeatmap')
NAMES = ('left eye', 'right eye', 'nose', 'left front paw', 'tail root')
OTHERS = ('beak', 'right wing', 'tail', 'left wing', 'crown', 'left foot', 'right foot')


def make(codec=CODEC, names=NAMES, *, test_cfg=None, **head):
    """What stands in ``in_channels`` does not matter."""
    head = dict(matching_only=True, in_channels=None, score_head=dict(deconv_out_channels=(8, 8))) | head
    config = tiny_clamp_model(names=names, codec=codec, head=head)
    config['test_cfg'] = test_cfg or dict(flip_test=False, output_heatmaps=True)
    return randomize(build_pose_estimator(config)).eval()


def predict(model, num_keypoints=5, **packing):
    batch = pack_batch(CODEC, num_keypoints, **packing)
    with torch.no_grad():
        return model(**model.data_preprocessor(batch, False), mode='predict')


def heatmaps_of(samples):
    return torch.stack([sample.pred_fields.heatmaps for sample in samples])


def test_the_score_map_as_pictures_show_it_is_the_heatmap():
    model = make()
    with torch.no_grad():
        feats = model.extract_feat(torch.randn(2, 3, 64, 64))
        shown = model.head.upsample_score_map(feats.score_map, (16, 16))
        torch.testing.assert_close(shown, model.head(feats), atol=0, rtol=0)


def test_it_trains_every_weight_it_has():
    """A weight that no loss reaches would stop DistributedDataParallel."""
    model = make().train()
    losses = model(**model.data_preprocessor(pack_batch(CODEC, 5, hidden=(1, )), True), mode='loss')
    assert set(losses) == {'loss_kpt', 'acc_pose', 'loss_feature'}
    model.parse_losses(losses)[0].backward()
    trained = {key: p for key, p in model.named_parameters() if p.requires_grad}
    assert [key for key, p in trained.items() if p.grad is None] == []
    assert all(parameter.grad.any() for key, parameter in trained.items() if key.startswith('head'))
    assert not any('final_layer' in key and 'score_head' not in key for key in model.state_dict())


def test_each_map_is_made_of_its_own_score_map_alone():
    head = make().head
    score_map = torch.randn(2, 5, 4, 4)
    other = score_map.clone()
    other[:, 2] += 1

    def feats(score_map):
        return VisionLanguageFeatures([torch.rand(2, 9, 4, 4)], dense=torch.rand(2, 7, 4, 4),
                                      text=torch.rand(2, 5, 7), score_map=score_map)

    with torch.no_grad():
        before, after, moved = head(feats(score_map)), head(feats(other)), head(feats(score_map[:, [4, 0, 1, 2, 3]]))
    assert [bool((before[:, k] != after[:, k]).any()) for k in range(5)] == [False, False, True, False, False]
    torch.testing.assert_close(moved, before[:, [4, 0, 1, 2, 3]])
    expected = torch.cat([head.score_head(score_map[:, [k]]) for k in range(5)], 1)
    torch.testing.assert_close(before, expected)


@pytest.mark.parametrize('names', [OTHERS, ('nose', ), NAMES[::-1], NAMES[:2]])
def test_other_names_may_be_asked_for_after_training(names):
    model = make()
    model.neck.prompts.set_names(names)
    samples = predict(model)
    assert heatmaps_of(samples).shape == (2, len(names), 16, 16)
    assert samples[0].pred_instances.keypoints.shape == (1, len(names), 2)


def test_the_shipped_config_takes_names_of_many_words():
    config = Config.fromfile('configs/clamp/clamp_vit-b16-matching_4xb32-210e_ap10k-256x256.py')
    model = build_pose_estimator(shrink_model(config.model.to_dict()))
    names = ['the white tip of a long and bushy tail', 'upper end of the left horn']
    model.neck.prompts.set_names(names)
    assert model.neck.eval().prompts().shape[:2] == (1, 2)


def test_a_permutation_of_the_names_permutes_the_keypoints():
    model = make()
    before = heatmaps_of(predict(model))
    model.neck.prompts.set_names([NAMES[i] for i in (3, 0, 4, 2, 1)])
    torch.testing.assert_close(heatmaps_of(predict(model)), before[:, [3, 0, 4, 2, 1]], rtol=1e-4, atol=1e-5)


def test_without_prompt_and_context_the_maps_of_a_subset_are_those_of_the_whole():
    """Between them the prompts see each other; without, each name stands for itself."""
    config = tiny_clamp_model(neck=dict(prompt_encoder=None, context_decoder=None), head=dict(
        matching_only=True, in_channels=0, score_head=dict(deconv_out_channels=(8, 8))))
    config['test_cfg'] = dict(flip_test=False, output_heatmaps=True)
    model = randomize(build_pose_estimator(config)).eval()
    before = heatmaps_of(predict(model))
    model.neck.prompts.set_names(NAMES[2:4])
    torch.testing.assert_close(heatmaps_of(predict(model)), before[:, 2:4], rtol=1e-4, atol=1e-5)


def test_flip_test_with_other_names_takes_the_other_side_from_their_words():
    model = make(test_cfg=dict(flip_test=True, shift_heatmap=False, output_heatmaps=True))
    model.neck.prompts.set_names(OTHERS)
    flip_indices = mirror_indices(OTHERS)
    assert flip_indices == [0, 3, 2, 1, 4, 6, 5]
    with pytest.raises(ValueError, match=r'flip_indices of the 7 names that the neck asks for, and the data has 5; '
                       r'clamp_mmpose\.models\.mirror_indices'):
        predict(model)
    batch = pack_batch(CODEC, 5)
    for sample in batch['data_samples']:
        sample.set_metainfo(dict(flip_indices=flip_indices))
    with torch.no_grad():
        data = model.data_preprocessor(batch, False)
        images = data['inputs']
        plain, flipped = (model.head(model.extract_feat(x)) for x in (images, images.flip(-1)))
        samples = model(**data, mode='predict')
    torch.testing.assert_close(heatmaps_of(samples), (plain + flipped[:, flip_indices].flip(-1)) / 2)


@pytest.mark.parametrize('codec, arguments', [
    (UDP, {}),
    (dict(UDP, heatmap_type='combined'), dict(out_channels=15, num_keypoints=5,
                                              loss=dict(type='CombinedTargetMSELoss', use_target_weight=True))),
])
def test_other_codecs_train_and_decode_other_names(codec, arguments):
    model = make(codec, **arguments).train()
    model.train_cfg = dict(compute_acc=not arguments)
    losses = model(**model.data_preprocessor(pack_batch(codec, 5), True), mode='loss')
    assert torch.isfinite(losses['loss_kpt']) and losses['loss_kpt'] > 0
    model.eval().neck.prompts.set_names(OTHERS)
    assert predict(model)[0].pred_instances.keypoints.shape == (1, 7, 2)


def test_a_head_says_whether_its_keypoints_are_fixed():
    assert make().head.fixed_keypoints is False
    assert build_pose_estimator(tiny_clamp_model()).head.fixed_keypoints is True


def test_a_text_that_was_fused_predicts_the_same_and_keeps_its_names():
    model = make()
    before = heatmaps_of(predict(model))
    model.neck.fuse_text()
    torch.testing.assert_close(heatmaps_of(predict(model)), before)
    with pytest.raises(ValueError, match='names cannot change without a text tower'):
        model.neck.prompts.set_names(OTHERS)


def test_a_checkpoint_loads_and_asks_for_other_names():
    trained, model = make(), make(names=OTHERS)
    model.load_state_dict(trained.state_dict())
    trained.neck.prompts.set_names(OTHERS)
    torch.testing.assert_close(heatmaps_of(predict(model)), heatmaps_of(predict(trained)))


def test_a_checkpoint_of_the_other_mode_is_refused():
    matching, fixed = make(), build_pose_estimator(tiny_clamp_model())
    with pytest.raises(ValueError, match='has no keypoint head over the features; it was written with '
                       'matching_only=True'):
        fixed.load_state_dict(copy.copy(matching.state_dict()), strict=False)
    with pytest.raises(ValueError, match=r'has a keypoint head over the features.*with matching_only=False'):
        matching.load_state_dict(copy.copy(fixed.state_dict()), strict=False)
    with pytest.raises(ValueError, match=r'written with another score_head: head\.score_head\.deconv_layers\.0\.weight '
                       r'is \(1, 8, 4, 4\) there, \(1, 4, 4, 4\) here'):
        make(score_head=dict(deconv_out_channels=(4, 8))).load_state_dict(matching.state_dict(), strict=False)


def test_weights_of_other_parts_load():
    matching, fixed = make(), build_pose_estimator(tiny_clamp_model())
    weights = {key: value for key, value in fixed.state_dict().items() if not key.startswith('head.')}
    missing, unexpected = matching.load_state_dict(weights, strict=False)
    assert unexpected == [] and all(key.startswith('head.') for key in missing)


@pytest.mark.parametrize('arguments, message', [
    (dict(score_head=None), 'score_head=None, but matching_only predicts through it'),
    (dict(num_keypoints=3), 'out_channels=5 must be a multiple of num_keypoints=3'),
])
def test_arguments_that_make_no_such_head(arguments, message):
    with pytest.raises(ValueError, match=message):
        make(**arguments)


def test_a_dataset_with_another_number_of_keypoints_does_not_train():
    model = make()
    with pytest.raises(ValueError, match='neck has 5 keypoint_names, the dataset 7 keypoints'):
        model(**model.data_preprocessor(pack_batch(CODEC, 7), True), mode='loss')


def test_other_names_train_too():
    """A few pictures with keypoints of your own go on from the weights that were trained with others."""
    model = make()
    model.neck.prompts.set_names(OTHERS)
    losses = model.train()(**model.data_preprocessor(pack_batch(CODEC, 7), True), mode='loss')
    assert torch.isfinite(losses['loss_kpt']) and torch.isfinite(losses['loss_feature'])

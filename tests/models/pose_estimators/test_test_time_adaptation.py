"""Predictions of a model that adapts to each image."""
import copy

import numpy as np
import pytest
import torch
from mmpose.models import build_pose_estimator
from torch.testing import assert_close

from clamp_mmpose.engine.adaptation import AdaptationStep, snapshot
from clamp_mmpose.models.pose_estimators import TestTimeAdaptation
from clamp_mmpose.testing import calibrate_norms, pack_batch, randomize, tiny_metta_model

FLIP = dict(flip_test=True, flip_mode='heatmap', shift_heatmap=False)


def make(adaptation, batch_size=4, seed=0, **test_cfg):
    test_cfg = dict(flip_test=False, output_heatmaps=True) | test_cfg
    if adaptation is not None:
        test_cfg['adaptation'] = dict(lr=2e-4, guard=False) | adaptation
    config = tiny_metta_model(test_cfg=test_cfg)
    model = randomize(build_pose_estimator(config)).double().eval()  # steps enlarge what is rounded
    batch = pack_batch(config['head']['decoder'], 5, batch_size=batch_size, seed=seed)
    inputs = model.data_preprocessor(copy.deepcopy(batch), False)['inputs']
    calibrate_norms(model, lambda: model.head.adaptation_loss(model.extract_feat(inputs), inputs))
    return model, batch


def take(batch, rows):
    return {key: [copy.deepcopy(values[row]) for row in rows] for key, values in batch.items()}


def predict(model, batch, rows=None):
    with torch.no_grad():
        return model.test_step(take(batch, range(len(batch['inputs'])) if rows is None else rows))


def maps(samples):
    return torch.stack([sample.pred_fields.heatmaps for sample in samples])


@pytest.mark.parametrize('options', [{}, FLIP])
def test_adaptation_moves_the_prediction_and_leaves_the_weights_bit_identical(options):
    model, batch = make(dict(steps=3), **options)
    before = snapshot(model.state_dict())
    first = maps(predict(model, batch))
    assert_close(model.state_dict(), before, rtol=0, atol=0)
    assert_close(maps(predict(model, batch)), first, rtol=0, atol=0)
    assert all(p.grad is None for p in model.parameters())
    plain, _ = make(None, **options)
    assert (maps(predict(plain, batch)) - first).abs().amax((1, 2, 3)).min() > 1e-3


@pytest.mark.parametrize('options', [{}, FLIP])
@pytest.mark.parametrize('adaptation', [dict(steps=0), dict(steps=3, lr=1e-300)])
def test_without_a_step_or_with_tiny_ones_the_prediction_is_the_models(options, adaptation):
    model, batch = make(adaptation, **options)
    plain, _ = make(None, **options)
    adapted, expected = predict(model, batch), predict(plain, batch)
    assert_close(maps(adapted), maps(expected), rtol=0, atol=1e-8)
    for one, other in zip(adapted, expected):
        np.testing.assert_allclose(one.pred_instances.keypoints, other.pred_instances.keypoints, atol=1e-4)


@pytest.mark.parametrize('guard', [False, True])
def test_the_result_of_an_image_does_not_depend_on_its_batch(guard):
    model, batch = make(dict(steps=3, guard=guard), **FLIP)
    together = maps(predict(model, batch))
    alone = torch.cat([maps(predict(model, batch, [row])) for row in range(4)])
    assert_close(alone, together, rtol=0, atol=1e-8)
    order = [2, 0, 3, 1]
    assert_close(maps(predict(model, batch, order)), together[order], rtol=0, atol=1e-8)


def test_the_backbone_runs_once_per_view():
    model, batch = make(dict(steps=4, record=True), **FLIP)
    calls = []
    model.backbone.register_forward_hook(lambda *args: calls.append(1))
    appearance = []
    model.head.inpainting.appearance_encoder.register_forward_hook(lambda *args: appearance.append(1))
    predict(model, batch)
    assert len(calls) == len(appearance) == 2


def test_the_flipped_image_has_the_parameters_of_its_original():
    """Of a picture that is its own mirror image, both views then have the same maps, with adaptation as without."""
    model, batch = make(dict(steps=3), batch_size=1)
    batch['inputs'] = [torch.cat([image[..., :32], image[..., :32].flip(-1)], -1) for image in batch['inputs']]
    one_view = maps(predict(model, batch))
    model.test_cfg.update(FLIP)
    both = maps(predict(model, batch))
    assert_close(both, (one_view + one_view.flip(-1)) / 2, rtol=0, atol=1e-8)


def test_recorded_steps_are_what_fewer_steps_give():
    model, batch = make(dict(steps=3, record=True), **FLIP)
    samples = predict(model, batch)
    for steps in range(4):
        fewer, _ = make(dict(steps=steps), **FLIP)
        for sample, expected in zip(samples, predict(fewer, batch)):
            np.testing.assert_allclose(sample.adapted_instances[steps].keypoints, expected.pred_instances.keypoints,
                                       atol=1e-3)
    for sample in samples:
        assert len(sample.adapted_instances) == len(sample.adaptation['losses']) == 4
        np.testing.assert_array_equal(sample.adapted_instances[-1].keypoints, sample.pred_instances.keypoints)


@pytest.mark.parametrize('lr', [10.0, 1e300])
def test_the_guard_leaves_images_alone_whose_loss_rises_or_is_not_finite(lr):
    model, batch = make(dict(steps=3, lr=lr, guard=True))
    samples = predict(model, batch)
    losses = torch.tensor([sample.adaptation['losses'] for sample in samples])
    expected = ~(losses[:, -1] <= losses[:, 0])
    assert [sample.adaptation['guarded'] for sample in samples] == expected.tolist()
    assert expected.any() and model.adaptation.guarded == expected.sum()
    plain, _ = make(None)
    assert_close(maps(samples)[expected], maps(predict(plain, batch))[expected], rtol=0, atol=1e-8)
    unguarded, _ = make(dict(steps=3, lr=lr))
    difference = (maps(predict(unguarded, batch)) - maps(samples))[expected]
    assert not (difference.abs().amax((1, 2, 3)) < 1e-3).any()


def test_the_guard_lets_images_through_whose_loss_falls():
    model, batch = make(dict(steps=3, lr=1e-5, guard=True))
    samples = predict(model, batch)
    assert model.adaptation.guarded == 0 and model.adaptation.images == 4 and model.adaptation.seconds > 0
    unguarded, _ = make(dict(steps=3, lr=1e-5))
    assert_close(maps(samples), maps(predict(unguarded, batch)))


def set_paths(batch, paths):
    for sample, path in zip(batch['data_samples'], paths):
        sample.set_metainfo(dict(img_path=path))
    return batch


def test_in_a_stream_each_image_starts_where_the_last_one_ended():
    model, batch = make(dict(steps=1, scope='stream'))
    batch = take(batch, [0, 0, 1])  # the same image twice: two steps on it
    stream = maps(predict(model, batch))
    one, two = make(dict(steps=1))[0], make(dict(steps=2))[0]
    assert_close(stream[0], maps(predict(one, batch, [0]))[0], rtol=0, atol=1e-8)
    assert_close(stream[1], maps(predict(two, batch, [0]))[0], rtol=0, atol=1e-8)
    assert (stream[2] - maps(predict(one, batch, [2]))[0]).abs().max() > 1e-3


def test_a_stream_does_not_depend_on_its_batches_and_ends_with_clear():
    model, batch = make(dict(steps=2, scope='stream'))
    together = maps(predict(model, batch))
    model.adaptation.clear()
    apart = torch.cat([maps(predict(model, batch, rows)) for rows in ([0], [1, 2], [3])])
    assert_close(apart, together, rtol=0, atol=1e-8)
    assert (maps(predict(model, batch, [0])) - together[:1]).abs().max() > 1e-3  # goes on
    model.adaptation.clear()
    assert_close(maps(predict(model, batch, [0])), together[:1])


def test_a_stream_starts_anew_after_as_many_images_as_asked():
    model, batch = make(dict(steps=1, scope='stream', reset=2))
    order = [0, 1, 0, 1]
    stream = torch.cat([maps(predict(model, take(batch, order), rows)) for rows in ([0, 1, 2], [3])])
    assert_close(stream[:2], stream[2:], rtol=0, atol=1e-8)
    image, _ = make(dict(steps=1))
    assert (stream[1] - maps(predict(image, batch, [1]))[0]).abs().max() > 1e-3


@pytest.mark.parametrize('reset', [None, 'clip'])
def test_each_video_starts_from_the_stored_parameters(reset):
    model, batch = make(dict(steps=1, scope='video', reset=reset))
    batch = set_paths(take(batch, [0, 1, 0, 1]), ['a/1.jpg', 'a/2.jpg', 'b/1.jpg', 'b/2.jpg'])
    for sample, clip in zip(batch['data_samples'], (7, 7, 8, 8)):
        sample.set_metainfo(dict(clip=clip, **({} if reset is None else dict(img_path='x.jpg'))))
    result = maps(predict(model, batch))
    assert_close(result[:2], result[2:], rtol=0, atol=1e-8)
    image, _ = make(dict(steps=1))
    assert_close(result[2], maps(predict(image, batch, [2]))[0], rtol=0, atol=1e-8)
    assert (result[1] - maps(predict(image, batch, [1]))[0]).abs().max() > 1e-3


def test_what_the_guard_refuses_is_not_carried_on():
    model, batch = make(dict(steps=1, lr=1e300, scope='stream', guard=True))
    plain, _ = make(None)
    assert_close(maps(predict(model, batch)), maps(predict(plain, batch)), rtol=0, atol=1e-8)
    assert model.adaptation.guarded == 4


def test_the_videos_key_must_be_there():
    model, batch = make(dict(scope='video', reset='clip'))
    with pytest.raises(ValueError, match=r"^reset='clip' is no key of the data samples' metainfo"):
        predict(model, batch)


def test_the_rate_is_that_of_the_training_unless_given():
    config = tiny_metta_model('test', inner_loop=dict(steps=2, lr=0.5, learned_rates=True))
    model = build_pose_estimator(config)
    assert model.adaptation.steps == 2 and model.adaptation.lr is None
    given, batch = make(dict(steps=2))
    trained, _ = make(dict(steps=2, lr=None))
    trained.inner_loop = trained.inner_loop._replace(lr=2e-4)
    assert_close(maps(predict(trained, batch)), maps(predict(given, batch)))


@pytest.mark.parametrize('adaptation', [None, dict(steps=1)])
def test_the_test_stage_adapts_unless_told_otherwise(adaptation):
    model = build_pose_estimator(tiny_metta_model('test', test_cfg=dict(adaptation=adaptation)))
    assert (model.adaptation is None) == (adaptation is None)


def test_inference_mode_is_a_clear_error():
    model, batch = make(dict(steps=1))
    with torch.inference_mode(), pytest.raises(RuntimeError, match=r'torch.no_grad\(\) instead'):
        model.test_step(copy.deepcopy(batch))


@pytest.mark.parametrize('arguments, message', [
    (dict(steps=-1), 'steps=-1 must'), (dict(lr=0), 'lr=0 must'), (dict(lr=-1.0), 'lr=-1.0 must'),
    (dict(scope='batch'), "scope='batch' must be one of"), (dict(reset=3), "reset=3 does not go with scope='image'"),
    (dict(scope='video', reset=3), "reset=3 does not go with scope='video'"),
    (dict(scope='stream', reset='clip'), "reset='clip' does not go with scope='stream'"),
    (dict(scope='stream', reset=0), 'reset=0 does not go'),
])
def test_arguments_that_make_no_sense_are_named(arguments, message):
    with pytest.raises(ValueError, match=f'^{message}'):
        TestTimeAdaptation(**arguments)


@pytest.mark.parametrize('steps', [-1, 2.5, 5.0, float('nan'), '5', None, True])
def test_steps_that_are_no_whole_number_are_refused(steps):
    with pytest.raises(ValueError, match=r'^steps=.* must be a whole number'):
        TestTimeAdaptation(steps)
    with pytest.raises(ValueError, match=r'^steps=.* of inner_loop must be a whole number'):
        build_pose_estimator(tiny_metta_model('meta', inner_loop=dict(steps=steps)))


@pytest.mark.parametrize('lr', [0, -1e-3, float('nan'), float('inf'), 'fast'])
def test_rates_that_are_not_positive_are_refused(lr):
    with pytest.raises(ValueError, match=r'^lr=.* must be greater than 0'):
        TestTimeAdaptation(lr=lr)
    with pytest.raises(ValueError, match=r'^lr=.* of inner_loop must be greater than 0'):
        build_pose_estimator(tiny_metta_model('meta', inner_loop=dict(lr=lr)))


@pytest.mark.parametrize('loss', [-3.0, 0.0, 3.0])
def test_the_guard_leaves_a_loss_that_stays_the_same_alone_whatever_its_sign(loss):
    """Losses such as a negative log-likelihood may be below 0."""
    adaptation, first = TestTimeAdaptation(), torch.full((3, ), loss)
    later = AdaptationStep({}, first + torch.tensor([-0.1, 0.0, 0.1]))
    assert adaptation._is_better(later, AdaptationStep({}, first)).tolist() == [True, True, False]

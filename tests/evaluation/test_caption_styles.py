"""CaptionPoseMetric on captions that the codec has written, of each of its styles."""
import math

import numpy as np
import pytest
from caption_results import NAMES, evaluate, make_sample
from mmpose.registry import KEYPOINT_CODECS

K = len(NAMES)
SIZE = (192, 256)


def codec_config(style, **options):
    return dict(type='CaptionPose', input_size=SIZE, names=list(NAMES), style=style, **options)


def written_sample(codec, label, visible=None, *, caption=None, **options):
    """What an estimator makes of ``caption``; None is the caption that the codec writes of the label."""
    caption = codec.write(label, visible) if caption is None else caption
    found = codec.decode(caption)
    sample = make_sample(label, found.keypoints[0], visible, found=found.valid[0], caption=caption, size=SIZE,
                         **options)
    sample.pred_caption['ok'] = found.report[0].ok
    return sample


@pytest.mark.parametrize('style', ['text', 'simple_text', 'normalized_text', 'normalized_simple_text', 'single'])
@pytest.mark.parametrize('outside', ['clip', 'missing'])
def test_a_perfect_caption_is_exact_in_any_style(style, outside):
    rng = np.random.default_rng(0)
    joints = ['foot'] if style == 'single' else ['hand', 'tail'] if 'simple' in style else None
    config = codec_config(style, joints=joints, outside=outside)
    codec = KEYPOINT_CODECS.build(config)
    samples = [written_sample(codec, rng.uniform(-60, 300, (K, 2)), rng.random(K) < 0.7, scale=(331, 47))
               for _ in range(100)]
    found = evaluate(dict(type='CaptionPoseMetric', codec=config), samples)
    assert found['caption/exact'] == found['caption/parse_rate'] == 1
    if outside == 'missing':  # no label moved to the border
        assert found['caption/MAE'] < 0.5
        assert found['caption/accuracy@1'] == 1
    else:
        assert found['caption/MAE'] > 5


@pytest.mark.parametrize('style', ['text', 'normalized_text'])
def test_one_step_beside_is_not_exact(style):
    rng = np.random.default_rng(1)
    config = codec_config(style)
    codec = KEYPOINT_CODECS.build(config)
    label = rng.uniform(20, 150, (K, 2))
    other = label.copy()
    other[2, 1] += 256 / 1000 if 'normalized' in style else 1
    sample = written_sample(codec, label, caption=codec.write(other))
    assert evaluate(dict(type='CaptionPoseMetric', codec=config), [sample])['caption/exact'] == 0


def test_keypoints_that_the_caption_leaves_out_do_not_count():
    config = codec_config('simple_text', joints=['head', 'tail'], missing='forbid')
    codec = KEYPOINT_CODECS.build(config)
    label = np.array([[10.0, 20], [30, 40], [50, 60], [70, 80]])
    both = written_sample(codec, label, caption='head:10,20 tail:70,84 ')
    half = written_sample(codec, label, caption='head:10,20')
    unlabelled = written_sample(codec, label, [0, 1, 1, 0], caption='')
    found = evaluate(dict(type='CaptionPoseMetric', codec=config, per_keypoint=True), [both, half, unlabelled])
    assert math.isnan(found['caption/MAE/hand']) and math.isnan(found['caption/MAE/foot'])
    found = {name: value for name, value in found.items() if not math.isnan(value)}
    assert found == pytest.approx({
        'caption/MAE': 2, 'caption/MAE/head': 0, 'caption/MAE/tail': 4, 'caption/accuracy@25': 0.5,
        'caption/accuracy@5': 0.5, 'caption/accuracy@1': 0, 'caption/exact': 0, 'caption/complete': 0.5,
        'caption/parse_rate': 1 / 3}, abs=1e-4)


def test_a_forgotten_codec_is_told(monkeypatch):
    from mmengine.logging import MMLogger
    warnings = []
    monkeypatch.setattr(MMLogger.get_current_instance(), 'warning', warnings.append)
    codec = KEYPOINT_CODECS.build(codec_config('simple_text', joints=['head', 'tail']))
    sample = written_sample(codec, np.full((K, 2), 50.0))
    assert evaluate(dict(type='CaptionPoseMetric'), [sample])['caption/complete'] == 0
    assert warnings == ['No caption has hand, foot. If the codec leaves them out, give it to CaptionPoseMetric too: '
                        'codec=codec']
    warnings.clear()
    evaluate(dict(type='CaptionPoseMetric', codec=codec), [sample])
    assert not warnings


@pytest.mark.parametrize('caption', [
    '', 'no pose here', 'head:1,2', 'head:10,20 hand:10,20 foot:10,20 tail:10', ':::', 'é\x00\n,,',
    'head:10,20 hand:10,20 foot:10,20 tail:', 'head:10,20 hand:10,20 foot:10,20 tail:999,20'])
def test_captions_that_lack_a_label_are_incorrect(caption):
    config = codec_config('text')
    sample = written_sample(KEYPOINT_CODECS.build(config), np.full((K, 2), (10.0, 20.0)), caption=caption)
    for metric in (dict(type='CaptionPoseMetric', codec=config), dict(type='CaptionPoseMetric')):
        found = evaluate(metric, [sample])
        assert found['caption/complete'] == found['caption/accuracy@25'] == 0 and math.isnan(found['caption/MAE'])
        assert found['caption/parse_rate'] == (caption in ('', 'head:1,2'))  # a caption may lack what is not labelled


def test_visibility_has_an_accuracy_and_no_pixels():
    config = codec_config('visibility_text')
    codec = KEYPOINT_CODECS.build(config)
    label = np.full((K, 2), 50.0)
    samples = [
        written_sample(codec, label, [1, 0, 1, 0]),
        written_sample(codec, label, [1, 0, 1, 0], caption='head:1 hand:1 foot:1 tail:0'),
        written_sample(codec, label, [0, 0, 0, 0], caption='head:0 hand:0 foot:0'),
    ]
    found = evaluate(dict(type='CaptionPoseMetric', codec=config), samples)
    assert found == pytest.approx({
        'caption/visibility': (4 + 3 + 3) / 12, 'caption/exact': 1 / 3, 'caption/complete': 2 / 3,
        'caption/parse_rate': 2 / 3})


def test_visibility_of_some_keypoints():
    config = codec_config('simple_visibility_text', joints=['hand'])
    codec = KEYPOINT_CODECS.build(config)
    samples = [written_sample(codec, np.full((K, 2), 50.0), [1, 0, 1, 0], caption=caption)
               for caption in ('hand:0', 'hand:1')]
    assert evaluate(dict(type='CaptionPoseMetric', codec=config), samples) == {
        'caption/visibility': 0.5, 'caption/exact': 0.5, 'caption/complete': 1, 'caption/parse_rate': 1}


def test_the_codec_limits_models_without_captions_too():
    label = np.array([[10.0, 20], [30, 40], [50, 60], [70, 80]])
    sample = make_sample(label, label + np.array([[0], [9], [9], [0]]), size=SIZE)
    config = codec_config('simple_text', joints=['head', 'tail'])
    found = evaluate(dict(type='CaptionPoseMetric', codec=config), [sample])
    assert found['caption/MAE'] < 1e-3 and found['caption/exact'] == 1 and 'caption/parse_rate' not in found
    with pytest.raises(ValueError, match='the visibility alone, and the model writes no captions'):
        evaluate(dict(type='CaptionPoseMetric', codec=codec_config('visibility_text')), [sample])


@pytest.mark.parametrize('wrong', [dict(names=['one', 'two']), dict(input_size=(384, 384))])
def test_a_codec_of_other_data(wrong):
    sample = make_sample(np.ones((K, 2)), np.ones((K, 2)), size=SIZE)
    with pytest.raises(ValueError, match=r'codec has names for \d keypoints and input_size=.* the data have 4 and'):
        evaluate(dict(type='CaptionPoseMetric', codec=dict(codec_config('text'), **wrong)), [sample])

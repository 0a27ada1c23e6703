"""Poses as captions: the paper's formats byte for byte, round trips, and what cannot be written."""
import pickle
import re

import numpy as np
import pytest
from mmpose.registry import KEYPOINT_CODECS

from clamp_mmpose.codecs import CaptionPose
from clamp_mmpose.codecs.caption_formats import STYLES, Literal

# MMPose's MPII test sample 005808361, 1280x720.
POSE = np.array([(804, 711), (816, 510), (908, 438), (1040, 454), (906, 528), (883, 707), (974, 446), (985, 253),
                 (983, 236), (962, 80), (869, 214), (798, 340), (902, 253), (1067, 253), (1167, 353), (1142, 478)])
CAPTIONS = dict(
    text='rankl:804,711 rknee:816,510 rhip:908,438 lhip:1040,454 lknee:906,528 lankl:883,707 pelvis:974,446 '
    'thorax:985,253 upper_neck:983,236 head:962,80 rwri:869,214 relb:798,340 rsho:902,253 lsho:1067,253 '
    'lelb:1167,353 lwri:1142,478 ',
    simple_text='rknee:816,510 lknee:906,528 head:962,80 relb:798,340 lelb:1167,353 ',
    visibility_text='rankl:1 rknee:1 rhip:1 lhip:1 lknee:1 lankl:1 pelvis:1 thorax:1 upper_neck:1 head:1 rwri:1 relb:1 '
    'rsho:1 lsho:1 lelb:1 lwri:1 ',
    simple_visibility_text='rknee:1 lknee:1 head:1 relb:1 lelb:1 ',
    # 804/1280 = 0.628125, 711/720 = 0.9875, 883/1280 = 0.689843..., 985/1280 = 0.769531..., and so on
    normalized_text='rankl:0.628,0.988 rknee:0.637,0.708 rhip:0.709,0.608 lhip:0.812,0.631 lknee:0.708,0.733 '
    'lankl:0.69,0.982 pelvis:0.761,0.619 thorax:0.77,0.351 upper_neck:0.768,0.328 head:0.752,0.111 rwri:0.679,0.297 '
    'relb:0.623,0.472 rsho:0.705,0.351 lsho:0.834,0.351 lelb:0.912,0.49 lwri:0.892,0.664 ',
    normalized_simple_text='rknee:0.637,0.708 lknee:0.708,0.733 head:0.752,0.111 relb:0.623,0.472 lelb:0.912,0.49 ',
    single='neck: (983, 236)',
)
STYLES_WITH_COORDINATES = [style for style in STYLES if 'visibility' not in style]


def random_poses(number, codec, seed=0, margin=0):
    size = np.array(codec.input_size)
    return np.random.default_rng(seed).uniform(-margin, size - 1 + margin, (number, codec.num_keypoints, 2))


@pytest.mark.parametrize('style', STYLES)
def test_captions_are_the_papers_byte_for_byte(style):
    assert CaptionPose((1280, 720), style=style).write(POSE) == CAPTIONS[style]


def test_the_single_joint_form_is_that_of_the_paper():
    pose = np.zeros((16, 2))
    pose[8] = 100, 200
    assert CaptionPose(style='single').write(pose) == 'neck: (100, 200)'


def test_halves_are_rounded_to_the_even_number():
    codec = CaptionPose(names=['a', 'b'])
    for dtype in (np.float16, np.float32, np.float64):
        assert codec.write(np.array([(2.5, 3.5), (0.5, 381.5)], dtype)) == 'a:2,4 b:0,382 '


@pytest.mark.parametrize('value, text', [(192, '0.5'), (0, '0.0'), (-0.0, '0.0'), (383, '0.997'), (500, '0.997'),
                                         (-3, '0.0'), (38.4, '0.1'), (0.384, '0.001')])
def test_normalised_numbers_have_no_trailing_zeros(value, text):
    assert CaptionPose(names=['a'], style='normalized_text').write(np.array([(value, value)])) == f'a:{text},{text} '


def test_points_outside_are_moved_to_the_border_or_left_out():
    points = np.array([(-5, 10), (400, 383.4), (1e30, -1e30), (-0.4, 383.5), (3, 3)])
    names = [*'abcde']
    assert CaptionPose(names=names).write(points) == 'a:0,10 b:383,383 c:383,0 d:0,383 e:3,3 '
    # 383.5 is rounded to 384, which is not in the image; -0.4 and 383.4 are rounded into it.
    codec = CaptionPose(names=names, outside='missing')
    assert codec.write(points) == 'e:3,3 '
    assert codec.encode(points)['keypoint_weights'].tolist() == [[0, 0, 0, 0, 1]]
    assert codec.write(np.array([(-0.4, 383.4)] * 5)).startswith('a:0,383 ')


@pytest.mark.parametrize('visible', [
    np.array([1, 0, 1, 0.4]),
    np.array([[2, 0, 0.5, np.nan]]),
    # MMPose's KeypointConverter adds the weight of each keypoint as a second entry.
    np.array([[(1, 0), (0, 1), (1, 1), (0, 1)]]),
])
def test_keypoints_that_are_not_annotated_are_left_out(visible):
    encoded = CaptionPose(names=[*'abcd']).encode(np.full((1, 4, 2), 7.), visible)
    assert encoded['caption'] == ('a:7,7 c:7,7 ', )
    assert encoded['keypoint_weights'].tolist() == [[1, 0, 1, 0]]


def test_coordinates_that_are_not_finite_count_as_not_annotated():
    points = np.array([(np.nan, 1), (1, np.inf), (2, 2), (3, -np.inf)])
    assert CaptionPose(names=[*'abcd']).write(points) == 'c:2,2 '
    assert CaptionPose(names=[*'abcd'], style='visibility_text').write(points) == 'a:0 b:0 c:1 d:0 '


def test_forbidding_missing_joints_names_them():
    codec = CaptionPose(names=['a', 'b', 'c'], missing='forbid', joints=['b', 'c'])
    assert codec.write(np.ones((3, 2)), np.array([0, 1, 1])) == 'b:1,1 c:1,1 '
    with pytest.raises(ValueError, match='keypoints lack b, c; missing='):
        codec.write(np.ones((3, 2)), np.zeros(3))


def test_every_joint_has_its_flag_in_a_visibility_caption():
    codec = CaptionPose(names=['a', 'b', 'c'], style='visibility_text', missing='forbid', joints=['c', 'a'])
    encoded = codec.encode(np.ones((2, 3, 2)), np.array([[0, 1, 1], [0, 0, 0]]))
    assert encoded['caption'] == ('a:0 c:1 ', 'a:0 c:0 ')
    assert encoded['keypoint_weights'].tolist() == [[1, 0, 1], [1, 0, 1]]
    decoded = codec.decode(encoded['caption'])
    assert decoded.visible.tolist() == [[0, 0, 1], [0, 0, 0]]
    assert decoded.valid.tolist() == [[True, False, True]] * 2
    assert not decoded.keypoints.any() and not codec.has_coordinates


def test_instances_are_written_one_by_one():
    codec = CaptionPose((64, 48))
    poses = random_poses(3, codec)
    visible = np.ones((3, 16))
    visible[1] = 0
    encoded = codec.encode(poses, visible)
    assert encoded['caption'] == (codec.write(poses[0]), '', codec.write(poses[2]))
    assert encoded['keypoint_weights'].dtype == np.float32
    assert encoded['keypoint_weights'].tolist() == visible.tolist()
    none = codec.encode(np.zeros((0, 16, 2)), np.zeros((0, 16)))
    assert none['caption'] == () and none['keypoint_weights'].shape == (0, 16)


@pytest.mark.parametrize('style', STYLES_WITH_COORDINATES)
@pytest.mark.parametrize('dtype', [np.float16, np.float32, np.float64])
def test_round_trip_is_exact_up_to_rounding(style, dtype):
    codec = CaptionPose((384, 200), style=style)
    poses = random_poses(50, codec).astype(dtype)
    decoded = codec.decode(codec.encode(poses)['caption'])
    joints = list(codec.joints)
    assert all(report.ok and not report.missing for report in decoded.report)
    assert decoded.valid[:, joints].all() and decoded.valid.sum() == 50 * len(joints)
    assert not np.delete(decoded.keypoints, joints, axis=1).any()
    error = np.abs(decoded.keypoints - poses.astype(np.float64))[:, joints]
    if 'normalized' in style:
        # Half of the last decimal, of the size of the image; the last pixel is below 1.
        assert (error <= np.array(codec.input_size) * 0.0005 + 1e-4).all()
    else:
        np.testing.assert_array_equal(decoded.keypoints[:, joints], np.rint(poses.astype(np.float64))[:, joints])
    # What was read is written as it was.
    again = codec.encode(decoded.keypoints, decoded.valid)
    assert again['caption'] == codec.encode(poses)['caption']


@pytest.mark.parametrize('style', STYLES)
@pytest.mark.parametrize('size', [(384, 384), (1, 2), (37, 1001), (2000, 400)])
def test_a_choice_for_each_slot_makes_a_caption_that_is_written(style, size):
    codec = CaptionPose(size, style=style, missing='forbid')
    random = np.random.default_rng(0)
    for _ in range(20):
        pose, visible = np.zeros((16, 2)), np.ones(16)
        caption = ''
        for piece in codec.template():
            if isinstance(piece, Literal):
                caption += piece.text
                continue
            choice = piece.choices[random.integers(len(piece.choices))]
            value = codec.slot_value(piece, choice)
            caption += choice
            if piece.axis == 'visible':
                visible[piece.joint] = value
            else:
                pose[piece.joint, 'xy'.index(piece.axis)] = value
        assert codec.write(pose, visible) == caption
        decoded = codec.decode(caption)
        assert decoded.report[0].ok
        np.testing.assert_allclose(decoded.keypoints[0], pose, atol=1e-3)  # float32 of up to 2000 pixels


@pytest.mark.parametrize('style', STYLES)
@pytest.mark.parametrize('size', [(384, 384), (16, 80)])
def test_every_written_caption_is_in_the_template(style, size):
    codec = CaptionPose(size, style=style, missing='forbid')
    template = codec.template()
    # A number ends where the literal after it begins.
    pattern = ''.join(re.escape(piece.text) if isinstance(piece, Literal) else '([0-9.]+)' for piece in template)
    slots = [piece for piece in template if not isinstance(piece, Literal)]
    for pose in random_poses(100, codec, margin=40):
        texts = re.fullmatch(pattern, codec.write(pose)).groups()
        assert len(texts) == len(slots)
        assert all(text in slot.choices for text, slot in zip(texts, slots))


@pytest.mark.parametrize('style', STYLES)
def test_choices_are_distinct_ordered_by_value_and_as_written(style):
    for size in (1, 2, 3, 16, 37, 80, 256, 320, 384, 400, 2000):
        for decimals in (1, 2, 3, 4) if style == 'normalized_text' and size < 321 else (3, ):
            codec = CaptionPose((size, size), names=['neck'], joints=[0], style=style, decimals=decimals)
            (slot, *_) = [piece for piece in codec.template() if not isinstance(piece, Literal)]
            values = [codec.slot_value(slot, choice) for choice in slot.choices]
            assert values == sorted(set(values))
            # The border is the last choice, and every choice is how its own value is written.
            if slot.axis == 'x':
                number = codec.format.numbers['x']
                assert number.write(0) == slot.choices[0] and number.write(size - 1) == slot.choices[-1]
                assert [number.write(value) for value in values] == list(slot.choices)


def test_joint_templates_are_the_parts_of_the_template():
    codec = CaptionPose(style='simple_text')
    parts = codec.joint_templates()
    assert [joint for joint, _ in parts] == [1, 4, 9, 11, 14] == list(codec.joints)
    assert sum((pieces for _, pieces in parts), ()) == codec.template()
    assert [piece.text for piece in parts[2][1] if isinstance(piece, Literal)] == ['head:', ',', ' ']
    assert [(piece.joint, piece.axis, len(piece.choices)) for piece in parts[2][1] if not isinstance(piece, Literal)
            ] == [(9, 'x', 384), (9, 'y', 384)]


def test_a_slot_has_no_value_for_what_is_not_its_choice():
    slot = CaptionPose().template()[1]
    assert CaptionPose().slot_value(slot, '383') == 383
    for choice in ('384', '007', '-1', 'x', ''):
        with pytest.raises(ValueError, match=f"choice='{choice}' is not one of the slot: 0 to 383"):
            CaptionPose().slot_value(slot, choice)


def test_it_is_built_from_a_config_and_survives_the_way_to_a_worker():
    config = dict(type='CaptionPose', input_size=(64, 48), names=['a', 'b'], style='normalized_text', joints=[1])
    codec = pickle.loads(pickle.dumps(KEYPOINT_CODECS.build(config)))
    assert codec.write(np.full((2, 2), 24)) == 'b:0.375,0.5 '


@pytest.mark.parametrize('argument, options', [
    ('style=', dict(style='texts')),
    ('missing=', dict(missing='none')),
    ('outside=', dict(outside='none')),
    ('decimals=', dict(decimals=0)),
    ('decimals=', dict(decimals=5)),
    ('decimals=', dict(decimals=2.5)),
    ('input_size=', dict(input_size=384)),
    ('input_size=', dict(input_size=(384, 0))),
    ('input_size=', dict(input_size=(384., 384.))),
    ('input_size=', dict(input_size=(1, 2, 3))),
    ("joints has 'nose', which is not one of names=", dict(joints=['nose'])),
    ('joints has 16; allowed are 0 to 15', dict(joints=[16])),
    ('joints has -1', dict(joints=[-1])),
    ('joints=.* has a joint twice', dict(joints=['head', 9])),
    ('joints=.* must be a list', dict(joints='head')),
    ('joints=.* must be a list', dict(joints=[])),
    ('joints=.* must be one joint', dict(joints=['head', 'neck'], style='single')),
    ("needs joints, as names have no 'head'", dict(names=['nose', 'rknee'], style='simple_text')),
    ("needs joints, as names have no 'neck'", dict(names=['nose', 'rknee'], style='single')),
])
def test_arguments_that_cannot_be_are_named(argument, options):
    with pytest.raises(ValueError, match=argument):
        CaptionPose(**options)


@pytest.mark.parametrize('argument, arrays', [
    (r'keypoints has the shape \(17, 2\); names says \(N, 16, 2\)', [np.zeros((17, 2))]),
    ('keypoints has the shape', [np.zeros((1, 16, 3))]),
    ('keypoints has the shape', [np.zeros(32)]),
    ('keypoints_visible has the shape', [np.zeros((2, 16, 2)), np.zeros((1, 16))]),
])
def test_arrays_of_another_shape_are_named(argument, arrays):
    with pytest.raises(ValueError, match=argument):
        CaptionPose().encode(*arrays)

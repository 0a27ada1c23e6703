"""Whatever a language model writes is read, and what could not be used is told."""
import random
import string
import time
import unicodedata

import numpy as np
import pytest

from clamp_mmpose.codecs import CaptionPose
from clamp_mmpose.codecs.caption_formats import STYLES
from clamp_mmpose.codecs.caption_parser import CaptionReport

NAMES = ['neck', 'upper_neck', 'head', 'forehead', 'l', 'left-ear', 'Épaule', 'toe1']
FIELDS = CaptionReport._fields[2:]


def read(caption, **options):
    """name -> coordinates of what could be used, and the report."""
    codec = CaptionPose(**{'names': NAMES, **options})
    decoded = codec.decode(caption)
    found = {codec.names[joint]: tuple(decoded.keypoints[0, joint].tolist()) for joint in np.flatnonzero(decoded.valid)}
    assert set(decoded.report[0].missing) == {codec.names[joint] for joint in codec.joints} - set(found)
    return found, decoded.report[0]


def problems(report):
    return {field: list(getattr(report, field)) for field in FIELDS if getattr(report, field)}


@pytest.mark.parametrize('caption', [
    'neck:1,2 upper_neck:3,4 left-ear:5,6 épaule:7,8 toe1:9,10 ',
    'neck:1,2 upper_neck:3,4 left-ear:5,6 Épaule:7,8 toe1:9,10',
    'neck : 1 , 2 upper _ neck : 3 , 4 left - ear : 5 , 6 epaule : 7 , 8 toe1 : 9 , 10',
    'neck : 1, 2 upper _ neck : 3, 4 left - ear : 5, 6 epaule : 7, 8 toe1 : 9, 10',
    '\tNECK:\n1,\u00a02   UPPER_NECK\u2003:3,4 LEFT-EAR:5,6 ÉPAULE:7,8 t o e 1 :9,10\r\n',
])
def test_case_accents_and_white_space_do_not_matter(caption):
    found, report = read(caption)
    assert found == {'neck': (1, 2), 'upper_neck': (3, 4), 'left-ear': (5, 6), 'Épaule': (7, 8), 'toe1': (9, 10)}
    assert report.ok and problems(report) == {}


@pytest.mark.parametrize('caption, found, told', [
    ('', {}, {}),
    ('neck:1,2', {'neck': (1, 2)}, {}),
    # Names inside other words
    ('forehead:1,2', {'forehead': (1, 2)}, {}),
    ('xneck:1,2', {}, dict(unknown=['xneck'], junk=['xneck'])),
    ('neckx:1,2', {}, dict(unknown=['neckx'], junk=['neckx'])),
    ('upper_neck:1,2', {'upper_neck': (1, 2)}, {}),
    ('upper neck:1,2', {'neck': (1, 2)}, dict(junk=['upper'])),
    # Repeated, and the first usable value counts
    ('neck:1,2 neck:3,4', {'neck': (1, 2)}, dict(repeated=['neck'])),
    ('neck:999,2 neck:3,4', {'neck': (3, 4)}, dict(repeated=['neck'], out_of_range=['neck'])),
    ('neck: neck:3,4', {'neck': (3, 4)}, dict(repeated=['neck'], malformed=['neck'])),
    # Another order, another form of a number
    ('head:1,2 neck:3,4', {'head': (1, 2), 'neck': (3, 4)}, dict(irregular=['neck'])),
    ('neck:007,2', {'neck': (7, 2)}, dict(irregular=['neck'])),
    ('neck:12.5,2', {'neck': (12.5, 2)}, dict(irregular=['neck'])),
    ('neck:12 . 5,2.0', {'neck': (12.5, 2)}, dict(irregular=['neck'])),
    ('neck:+5,-0', {'neck': (5, 0)}, dict(irregular=['neck'])),
    # Numbers that no image has
    ('neck:383,383', {'neck': (383, 383)}, {}),
    ('neck:384,0', {}, dict(out_of_range=['neck'])),
    ('neck:0,384', {}, dict(out_of_range=['neck'])),
    ('neck:-1,5', {}, dict(out_of_range=['neck'])),
    ('neck: - 1,5', {}, dict(out_of_range=['neck'])),
    (f"neck:{'9' * 5000},5 head:1,1", {'head': (1, 1)}, dict(out_of_range=['neck'])),
    # Numbers that are none
    ('neck:', {}, dict(malformed=['neck'])),
    ('neck:5', {}, dict(malformed=['neck'], junk=['5'])),
    ('neck:5 6 head:1,2', {'head': (1, 2)}, dict(malformed=['neck'], junk=['5', '6'])),
    ('neck:5, head:1,2', {'head': (1, 2)}, dict(malformed=['neck'], junk=['5'])),
    ('neck:nan,inf', {}, dict(malformed=['neck'], junk=['nan', 'inf'])),
    ('neck:\u0663,\u0664', {}, dict(malformed=['neck'], junk=['\u0663', '\u0664'])),
    ('neck:\u00b2,\uff11', {}, dict(malformed=['neck'], junk=['\u00b2', '\uff11'])),
    ('neck:1e2,3', {}, dict(malformed=['neck'], junk=['1e2', '3'])),
    ('neck:0x1,3', {}, dict(malformed=['neck'], junk=['0x1', '3'])),
    # Junk before, between and after
    ('a photo of head:1,2', {'head': (1, 2)}, dict(junk=['a', 'photo', 'of'])),
    ('neck:1,2,3 head:1,2', {'neck': (1, 2), 'head': (1, 2)}, dict(junk=['3'])),
    ('neck:1,2 and so on', {'neck': (1, 2)}, dict(junk=['and', 'so', 'on'])),
    ('a photo of a person', {}, dict(junk=['a', 'photo', 'of', 'person'])),
    ('nose:1,2 neck:3,4', {'neck': (3, 4)}, dict(unknown=['nose'], junk=['nose'])),
    ('neck:1 2,3', {}, dict(malformed=['neck'], junk=['1', '2', '3'])),
    # Other punctuation: read, but not as it is written
    ('neck:(1,2)', {'neck': (1, 2)}, {'punctuation': True}),
    ('neck::1,2', {}, dict(malformed=['neck'])),
    (':1,2', {}, {'punctuation': True}),
    ('neck:1,2,', {'neck': (1, 2)}, {'punctuation': True}),
])
def test_what_is_usable_is_read_and_the_rest_is_told(caption, found, told):
    result, report = read(caption)
    assert result == found
    assert problems(report) == {field: words for field, words in told.items() if field != 'punctuation'}
    assert report.ok == (not told)


def test_the_joints_that_a_caption_lacks_are_told():
    codec = CaptionPose(names=NAMES, joints=['neck', 'head'], missing='forbid')
    (report, ) = codec.decode('head:1,2 ').report
    assert report.missing == ('neck', ) and not report.ok
    assert codec.decode('neck:0,0 head:1,2 ').report[0].ok
    # A joint of the dataset that captions do not have is unknown to them.
    assert codec.decode('neck:0,0 forehead:3,4 head:1,2 ').report[0].unknown == ('forehead', )


@pytest.mark.parametrize('style, caption, found, told', [
    ('normalized_text', 'neck:0.5,0.25', {'neck': (192, 96)}, {}),
    ('normalized_text', 'neck : 0 . 5 , 0. 25', {'neck': (192, 96)}, {}),
    ('normalized_text', 'neck:0.500,0.25', {'neck': (192, 96)}, dict(irregular=['neck'])),
    ('normalized_text', 'neck:0,0.25', {'neck': (0, 96)}, dict(irregular=['neck'])),
    ('normalized_text', 'neck:0.997,0.0', {'neck': (382.848, 0)}, {}),
    ('normalized_text', 'neck:0.998,0.0', {}, dict(out_of_range=['neck'])),
    ('normalized_text', 'neck:192,96', {}, dict(out_of_range=['neck'])),
    ('normalized_text', 'neck:.5,.5', {}, dict(malformed=['neck'], junk=['.5'])),
    ('single', 'neck : ( 100 , 200 )', {'neck': (100, 200)}, {}),
    ('single', 'neck:100,200', {'neck': (100, 200)}, {'punctuation': True}),
    ('single', 'neck: (100, 200) head: (1, 2)', {'neck': (100, 200)}, dict(unknown=['head'], junk=['head'])),
])
def test_other_styles_are_read_alike(style, caption, found, told):
    result, report = read(caption, style=style)
    assert set(result) == set(found)
    for name in found:
        np.testing.assert_allclose(result[name], found[name], rtol=1e-6)
    assert problems(report) == {field: words for field, words in told.items() if field != 'punctuation'}
    assert report.ok == (not told)


@pytest.mark.parametrize('caption, visible, valid, ok', [
    ('neck:1 head:0', [1, 0], [True, True], True),
    ('neck : 0 head : 1', [0, 1], [True, True], True),
    ('head:1', [0, 1], [False, True], False),
    ('neck:2 head:1', [0, 1], [False, True], False),
    ('neck:1.0 head:1', [1, 1], [True, True], False),
    ('neck:0.5 head:-1', [0, 0], [False, False], False),
    ('neck:1,2 head:1', [1, 1], [True, True], False),
])
def test_flags_are_read(caption, visible, valid, ok):
    decoded = CaptionPose(names=['neck', 'head'], style='visibility_text').decode(caption)
    assert decoded.visible[0].tolist() == visible and decoded.valid[0].tolist() == valid
    assert decoded.report[0].ok == ok and not decoded.keypoints.any()


def test_captions_are_decoded_one_by_one():
    codec = CaptionPose(names=['a', 'b'])
    decoded = codec.decode(('b:1,2', '', 'a:3,4 b:5,6'))
    assert decoded.keypoints.tolist() == [[[0, 0], [1, 2]], [[0, 0], [0, 0]], [[3, 4], [5, 6]]]
    assert decoded.valid.tolist() == [[False, True], [False, False], [True, True]]
    assert decoded.visible.tolist() == decoded.valid.tolist()
    assert [report.missing for report in decoded.report] == [('a', ), ('a', 'b'), ()]
    empty = codec.decode([])
    assert empty.keypoints.shape == (0, 2, 2) and empty.valid.shape == (0, 2) and empty.report == ()
    for other in (None, [None], [b'a:1,2'], 5):
        with pytest.raises(ValueError, match=r'encoded=.* must be a string or a list of strings'):
            codec.decode(other)


PIECES = [
    *string.digits, *':,().+-eE_ \n\t\x00\u200b\u0660\u0663\u00b2\u00bd\uff11\u2464\ud800é\u0301\x85İ', ' : ', ' , ',
    'rankl', 'neck', 'upper_neck', 'upper _ neck', 'head', 'forehead', 'RKNEE', 'nan', 'inf', '1e9', '9' * 30, '0.5',
    '-3', 'rankl:1,2 ', 'rknee:3,4 ', 'neck: (3, 4)', 'rknee:1 ', 'rknee:0.5,0.25 '
]


def plain(text):
    letters = unicodedata.normalize('NFD', text.lower())
    return ''.join(char for char in letters if not char.isspace() and unicodedata.category(char) != 'Mn')


@pytest.mark.parametrize('style', STYLES)
def test_nonsense_is_never_an_error_nor_a_point_outside_the_image(style):
    generator = random.Random(0)
    codec = CaptionPose((384, 100), style=style)
    captions = [''.join(generator.choice(PIECES) for _ in range(generator.randrange(25))) for _ in range(4000)]
    captions += [bytes(generator.randrange(256) for _ in range(40)).decode('latin-1') for _ in range(500)]
    captions.append(codec.write(np.random.default_rng(0).uniform(0, 99, (16, 2))))
    decoded = codec.decode(captions)
    assert np.isfinite(decoded.keypoints).all() and not decoded.keypoints[~decoded.valid].any()
    assert (decoded.keypoints >= 0).all() and (decoded.keypoints <= np.array([383, 99])).all()
    assert 0 < decoded.valid.sum() < decoded.valid.size / 2
    # A caption is ok just where it is written again from what was read.
    visible = decoded.valid if codec.has_coordinates else decoded.visible
    again = codec.encode(decoded.keypoints, visible)['caption']
    same = [plain(one) == plain(other) for one, other in zip(captions, again)]
    assert [report.ok for report in decoded.report] == same
    assert same[-1]


@pytest.mark.parametrize('caption', [
    ' ' * 10**6, '(' * 10**6, ':' * 10**6, '1' * 10**6, 'rankl:' * 170_000, 'rankl:1,' + '9' * 10**6,
    'rankl:-' + ' ' * 10**6 + '5,5', 'rankl:' + '1.' * 500_000, 'rankl:' + '1,' * 500_000, 'a ' * 500_000 + ':1,2',
    'a a a a a a a a a a a:1 ' * 40_000, 'rankl:1,2 ' * 100_000, '\u1100\u1161\u0301' * 330_000
], ids=lambda caption: caption[:12])
def test_a_long_text_takes_time_in_proportion(caption):
    start = time.process_time()
    CaptionPose().decode(caption)
    # A second on a slow machine; anything quadratic takes hours.
    assert time.process_time() - start < 20


def test_the_papers_captions_come_back_from_a_bert_tokenizer(tmp_path):
    transformers = pytest.importorskip('transformers')
    characters = string.ascii_lowercase + string.digits + string.punctuation
    words = ['[PAD]', '[UNK]', '[CLS]', '[SEP]', '[MASK]', *characters, *(f'##{char}' for char in characters), 'rank',
             '##ee', 'upper', '38', '##83']
    (tmp_path / 'vocab.txt').write_text('\n'.join(words))
    tokenizer = transformers.BertTokenizerFast.from_pretrained(tmp_path)
    poses = np.random.default_rng(0).uniform(0, 383, (20, 16, 2))
    for style in STYLES:
        codec = CaptionPose(style=style, missing='forbid')
        captions = codec.encode(poses)['caption']
        for clean in (True, False):
            texts = [tokenizer.decode(tokenizer(caption).input_ids, skip_special_tokens=True,
                                      clean_up_tokenization_spaces=clean) for caption in captions]
            assert texts[0] != captions[0].strip()
            decoded, expected = codec.decode(texts), codec.decode(captions)
            assert all(report.ok for report in decoded.report)
            np.testing.assert_array_equal(decoded.keypoints, expected.keypoints)
            np.testing.assert_array_equal(decoded.visible, expected.visible)

import numpy as np
import pytest
from matplotlib.backends.backend_agg import FigureCanvasAgg

from clamp_mmpose.codecs import CaptionPose
from clamp_mmpose.visualization import TokenAttention, draw_token_attention
from clamp_mmpose.visualization.token_attention import find_numbers

NAMES = {0: 'neck', 1: 'upper_neck', 2: 'lelb'}
# upper_neck:34,2 neck:0,346 lelb:7,1
TOKENS = ['upper', '_', 'neck', ':', '34', ',', '2', 'neck', ':', '0', ',', '34', '##6', 'le', '##lb', ':', '7', ',',
          '1']
NUMBERS = {4: (1, 0), 6: (1, 1), 9: (0, 0), 11: (0, 1), 12: (0, 1), 16: (2, 0), 18: (2, 1)}


def attention(seed=0):
    weights = np.tril(np.random.default_rng(seed).uniform(size=(len(TOKENS) + 1, ) * 2))
    return TokenAttention.of(TOKENS, weights / weights.sum(1, keepdims=True), NAMES, start='[DEC]', end='[SEP]')


def test_numbers_belong_to_the_joint_before_them():
    assert find_numbers(TOKENS, NAMES) == [NUMBERS.get(place) for place in range(len(TOKENS))]


@pytest.mark.parametrize(('tokens', 'found'), [
    (['neck', ':', '(', '100', ',', '200', ')'], {3: (0, 0), 5: (0, 1)}),
    (['neck', ':', '0', '.', '12', '##5', ',', '.', '5'], dict.fromkeys(range(2, 6), (0, 0))),
    (['neck', ':', '0', ',', '0', '.', '5'], {2: (0, 0)} | dict.fromkeys(range(4, 7), (0, 1))),
    (['neck', ':', '1', 'lelb', ':', '0'], {2: (0, 0), 5: (2, 0)}),  # visibility
    (['neck', ':', '1', ',', '2', 'neck', ':', '3', ',', '4'], {2: (0, 0), 4: (0, 1)}),  # repeated
    (['turtle', '##neck', ':', '1', ',', '2'], {}),
    (['neck', '1', ',', '2', ':'], {}),
    ([], {}),
])
def test_other_formats_and_what_a_model_may_write(tokens, found):
    assert find_numbers(tokens, NAMES) == [found.get(place) for place in range(len(tokens))]


def test_accents_and_capitals_are_those_of_the_tokenizer():
    assert find_numbers(['epa', '##ule', ':', '1', ',', '2'], {5: 'Épaule'})[3:] == [(5, 0), None, (5, 1)]


def test_rows_are_the_steps_that_write_and_columns_what_they_have_read():
    found = attention()
    assert found.read == ('[DEC]', *TOKENS) and found.written == (*TOKENS, '[SEP]')
    assert found.numbers[0] is None and found.numbers[5] == (1, 0) and found.joints == [1, 0, 2]
    read, written = found.labels(['neck', 'upper_neck', 'lelb'])
    assert read[:8] == ['[DEC]', 'upper', '_', 'neck', ':', 'upper_neck x 34', ',', 'upper_neck y 2']
    assert read[12:14] == ['neck y 346', '##6'] and written[:5] == read[1:6] and written[-1] == '[SEP]'


def test_attention_between_joints_against_a_loop():
    found = attention()
    between = found.between_joints()
    order = [1, 0, 2]
    for row, joint in enumerate(order):
        for column, other in enumerate(order):
            steps = [place for place, (owner, _) in NUMBERS.items() if owner == joint]  # step p writes token p
            values = [sum(found.weights[step, 1 + place] for place, (owner, _) in NUMBERS.items() if owner == other)
                      for step in steps]
            if column > row:
                assert np.isnan(between[row, column]) and sum(values) == 0
            else:
                assert between[row, column] == pytest.approx(np.mean(values))


def test_weights_of_other_tokens_are_refused():
    with pytest.raises(ValueError, match=r'weights has the shape \(4, 4\)'):
        TokenAttention.of(TOKENS, np.eye(4), NAMES, start='[DEC]', end='[SEP]')


def test_the_table_has_every_pair_that_can_be_seen():
    found = attention()
    rows = list(found.table('a.jpg', 12, 8, names=['neck', 'upper_neck', 'lelb']))
    T = len(TOKENS) + 1
    assert len(rows) == T * (T + 1) // 2
    assert rows[0][:7] == ['a.jpg', 12, 8, 'upper', '', '[DEC]', '']
    last = [row for row in rows if row[3] == '1' and row[5] == '34' and row[6] == 'neck']
    assert [row[4] for row in last] == ['lelb'] and float(last[0][7]) == pytest.approx(found.weights[18, 12], rel=1e-4)


def drawn(found, names):
    figure = draw_token_attention(found, names, title='a.jpg: layer 12')
    canvas = FigureCanvasAgg(figure)
    canvas.draw()
    return figure, canvas.get_renderer()


def test_the_map_names_all_tokens_and_hides_the_future():
    found = attention()
    figure, _ = drawn(found, ['neck', 'upper_neck', 'lelb'])
    left, right = figure.axes[:2]
    assert len(left.get_yticklabels()) == len(left.get_xticklabels()) == len(TOKENS) + 1
    values = left.images[0].get_array()
    np.testing.assert_array_equal(values.mask, np.tri(len(TOKENS) + 1, k=-1, dtype=bool))  # rows are looked at
    assert values[5, 18] == found.weights[18, 5]
    black = [label.get_text() for label in left.get_yticklabels() if label.get_color() == 'black']
    assert black == ['upper_neck x 34', 'upper_neck y 2', 'neck x 0', 'neck y 346', '##6', 'lelb x 7', 'lelb y 1']
    assert [label.get_text() for label in right.get_yticklabels()] == ['upper_neck', 'neck', 'lelb']
    np.testing.assert_array_equal(np.ma.filled(right.images[0].get_array(), np.nan), found.between_joints().T)


@pytest.mark.parametrize('count', [1, 16, 60])
def test_labels_do_not_overlap_whatever_the_length(count):
    codec = CaptionPose(names=[f'joint_{chr(97 + index // 26)}{chr(97 + index % 26)}' for index in range(count)])
    tokens = [piece for index in range(count) for piece in (codec.names[index], ':', '38', '##3', ',', '271')]
    weights = np.tri(len(tokens) + 1)
    found = TokenAttention.of(tokens, weights / weights.sum(1, keepdims=True), dict(enumerate(codec.names)),
                              start='[DEC]', end='[SEP]')
    figure, renderer = drawn(found, codec.names)
    assert max(figure.get_size_inches()) < 50
    for ax in figure.axes[:2]:
        boxes = [label.get_window_extent(renderer) for label in ax.get_yticklabels()]
        assert all(one.y0 >= other.y1 - 1 for one, other in zip(boxes, boxes[1:]))
        assert figure.bbox.x0 <= min(box.x0 for box in boxes)


def test_a_caption_without_numbers_is_drawn_and_says_so():
    found = TokenAttention.of(['what', '?'], np.tri(3) / [[1], [2], [3]], NAMES, start='[DEC]', end='[SEP]')
    figure, _ = drawn(found, ['neck', 'upper_neck', 'lelb'])
    assert 'no number' in figure.axes[1].get_title()

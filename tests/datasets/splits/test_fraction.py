"""Shares of a training file, by pictures."""
import pytest
from mmpose.registry import DATASETS

from clamp_mmpose.datasets.splits import FractionDraw


@pytest.fixture
def people(train):
    """200 pictures that can be trained on, beside 300 that cannot."""
    train.content['images'].clear()
    train.content['annotations'].clear()
    for index in range(500):
        if index % 5 < 2:
            train.add('cow', 'cow')
        elif index % 5 == 2:
            train.add('cow', iscrowd=1)
        else:
            train.add()
    return train


def chosen(file):
    return {image['id'] for image in file.images}


def test_the_share_is_of_the_pictures_that_can_be_trained_on(people, read):
    file = FractionDraw(read(people, 'person_keypoints_train2017.json')).draw('10', 0)
    assert len(file.images) == 20 and len(file.annotations) == 40
    assert {a['image_id'] for a in file.annotations} == chosen(file)
    assert file.name == 'person_keypoints_train2017_10pct-seed0.json'
    assert file.provenance['drawn_from'] == dict(pictures=500, with_usable_instances=200)


def test_a_drawn_picture_keeps_all_its_annotations(people, read):
    people.add('cow')
    people.content['annotations'].append(dict(people.content['annotations'][-1], id=9999, iscrowd=1))
    file = FractionDraw(read(people)).draw('100', 0)
    assert len(file.images) == 201 and any(a['id'] == 9999 for a in file.annotations)


@pytest.mark.parametrize('percent, name, number', [
    ('0.5', '0.5', 1), ('0.50', '0.5', 1), ('1', '1', 2), ('1.0', '1', 2), ('1e1', '10', 20), ('100', '100', 200),
    ('0.75', '0.75', 2), ('0.01', '0.01', 1)
])
def test_the_name_has_no_trailing_zeros_and_the_number_is_rounded(people, read, percent, name, number):
    file = FractionDraw(read(people)).draw(percent, 3)
    assert file.name == f'ap10k-train-split1_{name}pct-seed3.json' and len(file.images) == number
    assert file.provenance['arguments'] == dict(percent=name, seed=3)


def test_a_larger_share_of_one_seed_contains_a_smaller(people, read):
    drawing = FractionDraw(read(people))
    five, ten, other = (chosen(drawing.draw(*args)) for args in (('5', 0), ('10', 0), ('10', 1)))
    assert five < ten and not five < other


def test_the_order_of_the_source_does_not_matter(people, read):
    first = FractionDraw(read(people)).draw('10', 0)
    people.content['images'].reverse()
    people.content['annotations'].reverse()
    second = FractionDraw(read(people)).draw('10', 0)
    assert (first.images, first.annotations) == (second.images, second.annotations)


def test_pictures_of_the_validation_file_are_never_drawn(people, val, read):
    for image in people.content['images'][:250]:
        val.add('cow', file_name=image['file_name'])
    drawing = FractionDraw(read(people), read(val, 'val.json'))
    assert min(chosen(drawing.draw('100', 0))) > 250
    assert drawing.remarks() == ['100 pictures that are in val.json too are never drawn']


@pytest.mark.parametrize('percent', ['0', '-1', '100.1', 'ten', 'nan', 'inf', ''])
def test_percent_out_of_range(people, read, percent):
    with pytest.raises(ValueError, match=rf'percent={percent} must be a number above 0, and at most 100'):
        FractionDraw(read(people)).draw(percent, 0)


def test_nothing_to_draw_from(val, read):
    val.content['annotations'].clear()
    with pytest.raises(ValueError, match='no picture with labelled keypoints'):
        FractionDraw(read(val))


def test_mmpose_reads_the_share(people, read, tmp_path):
    file = FractionDraw(read(people)).draw('5', 0)
    (tmp_path / file.name).write_bytes(file.encode())
    dataset = DATASETS.build(dict(type='CheckedCocoDataset', ann_file=str(tmp_path / file.name),
                                  data_prefix=dict(img=''), pipeline=[]))
    assert len(dataset) == 20

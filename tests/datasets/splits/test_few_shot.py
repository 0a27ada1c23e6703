"""A few instances of each species, and nothing else of their pictures."""
from collections import Counter

import pytest
from mmpose.registry import DATASETS

from clamp_mmpose.datasets.splits import few_shot


def drawn(file):
    return {annotation['id'] for annotation in file.annotations}


def of_each(file):
    names = {category['id']: category['name'] for category in file.like.categories.values()}
    return Counter(names[annotation['category_id']] for annotation in file.annotations)


def test_so_many_instances_of_each_species(train, read):
    file, remarks = few_shot(read(train), shots=4, seed=0)
    assert of_each(file) == dict.fromkeys(['cow', 'sheep', 'dog', 'wolf', 'cat', 'king cheetah'], 4)
    assert {a['image_id'] for a in file.annotations} == {image['id'] for image in file.images}
    assert file.name == 'ap10k-train-split1_4shot-seed0.json'
    assert '1 species have none: arctic fox' in remarks


def test_all_of_them_where_a_species_has_fewer(train, read):
    train.add('arctic fox')
    train.add('arctic fox')
    file, remarks = few_shot(read(train), shots=5, seed=0)
    assert of_each(file)['arctic fox'] == 2 and of_each(file)['cow'] == 5
    assert file.provenance['fewer_than_asked'] == {'arctic fox': 2}
    assert '1 species have fewer than 5 usable instances and give all: arctic fox 2' in remarks


def test_other_instances_of_a_drawn_picture_are_not_trained_on(train, read):
    train.add(*['arctic fox'] * 8)
    file, _ = few_shot(read(train), shots=3, seed=0)
    assert of_each(file)['arctic fox'] == 3
    assert file.provenance['left_out']['other_instances_of_drawn_pictures'] == 5


@pytest.mark.parametrize('changes', [
    dict(keypoints=[0] * 51, num_keypoints=0), dict(iscrowd=1), dict(bbox=[10, 10, 0, 40]), dict(num_keypoints=0),
    dict(bbox=[200, 10, 50, 40]), dict(keypoints=[5, 5, 0] * 17)
])
def test_what_cannot_be_trained_on_is_never_drawn(train, read, changes):
    for _ in range(20):
        train.add('arctic fox', **changes)
    file, _ = few_shot(read(train), shots=30, seed=0)
    assert set(of_each(file).values()) == {6} and 'arctic fox' not in of_each(file)


def test_seeds_differ_and_a_larger_draw_contains_a_smaller(train, read):
    source = read(train)
    assert drawn(few_shot(source, shots=3, seed=0)[0]) != drawn(few_shot(source, shots=3, seed=1)[0])
    assert drawn(few_shot(source, shots=2, seed=1)[0]) < drawn(few_shot(source, shots=3, seed=1)[0])


def test_the_order_of_the_source_does_not_matter(train, read):
    first, _ = few_shot(read(train), shots=3, seed=0)
    for part in ('images', 'annotations', 'categories'):
        train.content[part].reverse()
    second, _ = few_shot(read(train), shots=3, seed=0)
    assert (first.images, first.annotations) == (second.images, second.annotations)


def test_the_draw_is_the_same_for_ever(train, read):
    """Pinned: another version of Python, NumPy or of this package must not change published splits."""
    file, _ = few_shot(read(train), shots=2, seed=0)
    assert sorted(drawn(file)) == [1, 6, 7, 12, 13, 18, 19, 24, 26, 27, 34, 36]


def test_every_instance_is_drawn_about_equally_often(train, read):
    source = read(train)
    times = Counter(key for seed in range(300) for key in drawn(few_shot(source, shots=2, seed=seed)[0]))
    # Binomial, 300 draws of 1/3: 100 expected, 8.2 the deviation
    assert len(times) == 36 and all(100 - 5 * 8.2 < number < 100 + 5 * 8.2 for number in times.values())


@pytest.mark.parametrize('written', ['{}', './{}', 'folder/../{}', '.\\{}'])
def test_pictures_of_the_test_file_are_never_drawn(train, val, read, written):
    for image in train.content['images'][:5]:  # of six cows
        val.add('dog', file_name=written.format(image['file_name']))
    file, remarks = few_shot(read(train), shots=6, seed=0, test=read(val, 'val.json'))
    assert of_each(file)['cow'] == 1
    assert '5 pictures that are in val.json too are never drawn' in remarks


def test_a_file_without_anything_to_draw(train, read):
    for annotation in train.content['annotations']:
        annotation['num_keypoints'] = 0
    with pytest.raises(ValueError, match='no instance with labelled keypoints to draw from'):
        few_shot(read(train), shots=2, seed=0)


def test_mmpose_trains_on_all_that_was_drawn(train, read, tmp_path):
    train.add('cow', keypoints=[0] * 51)
    train.add('cow', bbox=[99, 79, 1, 1])
    file, _ = few_shot(read(train), shots=20, seed=0)
    (tmp_path / file.name).write_bytes(file.encode())
    dataset = DATASETS.build(dict(type='CheckedAP10KDataset', ann_file=str(tmp_path / file.name),
                                  data_prefix=dict(img=''), pipeline=[]))
    assert {dataset.get_data_info(index)['id'] for index in range(len(dataset))} == drawn(file)

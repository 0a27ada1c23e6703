"""Training files and test files of unseen families never overlap, whatever the pictures show."""
import json

import pytest
from mmpose.evaluation.metrics import CocoMetric
from mmpose.registry import DATASETS

from clamp_mmpose.datasets.splits import split_by_family


@pytest.fixture
def split(train, val, read):

    def split(learnt, unseen, pool=False, **kwargs):
        files = read(train), read(val, 'ap10k-val-split1.json')
        return split_by_family(*files, train_names=learnt, test_names=unseen, pool=list(files) if pool else None,
                               pool_stem='ap10k-all-split1', **kwargs)

    return split


def species(file):
    names = {category['id']: category['name'] for category in file.like.categories.values()}
    return {names[annotation['category_id']] for annotation in file.annotations}


def pictures(file):
    return {image['file_name'] for image in file.images}


def test_each_side_has_its_families_and_their_pictures_alone(split):
    made = split(['Bovidae'], ['Canidae', 'Felidae'])
    assert species(made.train) == {'cow', 'sheep'} and species(made.test) == {'dog', 'wolf', 'cat', 'king cheetah'}
    assert len(made.train.images) == len(made.train.annotations) == 12
    assert len(made.test.images) == len(made.test.annotations) == 8
    assert {a['image_id'] for a in made.train.annotations} == {image['id'] for image in made.train.images}
    assert (made.train.name, made.test.name) == ('ap10k-train-split1_bovidae.json',
                                                 'ap10k-val-split1_canidae+felidae.json')


def test_all_pictures_of_the_unseen_family_come_from_every_file(split):
    made = split(['Bovidae'], ['Canidae'], pool=True)
    assert len(made.test.annotations) == 12 + 4
    assert made.test.name == 'ap10k-all-split1_canidae.json'
    assert not pictures(made.train) & pictures(made.test)


@pytest.mark.parametrize('pool', [False, True])
def test_a_picture_with_animals_of_both_sides_is_not_trained_on(train, split, pool):
    both = train.content['images'][train.add('cow', 'dog') - 1]['file_name']
    made = split(['Bovidae'], ['Canidae'], pool)
    assert both not in pictures(made.train)
    assert (both in pictures(made.test)) == pool
    assert len(made.train.annotations) == 12
    assert made.train.provenance['left_out']['pictures_with_other_animals'] == 1
    assert any('1 picture of ap10k-train-split1.json not trained on' in remark for remark in made.remarks)


def test_an_unseen_animal_without_keypoints_counts_as_shown(train, split):
    train.add('cow', 'dog')
    train.content['annotations'][-1].update(num_keypoints=0, keypoints=[0] * 51)
    assert len(split(['Bovidae'], ['Canidae']).train.annotations) == 12


def test_other_animals_of_a_tested_picture_are_not_tested(val, split):
    val.add('cow', 'dog', 'cat')
    made = split(['Bovidae'], ['Canidae'])
    assert len(made.test.images) == len(made.test.annotations) == 5
    assert species(made.test) == {'dog', 'wolf'}


def test_a_picture_that_both_files_list_is_tested_only(train, val, split):
    train.add('cow', file_name='same.jpg')
    val.add('dog', file_name='same.jpg')
    made = split(['Bovidae'], ['Canidae'])
    assert 'same.jpg' in pictures(made.test) and 'same.jpg' not in pictures(made.train)
    assert made.train.provenance['left_out']['pictures_of_the_test_file'] == 1


def test_one_training_file_serves_every_test(train, split):
    train.add('cow', 'dog')
    train.add('cow', 'cat')
    files = [split(['Bovidae'], [unseen], pool).train.encode()
             for unseen in ('Canidae', 'Felidae', 'wolf') for pool in (False, True)]
    assert len(set(files)) == 1


def test_one_test_file_serves_every_training(split):
    assert split(['Bovidae'], ['Felidae']).test.encode() == split(['Canidae', 'sheep'], ['Felidae']).test.encode()


def test_names_may_be_families_and_species_in_any_spelling(split):
    made = split(['bovidae', 'Bovidae'], ['King_Cheetah', 'WOLF'])
    assert made.test.provenance['arguments'] == dict(test=['king cheetah', 'wolf'])
    assert made.train.provenance['arguments'] == dict(train=['Bovidae'])
    assert made.test.name == 'ap10k-val-split1_king-cheetah+wolf.json'


def test_a_list_too_long_for_a_file_name_is_shortened(train, val, split):
    for made in (train, val):
        made.content['categories'] += [dict(id=100 + n, name=f'animal number {n}', supercategory=f'family number {n}')
                                       for n in range(60)]
    names = [f'family number {n}' for n in range(60)]
    made = split(['Bovidae', *names], ['Canidae'])
    assert len(made.train.name.encode()) < 200
    assert made.train.name.startswith('ap10k-train-split1_bovidae+60-more-')
    assert made.train.name != split(['Bovidae', *names[1:], names[0]], ['Canidae']).train.name


def test_sharing_a_family_is_refused_unless_asked_for_by_species(split):
    with pytest.raises(ValueError, match=r'same family, Canidae: use --by species'):
        split(['dog'], ['wolf'])
    made = split(['dog'], ['wolf'], by='species')
    assert species(made.train) == {'dog'} and species(made.test) == {'wolf'}
    assert 'both sides have species of Canidae' in made.remarks


@pytest.mark.parametrize('learnt, unseen, message', [
    (['Bovidae'], ['Bovidae'], r'overlap: cow, sheep'),
    (['Bovidae', 'dog'], ['Canidae'], r'overlap: dog'),
    (['Bovidea'], ['Canidae'], r"train='Bovidea' is no family or species of .*Did you mean 'Bovidae'\?.*"
     r'Bovidae 16, Canidae 16, Felidae 16.*arctic fox 0, cat 8, cow 8'),
    (['Bovidae'], ['arctic fox'], r'test=arctic fox has no instance with labelled keypoints'),
    (['arctic fox'], ['Bovidae'], r'train=arctic fox has no instance with labelled keypoints'),
])
def test_names_that_make_no_split(split, learnt, unseen, message):
    with pytest.raises(ValueError, match=message):
        split(learnt, unseen)


def test_a_name_that_is_both_a_family_and_one_of_its_species(train, val, split):
    for made in (train, val):
        made.content['categories'][0]['name'] = 'Felidae'  # the cow
    with pytest.raises(ValueError, match='both a family and a species'):
        split(['Canidae'], ['Felidae'])
    assert split(['Canidae'], ['Felidae'], by='family').test.provenance['counts']['usable_instances'] == 4
    assert split(['dog'], ['Felidae'], by='species').test.provenance['counts']['usable_instances'] == 2


def test_what_brings_nothing_is_said(train, split):
    for annotation in train.content['annotations']:
        if annotation['category_id'] == 2:  # sheep
            annotation.update(num_keypoints=0, keypoints=[0] * 51)
    remarks = split(['Bovidae'], ['Canidae']).remarks
    assert 'train: no usable instance of sheep' in remarks and 'test: no usable instance of arctic fox' in remarks


def test_files_whose_ids_clash_are_numbered_anew(train, val, split):
    # So that dogs have the ids of other dogs.
    for part, fields in (('images', ['id']), ('annotations', ['id', 'image_id'])):
        for record in val.content[part]:
            record.update({field: record[field] - 992 for field in fields})
            if part == 'images':
                record['file_name'] = 'val/' + record['file_name']
    made = split(['Bovidae'], ['Canidae'], pool=True)
    assert len(made.test.annotations) == len({a['id'] for a in made.test.annotations}) == 16
    by_id = {image['id']: image['file_name'] for image in made.test.images}
    assert len(by_id) == 16 and sum(name.startswith('val/') for name in by_id.values()) == 4
    assert {a['image_id'] for a in made.test.annotations} == set(by_id)


def test_files_that_annotate_a_picture_in_two_ways_are_not_merged(train, val, split):
    train.add('cow', file_name='same.jpg')
    val.add('dog', file_name='same.jpg')
    with pytest.raises(ValueError, match=r'same\.jpg is annotated in more than one way in ap10k-train'):
        split(['Bovidae'], ['Canidae'], pool=True)


def test_categories_that_mean_different_things(val, split):
    val.content['categories'][0]['name'] = 'horse'
    with pytest.raises(ValueError, match="category 1 is 'cow' and 'horse'"):
        split(['Bovidae'], ['Canidae'])


def test_mmpose_reads_both_files_unchanged(split, tmp_path):
    made = split(['Bovidae'], ['Canidae'])
    for file, number in ((made.train, 12), (made.test, 4)):
        path = tmp_path / file.name
        path.write_bytes(file.encode())
        dataset = DATASETS.build(dict(type='CheckedAP10KDataset', ann_file=str(path), data_prefix=dict(img=''),
                                      pipeline=[]))
        assert len(dataset) == number
        metric = CocoMetric(ann_file=str(path))
        assert len(metric.coco.cats) == 7  # whole, for AP is a mean over those that have instances
        assert json.loads(path.read_bytes())['categories'] == [*file.like.categories.values()]

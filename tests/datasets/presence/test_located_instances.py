"""Which instances keep their locations."""
import json

import pytest
from presence_people import make_people

from clamp_mmpose.datasets.presence import LocatedInstances
from clamp_mmpose.tools.cli import main


def write(path, **content):
    path.write_text(json.dumps(content))
    return path


def test_a_share_is_what_it_says_and_a_larger_one_contains_it():
    ids = range(1000, 21000)
    drawn = {share: {key for key in ids if key in LocatedInstances(share)} for share in (0, 0.05, 0.1, 0.25, 1)}
    assert not drawn[0] and len(drawn[1]) == 20000
    assert drawn[0.05] < drawn[0.1] < drawn[0.25]
    for share in (0.05, 0.1, 0.25):
        assert len(drawn[share]) == pytest.approx(20000 * share, rel=0.1)


def test_the_seed_draws_others():
    one, other = ({key for key in range(2000) if key in LocatedInstances(0.25, seed)} for seed in (0, 1))
    assert len(one & other) == pytest.approx(2000 / 16, rel=0.3)


def test_a_list_has_those_that_a_share_has_first(tmp_path, capsys):
    """So that a share stands for the list of its seed, give or take the exact number."""
    make_people(tmp_path, number=40)
    assert main(['make-splits', 'locations', '--ann', str(tmp_path / 'people.json'), '--percent', '25', '--seeds', '3',
                 ]) == 0
    listed = LocatedInstances(tmp_path / 'people_locations-25pct-seed3.json').ids
    shared = {key for key in range(100, 140) if key in LocatedInstances(0.25, 3)}
    assert len(listed) == 10 and (listed <= shared or shared <= listed)
    assert f"located='{tmp_path / 'people_locations-25pct-seed3.json'}'" in capsys.readouterr().out


@pytest.mark.parametrize('text, told', [
    ('{', 'is not a complete JSON file'), ('[1, 2]', 'must be a dict with a list of ids'),
    ('{"located": 3}', 'must be a dict with a list of ids'),
    ('{"located": [1.5]}', 'must be a dict with a list of ids')])
def test_files_that_are_no_lists_are_told(tmp_path, text, told):
    (tmp_path / 'list.json').write_text(text)
    with pytest.raises(ValueError, match=told):
        LocatedInstances(tmp_path / 'list.json')


def test_a_list_that_is_not_there_is_told(tmp_path):
    with pytest.raises(FileNotFoundError, match=r'nowhere.json.* is not there.*make-splits locations'):
        LocatedInstances(str(tmp_path / 'nowhere.json'))


def test_an_empty_list_is_training_without_locations(tmp_path):
    assert LocatedInstances(write(tmp_path / 'list.json', located=[])).has_none


def test_a_list_of_another_file_is_told(tmp_path):
    people, other = write(tmp_path / 'people.json', number=1), write(tmp_path / 'other.json', number=2)
    from hashlib import sha256
    source = dict(file='people.json', sha256=sha256(people.read_bytes()).hexdigest())
    listed = write(tmp_path / 'a.json', located=[1], provenance=dict(sources=[source], ids='ids of annotations'))
    assert LocatedInstances(listed).compare_with(str(people)) == ''
    assert 'was drawn from another file, people.json' in LocatedInstances(listed).compare_with(str(other))
    numbers = write(tmp_path / 'b.json', located=[1], provenance=dict(sources=[source], ids='numbers of records'))
    with pytest.raises(ValueError, match='stand for other people there'):
        LocatedInstances(numbers).compare_with(str(other))

"""The subcommand `make-splits`."""
import hashlib
import json
import os
import re
from pathlib import Path

import pytest
from mmpose.evaluation.metrics import CocoMetric
from mmpose.registry import DATASETS

from clamp_mmpose import __version__
from clamp_mmpose.datasets.toy import make_toy_dataset
from clamp_mmpose.tools.cli import main

REAL_DATA = os.environ.get('CLAMP_MMPOSE_REAL_DATA')
TRAIN, VAL = 'ap10k-train-split1.json', 'ap10k-val-split1.json'


@pytest.fixture(scope='module')
def toy(tmp_path_factory):
    """A data root with the annotations of toy animals, not to be changed."""
    root = tmp_path_factory.mktemp('ap10k')
    make_toy_dataset(root, train=44, val=22)
    return root


@pytest.fixture
def run(toy, tmp_path, capsys):
    """Runs a protocol on the toy data; returns the status, and what was printed where."""

    def run(protocol, *argv, out=None):
        roots = ['--data-root', toy] if protocol in ('family', 'few-shot') and '--train-ann' not in argv else []
        status = main(['make-splits', protocol, *map(str, (*argv, *roots, '--out', out or tmp_path / 'out'))])
        printed = capsys.readouterr()
        return status, printed.out, printed.err

    return run


def load(folder, name):
    return json.loads((folder / 'out' / name).read_text())


PROTOCOLS = [
    (['family', '--train', 'Bovidae', '--test', 'Canidae'],
     ['ap10k-train-split1_bovidae.json', 'ap10k-val-split1_canidae.json']),
    (['family', '--train', 'Bovidae', 'tiger', '--test', 'Canidae', '--test-images', 'all'],
     ['ap10k-train-split1_bovidae+tiger.json', 'ap10k-all-split1_canidae.json']),
    (['few-shot', '--shots', '3', '--seed', '0', '1'],
     ['ap10k-train-split1_3shot-seed0.json', 'ap10k-train-split1_3shot-seed1.json']),
    (['fraction', '--ann', '{toy}/annotations/ap10k-train-split1.json', '--percent', '5', '10', '--seeds', '0', '1'],
     [f'ap10k-train-split1_{percent}pct-seed{seed}.json' for percent in (5, 10) for seed in (0, 1)]),
    (['common', '--a', 'animalpose', '--b', 'ap10k', '--b-ann', '{toy}/annotations/ap10k-val-split1.json'],
     ['ap10k-val-split1_common-animalpose-ap10k.json', 'common_animalpose_ap10k.py']),
]


@pytest.fixture(params=PROTOCOLS, ids=lambda param: param[0][0])
def protocol(request, toy):
    argv, names = request.param
    return [word.format(toy=toy) for word in argv], names


def test_the_files_are_written_again_byte_by_byte(run, protocol, tmp_path):
    argv, names = protocol
    assert run(*argv)[0] == run(*argv, out=tmp_path / 'other')[0] == 0
    assert sorted(path.name for path in (tmp_path / 'out').iterdir()) == sorted(names)
    for name in names:
        assert (tmp_path / 'out' / name).read_bytes() == (tmp_path / 'other' / name).read_bytes()


def test_every_file_tells_where_it_is_from(run, protocol, toy, tmp_path):
    argv, names = protocol
    run(*argv)
    for name in names:
        if name.endswith('.json'):
            about = load(tmp_path, name)['provenance']
            assert about['written_by'] == f'clamp-mmpose {__version__}' and about['protocol'] == argv[0]
            for source in about['sources']:
                content = (toy / 'annotations' / source['file']).read_bytes()
                assert source['sha256'] == hashlib.sha256(content).hexdigest()
            assert about['sources'] and about['counts']['usable_instances'] > 0
            assert sum(about['counts']['species'].values()) == about['counts']['usable_instances']
        text = (tmp_path / 'out' / name).read_text()
        assert str(toy) not in text and str(tmp_path) not in text


def test_mmpose_reads_every_file(run, protocol, tmp_path):
    argv, names = protocol
    run(*argv)
    for name in names:
        if name.endswith('.json') and 'common' not in name:
            path = str(tmp_path / 'out' / name)
            dataset = DATASETS.build(dict(type='CheckedAP10KDataset', ann_file=path, data_prefix=dict(img=''),
                                          pipeline=[]))
            assert len(dataset) == load(tmp_path, name)['provenance']['counts']['usable_instances']
            assert len(CocoMetric(ann_file=path).coco.cats) == 54


def test_a_second_run_has_nothing_to_do(run, protocol):
    argv, names = protocol
    assert run(*argv)[1].count(': written') == len(names)
    status, out, _ = run(*argv)
    assert status == 0 and out.count(': unchanged') == len(names)


def test_another_version_of_the_package_is_no_other_content(run, protocol, tmp_path):
    argv, names = protocol
    run(*argv)
    for name in names:
        path = tmp_path / 'out' / name
        path.write_text(path.read_text().replace(f'clamp-mmpose {__version__}', 'clamp-mmpose 99.1.dev0'))
    assert run(*argv)[1].count(': unchanged') == len(names)


def test_a_file_with_other_content_is_kept_unless_forced(run, protocol, tmp_path):
    argv, names = protocol
    (tmp_path / 'out').mkdir()
    (tmp_path / 'out' / names[-1]).write_text('years of work')
    status, _, err = run(*argv)
    assert status == 2 and f'{names[-1]} is there and holds something else' in err and err.count('\n') == 1
    assert [path.name for path in (tmp_path / 'out').iterdir()] == [names[-1]]
    status, out, _ = run(*argv, '--force')
    assert status == 0 and out.count(': replaced') == 1
    assert (tmp_path / 'out' / names[-1]).read_text() != 'years of work'


def test_families_are_counted_as_in_the_files(run, toy, tmp_path):
    _, out, _ = run('family', '--train', 'Bovidae', '--test', 'Canidae')
    counts = load(tmp_path, 'ap10k-val-split1_canidae.json')['provenance']['counts']
    content = json.loads((toy / 'annotations' / VAL).read_text())
    ids = {category['id'] for category in content['categories'] if category['supercategory'] == 'Canidae'}
    assert counts['instances'] == sum(a['category_id'] in ids for a in content['annotations']) > 0
    assert re.search(rf'Canidae +{counts["usable_instances"]}  ', out)


def test_species_of_one_name_in_two_families_are_told(run, toy, tmp_path):
    source = json.loads((toy / 'annotations' / TRAIN).read_text())
    for category in source['categories']:
        category['name'] = 'adult'
    (tmp_path / 'adults.json').write_text(json.dumps(source))
    status, out, _ = run('few-shot', '--train-ann', tmp_path / 'adults.json', '--shots', '1')
    assert status == 0 and 'adult 22' in out
    counted = set(load(tmp_path, 'adults_1shot-seed0.json')['provenance']['counts']['families'])
    assert {line.split()[0] for line in out.splitlines() if 'adult 22' in line} == counted


def test_files_are_written_beside_the_source_by_default(toy, tmp_path, capsys):
    path = tmp_path / 'annotations' / 'beside.json'
    path.parent.mkdir()
    path.write_bytes((toy / 'annotations' / TRAIN).read_bytes())
    assert main(['make-splits', 'fraction', '--ann', str(path), '--percent', '10']) == 0
    assert (tmp_path / 'annotations' / 'beside_10pct-seed0.json').exists()


def test_any_coco_style_files(run, toy, tmp_path):
    """One file may even give both sides."""
    path = tmp_path / 'animals.json'
    path.write_bytes((toy / 'annotations' / TRAIN).read_bytes())
    assert run('family', '--train-ann', path, '--test-ann', path, '--train', 'Bovidae', '--test', 'Canidae')[0] == 0
    train, test = load(tmp_path, 'animals_bovidae.json'), load(tmp_path, 'animals_canidae.json')
    assert not {image['id'] for image in train['images']} & {image['id'] for image in test['images']}
    status, out, _ = run('few-shot', '--train-ann', path, '--shots', 2)
    assert status == 0 and 'note: no test file was given' in out
    assert (tmp_path / 'out' / 'animals_2shot-seed0.json').exists()


@pytest.mark.parametrize('argv', [
    ('family', '--train-ann', 'texts.json', '--test-ann', 'texts.json', '--train', 'Bovidae', '--test', 'Canidae'),
    ('few-shot', '--train-ann', 'texts.json', '--shots', '2'),
    ('fraction', '--ann', 'texts.json', '--percent', '50'),
    ('common', '--a', 'ap10k', '--b', 'animalpose', '--a-ann', 'texts.json'),
], ids=lambda argv: argv[0])
def test_ids_that_are_texts_become_numbers_which_mmpose_reads(toy, run, tmp_path, monkeypatch, argv):
    source = json.loads((toy / 'annotations' / TRAIN).read_text())
    for annotation in source['annotations']:
        annotation.update(id=f'instance {annotation["id"]}', image_id=f'picture {annotation["image_id"]}',
                          category_id=f'species {annotation["category_id"]}')
    for part, word in (('images', 'picture'), ('categories', 'species')):
        for record in source[part]:
            record['id'] = f'{word} {record["id"]}'
    (tmp_path / 'texts.json').write_text(json.dumps(source))
    monkeypatch.chdir(tmp_path)
    status, out, _ = run(*argv)
    assert status == 0 and 'ids that are texts are numbered anew' in out
    for path in Path('out').glob('*.json'):
        file = load(tmp_path, path.name)
        held = described(file)
        assert held and len(set(held)) == len(held) and set(held) <= set(described(source))
        metainfo = dict(metainfo=dict(from_file='out/common_ap10k_animalpose.py')) if argv[0] == 'common' else {}
        dataset = DATASETS.get('AP10KDataset')(ann_file=str(path), data_mode='topdown', **metainfo)
        assert len(dataset) == file['provenance']['counts']['usable_instances']


def described(file):
    """Picture, species and box of each instance."""
    names = {record['id']: record['file_name'] for record in file['images']}
    species = {record['id']: record['name'] for record in file['categories']}
    return [(names[one['image_id']], species[one['category_id']], *one['bbox']) for one in file['annotations']]


@pytest.mark.parametrize('argv, message', [
    (['family', '--train', 'Bovidae', '--test', 'Cannidae'], "test='Cannidae' is no family or species of"),
    (['family', '--train', 'Bovidae', '--test', 'mole'], 'test=mole has no instance with labelled keypoints'),
    (['family', '--train', 'Bovidae', '--test', 'Canidae', '--split', '2'],
     r'ap10k-train-split2\.json is not there \(from --data-root .* --split 2\)'),
    (['family', '--train', 'Bovidae', '--test', 'Canidae', '--test-ann', 'a.json'], 'needs --train-ann'),
    (['family', '--train', 'Bovidae', '--test', 'Canidae', '--train-ann', '{toy}/annotations/' + TRAIN],
     'needs --test-ann'),
    (['few-shot', '--shots', '0'], 'shots=0 must be at least 1'),
    (['fraction', '--ann', '{toy}/annotations/' + TRAIN, '--percent', '0'], 'percent=0 must be a number above 0'),
    (['fraction', '--ann', '{toy}/nowhere.json', '--percent', '1'], r'nowhere\.json is not there \(--ann\)'),
    (['fraction', '--ann', '{toy}', '--percent', '1'], 'is not there'),
    (['fraction', '--ann', '{toy}/manifest.json', '--percent', '1'], 'is not a COCO-style annotation file'),
    (['fraction', '--ann', '{toy}/data/000000000001.jpg', '--percent', '1'], 'is not a complete JSON file'),
    (['common', '--a', 'ap10k', '--b', 'cats'], "b='cats' is not known"),
    (['common', '--a', 'animalpose', '--b', 'ap10k', '--a-ann', '{toy}/annotations/' + VAL],
     'not those of animalpose'),
    (['common', '--a', 'ap10k', '--b', 'animalpose', '--a-ann', *['{toy}/annotations/' + VAL] * 2],
     'two of the files would be one'),
])
def test_what_cannot_be_done_is_one_line_and_status_2(run, toy, tmp_path, argv, message):
    status, out, err = run(*(word.format(toy=toy) for word in argv))
    assert status == 2 and re.search(message, err) and err.count('\n') == 1 and not out
    assert not (tmp_path / 'out').exists()


@pytest.mark.skipif(not REAL_DATA, reason='CLAMP_MMPOSE_REAL_DATA names no folder of real images')
def test_real_annotations(run, tmp_path):
    """Two animals of AP-10K: an antelope and a jaguar; and people of COCO."""
    path = Path(REAL_DATA, 'ap10k', 'test_ap10k.json')
    assert run('family', '--train-ann', path, '--test-ann', path, '--train', 'Bovidae', '--test', 'Felidae')[0] == 0
    assert [a['category_id'] for a in load(tmp_path, 'test_ap10k_felidae.json')['annotations']] == [26]
    assert run('few-shot', '--train-ann', path, '--shots', 1)[0] == 0
    assert len(load(tmp_path, 'test_ap10k_1shot-seed0.json')['annotations']) == 2
    assert run('common', '--a', 'ap10k', '--b', 'animalpose', '--a-ann', path)[0] == 0
    numbers = [a['num_keypoints'] for a in load(tmp_path, 'test_ap10k_common-ap10k-animalpose.json')['annotations']]
    assert numbers == [15, 15]  # of 16 labelled: all but the neck
    people = Path(REAL_DATA, 'coco', 'test_coco.json')
    assert run('fraction', '--ann', people, '--percent', '50')[0] == 0
    assert len(load(tmp_path, 'test_coco_50pct-seed0.json')['images']) == 2


def test_instances_that_keep_their_locations_are_listed(run, toy, tmp_path):
    ann = toy / 'annotations' / TRAIN
    status, said, _ = run('locations', '--ann', ann, '--percent', '5', '10', '25', '100', '--seeds', '0', '1')
    assert status == 0 and 'keep their locations' in said
    source = json.loads(ann.read_text())
    usable = {one['id'] for one in source['annotations'] if any(one['keypoints'][2::3])}
    lists = {(percent, seed): load(tmp_path, f'{ann.stem}_locations-{percent}pct-seed{seed}.json')
             for percent in (5, 10, 25, 100) for seed in (0, 1)}
    for seed in (0, 1):
        drawn = [set(lists[percent, seed]['located']) for percent in (5, 10, 25, 100)]
        assert drawn[0] < drawn[1] < drawn[2] < drawn[3] == usable
        assert [len(ids) for ids in drawn[1:3]] == [round(len(usable) * share + 1e-9) for share in (0.1, 0.25)]
    assert lists[25, 0]['located'] != lists[25, 1]['located']
    (told, ) = lists[5, 0]['provenance']['sources']
    assert told == dict(file=TRAIN, sha256=hashlib.sha256(ann.read_bytes()).hexdigest())
    before = {path.name: path.read_bytes() for path in (tmp_path / 'out').iterdir()}
    assert 'unchanged' in run('locations', '--ann', ann, '--percent', '5.0', '--seeds', '0')[1]
    assert before == {path.name: path.read_bytes() for path in (tmp_path / 'out').iterdir()}


def test_records_of_mpii_are_listed_by_their_number(run, tmp_path):
    ann = tmp_path / 'mpii.json'
    ann.write_text(json.dumps([dict(image='1.jpg', joints=[[1, 1]], joints_vis=[1])] * 8))
    assert run('locations', '--ann', ann, '--percent', '25')[0] == 0
    content = load(tmp_path, 'mpii_locations-25pct-seed0.json')
    assert len(content['located']) == 2 and set(content['located']) < set(range(8))
    assert content['provenance']['ids'] == 'numbers of records'


@pytest.mark.parametrize('text, percent, told', [
    ('[]', '25', 'no instance'), ('[{"image": "1.jpg"}]', '25', 'record 0 has no image, joints'), ('[1', '25', 'JSON'),
    ('{}', '25', 'no list of images'), ('[{"image": "1.jpg"}]', '0', 'percent=0'), (None, '25', 'is not there')])
def test_what_cannot_be_listed_is_told(run, tmp_path, text, percent, told):
    ann = tmp_path / 'people.json'
    if text is not None:
        ann.write_text(text)
    status, _, said = run('locations', '--ann', ann, '--percent', percent)
    assert status == 2 and told in said and len(said.splitlines()) == 1

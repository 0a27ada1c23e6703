"""What `make_toy_dataset` promises about bytes, splits, folders and arguments."""
import hashlib
import json
import subprocess
import sys

import pytest

from clamp_mmpose.datasets.toy import DOMAINS, make_toy_dataset

SMALL = dict(train=3, val=2, seed=7)


def digests(folder, pattern='**/*'):
    return {
        str(path.relative_to(folder)): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in sorted(folder.glob(pattern)) if path.is_file()
    }


@pytest.mark.parametrize('kind', ['animals', 'people'])
def test_same_arguments_give_same_bytes(tmp_path, kind):
    for name in 'ab':
        make_toy_dataset(tmp_path / name, kind=kind, **SMALL)
    assert digests(tmp_path / 'a') == digests(tmp_path / 'b')


def test_mat_file_carries_no_time_of_day(tmp_path):
    make_toy_dataset(tmp_path, kind='people', **SMALL)
    assert (tmp_path / 'annotations/mpii_gt_val.mat').read_bytes()[:116].strip() == b'MATLAB 5.0 MAT-file, toy data'


@pytest.mark.parametrize('kind', ['animals', 'people'])
def test_no_picture_is_shared_by_splits_or_seeds(tmp_path, kind):
    make_toy_dataset(tmp_path / 'a', kind=kind, train=6, val=6, seed=0)
    make_toy_dataset(tmp_path / 'b', kind=kind, train=6, val=6, seed=1)
    pictures = [*digests(tmp_path / 'a', 'data/*').values(), *digests(tmp_path / 'b', 'data/*').values()]
    assert len(set(pictures)) == 24


def test_a_picture_does_not_depend_on_how_many_are_drawn(tmp_path):
    make_toy_dataset(tmp_path / 'few', train=2, val=1, seed=7)
    make_toy_dataset(tmp_path / 'many', train=5, val=3, seed=7)
    few, many = (digests(tmp_path / name, 'data/*') for name in ('few', 'many'))
    assert len(few) == 3
    assert few.items() <= many.items()


@pytest.mark.parametrize('kind', ['animals', 'people'])
def test_domain_changes_every_picture_and_no_annotation(tmp_path, kind):
    for domain in DOMAINS:
        make_toy_dataset(tmp_path / domain, kind=kind, domain=domain, **SMALL)
    annotations = [digests(tmp_path / domain, 'annotations/*') for domain in DOMAINS]
    assert all(other == annotations[0] for other in annotations)
    pictures = [digest for domain in DOMAINS for digest in digests(tmp_path / domain, 'data/*').values()]
    assert len(DOMAINS) >= 6
    assert len(set(pictures)) == 5 * len(DOMAINS)


def test_finished_data_are_not_written_again(tmp_path):
    first = make_toy_dataset(tmp_path, **SMALL)
    times = {path: path.stat().st_mtime_ns for path in tmp_path.rglob('*')}
    calls = []
    second = make_toy_dataset(tmp_path, **SMALL, progress=lambda iterable, desc: calls.append(desc) or iterable)
    assert second == first
    assert calls == []
    assert {path: path.stat().st_mtime_ns for path in tmp_path.rglob('*')} == times


@pytest.mark.parametrize('damage', ['picture', 'annotations', 'interrupted'])
def test_damaged_data_are_drawn_again(tmp_path, damage):
    make_toy_dataset(tmp_path, **SMALL)
    whole = digests(tmp_path)
    if damage == 'picture':
        next((tmp_path / 'data').glob('*.jpg')).unlink()
    elif damage == 'annotations':
        (tmp_path / 'annotations/ap10k-val-split1.json').unlink()
    else:
        manifest = json.loads((tmp_path / 'manifest.json').read_text())
        (tmp_path / 'manifest.json').write_text(json.dumps(dict(manifest, complete=False)))
        next((tmp_path / 'data').glob('*.jpg')).write_bytes(b'half a picture')
    make_toy_dataset(tmp_path, **SMALL)
    assert digests(tmp_path) == whole


def test_interrupted_drawing_is_resumed(tmp_path):
    def stop(iterable, desc):
        yield next(iter(iterable))
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        make_toy_dataset(tmp_path / 'a', **SMALL, progress=stop)
    make_toy_dataset(tmp_path / 'a', **SMALL)
    make_toy_dataset(tmp_path / 'b', **SMALL)
    assert digests(tmp_path / 'a') == digests(tmp_path / 'b')


def test_other_arguments_replace_own_files_only(tmp_path):
    make_toy_dataset(tmp_path / 'a', train=5, val=2)
    (tmp_path / 'a/notes.txt').write_text('mine')
    (tmp_path / 'a/data/mine.jpg').write_text('mine')
    make_toy_dataset(tmp_path / 'a', kind='people', train=2, val=1, seed=3)
    make_toy_dataset(tmp_path / 'b', kind='people', train=2, val=1, seed=3)
    left = digests(tmp_path / 'a')
    assert {name for name in left if name not in digests(tmp_path / 'b')} == {'notes.txt', 'data/mine.jpg'}


ANOTHER = '{"generator": "another program", "arguments": {"train": 1, "val": 1}}'


@pytest.mark.parametrize('content', [None, 'not json', '[]', ANOTHER])
def test_foreign_folder_is_refused_and_untouched(tmp_path, content):
    (tmp_path / 'thesis.txt').write_text('years of work')
    if content is not None:
        (tmp_path / 'manifest.json').write_text(content)
    before = digests(tmp_path)
    with pytest.raises(FileExistsError, match='give a new or empty folder'):
        make_toy_dataset(tmp_path, **SMALL)
    assert digests(tmp_path) == before


def test_file_in_place_of_the_folder_is_refused(tmp_path):
    (tmp_path / 'file').write_text('')
    with pytest.raises(FileExistsError, match='is a file'):
        make_toy_dataset(tmp_path / 'file')
    with pytest.raises(OSError, match='cannot be written'):
        make_toy_dataset(tmp_path / 'file' / 'below')


@pytest.mark.parametrize('arguments, message', [
    (dict(kind='plants'), "kind='plants' is not known: choose one of animals, people"),
    (dict(domain='mars'), "domain='mars' is not known: choose one of default, night, fog, noise, blur, texture"),
    (dict(train=0), 'train=0 must be between 1 and 500000'),
    (dict(val=-3), 'val=-3 must be between 1 and 500000'),
    (dict(train=2.5), 'train=2.5 must be a whole number, between 1 and 500000'),
    (dict(seed=-1), 'seed=-1 must be at least 0'),
])
def test_bad_argument_is_named_before_anything_is_written(tmp_path, arguments, message):
    with pytest.raises(ValueError, match=f'^{message}$'):
        make_toy_dataset(tmp_path / 'out', **arguments)
    assert not (tmp_path / 'out').exists()


def test_manifest_counts_what_the_annotations_hold(tmp_path):
    manifest = make_toy_dataset(tmp_path, train=30, val=4)
    assert json.loads((tmp_path / 'manifest.json').read_text()) == manifest
    assert manifest['arguments'] == dict(kind='animals', train=30, val=4, seed=0, domain='default')
    for split, pictures in (('train', 30), ('val', 4)):
        content = json.loads((tmp_path / f'annotations/ap10k-{split}-split1.json').read_text())
        assert len(content['images']) == pictures
        assert sum(manifest['instances'][split].values()) == len(content['annotations'])
    # One round through the table is shorter than 30 pictures.
    assert len(manifest['instances']['train']) >= 12


def test_import_needs_neither_torch_nor_mmpose():
    code = '''
import importlib.util, sys, types
for name in ('torch', 'mmpose', 'mmengine', 'mmcv', 'scipy', 'tqdm'):
    sys.modules[name] = None
package = types.ModuleType('clamp_mmpose')
package.__path__ = importlib.util.find_spec('clamp_mmpose').submodule_search_locations
sys.modules['clamp_mmpose'] = package
import clamp_mmpose.datasets.toy as toy
print(*toy.KINDS)
'''
    done = subprocess.run([sys.executable, '-c', code], capture_output=True, text=True)
    assert done.stdout.split() == ['animals', 'people'], done.stderr

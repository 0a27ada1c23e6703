import os

import pytest

from clamp_mmpose.apis import find_inputs


@pytest.fixture
def tree(tmp_path, monkeypatch):
    for name in ('b.jpg', 'a.PNG', 'notes.md', '._b.jpg', '.hidden/c.jpg', 'deer/b.jpg', 'deer/more/film.mp4',
                 'x/b.jpg'):
        path = tmp_path / 'pictures' / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(b'x')
    monkeypatch.chdir(tmp_path)
    return tmp_path


def names(inputs):
    return [item.name for item in inputs]


def test_a_folder_gives_its_images_and_videos_in_order(tree):
    assert [item.path for item in find_inputs(['pictures'])] == ['pictures/a.PNG', 'pictures/b.jpg']


def test_recursive_looks_into_folders(tree):
    found = find_inputs(['pictures'], recursive=True)
    assert names(found) == ['a.PNG', 'b.jpg', 'deer/b.jpg', 'deer/more/film.mp4', 'x/b.jpg']


def test_files_of_the_same_name_have_names_of_their_own(tree):
    found = find_inputs(['pictures/x/b.jpg', 'pictures/deer/b.jpg', 'pictures/b.jpg'])
    assert names(found) == ['x/b.jpg', 'deer/b.jpg', 'b.jpg']


def test_a_file_is_taken_once_and_whatever_its_suffix(tree):
    found = find_inputs(['pictures/notes.md', 'pictures', './pictures/a.PNG', str(tree / 'pictures' / 'b.jpg')])
    assert [item.path for item in found] == ['pictures/notes.md', 'pictures/a.PNG', 'pictures/b.jpg']


def test_a_text_file_lists_paths_even_of_files_that_are_gone(tree):
    (tree / 'list.txt').write_text('pictures/b.jpg\n\n  gone.jpg  \n')
    assert [item.path for item in find_inputs(['list.txt'])] == ['pictures/b.jpg', 'gone.jpg']


def test_outputs_inside_the_inputs_are_left_out_unless_named(tree):
    found = find_inputs(['pictures', 'pictures/x/b.jpg'], recursive=True, exclude='pictures/deer')
    assert names(found) == ['a.PNG', 'b.jpg', 'x/b.jpg']
    assert names(find_inputs(['pictures/deer/b.jpg'], exclude='pictures/deer')) == ['b.jpg']


def test_folders_that_link_to_each_other_end(tree):
    os.symlink(tree / 'pictures', tree / 'pictures' / 'deer' / 'up')
    os.symlink(tree / 'pictures' / 'x', tree / 'pictures' / 'z')
    found = names(find_inputs(['pictures'], recursive=True))
    assert len(found) == len(set(found)) == 5


def test_what_is_not_there_is_named(tree):
    with pytest.raises(ValueError, match=r'no file or folder gone\.jpg, lost$'):
        find_inputs(['pictures', 'gone.jpg', 'lost'])


def test_nothing_found_mentions_recursive(tree):
    (tree / 'empty' / 'inner').mkdir(parents=True)
    (tree / 'empty' / 'inner' / 'a.jpg').write_bytes(b'x')
    with pytest.raises(ValueError, match='empty: no image or video there; --recursive'):
        find_inputs(['empty'])

"""The pipeline demo: its chain of commands, and what it makes of a detector's boxes."""
import json
import subprocess
from argparse import Namespace
from pathlib import Path

import pytest

from clamp_mmpose.tools import demo, demo_pipeline

BOX = [10.0, 10.0, 50.0, 40.0]
OTHER = [100.0, 20.0, 60.0, 80.0]


def truth():
    animals = [dict(id=1, image_id=7, category_id=5, bbox=BOX), dict(id=2, image_id=7, category_id=8, bbox=OTHER),
               dict(id=3, image_id=9, category_id=8, bbox=BOX)]
    return dict(
        images=[dict(id=7, file_name='seven.jpg'), dict(id=9, file_name='nine.jpg')],
        annotations=[dict(animal, iscrowd=0, area=animal['bbox'][2] * animal['bbox'][3]) for animal in animals],
        categories=[dict(id=5, name='cow', keypoints=['nose']), dict(id=8, name='dog', keypoints=['nose'])])


def found(*boxes):
    keys = ('image_id', 'category_id', 'bbox', 'score')
    return [dict(zip(keys, box)) for box in boxes]


def write(path, content):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(content))
    return path


def nameless(folder, *boxes):
    return demo_pipeline.without_names(
        write(folder / 'truth.json', truth()), write(folder / 'found.json', found(*boxes)), folder)


def test_every_animal_becomes_category_1_and_keeps_its_box(tmp_path):
    annotations, boxes = nameless(tmp_path, (7, 5, BOX, 0.9), (7, 8, OTHER, 0.8), (9, 8, OTHER, 0.3))
    content = json.loads(annotations.read_text())
    assert content['categories'] == [dict(id=1, name='animal', keypoints=['nose'])]
    assert [animal['category_id'] for animal in content['annotations']] == [1, 1, 1]
    assert json.loads(boxes.read_text()) == found((7, 1, BOX, 0.9), (7, 1, OTHER, 0.8), (9, 1, OTHER, 0.3))


def test_of_a_box_found_under_several_names_the_surest_stays(tmp_path):
    beside = [12.0, 11.0, 50.0, 40.0]
    _, boxes = nameless(tmp_path, (7, 5, beside, 0.4), (7, 8, BOX, 0.9), (9, 8, beside, 0.2))
    assert json.loads(boxes.read_text()) == found((7, 1, BOX, 0.9), (9, 1, beside, 0.2))


def test_box_ap_falls_with_what_is_missed(tmp_path):
    everything = [(7, 5, BOX, 0.9), (7, 5, OTHER, 0.8), (9, 5, BOX, 0.7)]  # under a wrong name, which must not count
    assert demo_pipeline.box_ap(*nameless(tmp_path, *everything)) == pytest.approx(1)
    # Two of three at precision 1: 67 of COCO's 101 recalls.
    assert demo_pipeline.box_ap(*nameless(tmp_path, *everything[:2])) == pytest.approx(67 / 101)


def test_the_busiest_pictures_come_first(tmp_path):
    write(tmp_path / demo_pipeline.ANNOTATIONS, truth())
    assert demo_pipeline.busiest_pictures(tmp_path, 1) == [str(tmp_path / 'data' / 'seven.jpg')]
    assert len(demo_pipeline.busiest_pictures(tmp_path, 5)) == 2


@pytest.fixture
def commands(tmp_path, monkeypatch):
    """The commands that the demo runs; each only leaves behind what the next step reads."""
    calls = []

    def call(*command):
        words = [str(word) for word in command]
        calls.append(words)
        folder = Path(words[words.index('--work-dir') + 1]) if '--work-dir' in words else None
        if words[:2] == ['mim', 'train']:
            folder.mkdir(parents=True)
            (folder / 'best_epoch_2.pth').touch()
        elif words[:3] == ['mim', 'test', 'mmdet']:
            write(folder / 'time' / 'time.json', {'coco/bbox_mAP': 0.321})
            prefix = next(word.partition('=')[2] for word in words if 'outfile_prefix' in word)
            write(Path(f'{prefix}.bbox.json'), found((7, 5, BOX, 0.9), (7, 8, OTHER, 0.8)))
        elif words[:3] == ['mim', 'test', 'mmpose']:
            boxes = next(word.partition('=')[2] for word in words if 'bbox_file' in word)
            write(Path(words[words.index('--out') + 1]), {'coco/AP': 0.456 if boxes else 0.654})

    def draw(pictures, out, **models):
        calls.append(models)
        return [out / Path(picture).name for picture in pictures]

    write(tmp_path / 'data' / demo_pipeline.ANNOTATIONS, truth())
    monkeypatch.setattr(demo, 'DATA', tmp_path / 'data')
    monkeypatch.setattr(demo, 'call', call)
    monkeypatch.setattr(demo_pipeline, '_draw_poses', draw)
    return calls


def arguments(folder, **changes):
    return Namespace(**{
        'work_dir': folder / 'work', 'pose_work_dir': folder / 'pose', 'names': None, 'num': 1, **changes})


def test_it_trains_both_models_and_prints_box_ap_and_pose_ap(tmp_path, commands, capsys):
    assert demo_pipeline.run(arguments(tmp_path)) == 0
    assert [words[:3] for words in commands[1:-1]] == [
        ['mim', 'train', 'mmpose'], ['mim', 'train', 'mmdet'], ['mim', 'test', 'mmdet'], ['mim', 'test', 'mmpose'],
        ['mim', 'test', 'mmpose']]
    models = commands[-1]
    assert models['det_weights'] == str(tmp_path / 'work' / 'best_epoch_2.pth')
    assert models['pose2d_weights'] == str(tmp_path / 'pose' / 'best_epoch_2.pth')
    assert models['det_cat_ids'] == list(range(22))
    printed = capsys.readouterr().out
    assert f'picture: {tmp_path / "work" / "pictures" / "seven.jpg"}' in printed
    assert 'box AP 0.321' in printed and f'{67 / 101:.3f} whatever the name' in printed
    assert "pose AP 0.456 in the detector's boxes, 0.654 in the annotated ones" in printed


def test_a_pose_model_that_is_there_is_not_trained_again(tmp_path, commands):
    (tmp_path / 'pose').mkdir()
    (tmp_path / 'pose' / 'best_epoch_2.pth').touch()
    assert demo_pipeline.run(arguments(tmp_path)) == 0
    assert ['mim', 'train', 'mmpose'] not in [words[:3] for words in commands[:-1]]


def test_it_looks_for_the_animals_that_were_asked_for(tmp_path, commands):
    assert demo_pipeline.run(arguments(tmp_path, names=['cow', 'antelope'])) == 0
    assert commands[-1]['det_cat_ids'] == [1, 0]


def test_a_name_that_the_detector_does_not_know_stops_it_before_the_first_command(tmp_path, commands, capsys):
    assert demo_pipeline.run(arguments(tmp_path, names=['cow', 'unicorn'])) == 2
    assert commands == []
    error = capsys.readouterr().err
    assert '--names unicorn: the detector knows antelope, cow' in error


def test_it_stops_at_the_first_command_that_fails(tmp_path, monkeypatch, capsys):
    def call(*command):
        raise subprocess.CalledProcessError(3, [str(word) for word in command])

    monkeypatch.setattr(demo, 'call', call)
    assert demo_pipeline.run(arguments(tmp_path)) == 1
    assert 'failed with status 3:\nclamp-mmpose make-toy-data' in capsys.readouterr().err

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import cv2
import numpy as np
import pytest
from mmengine.config import Config
from pose_files import NAMES, picture, write_detector, write_model, write_picture, write_video

from clamp_mmpose.apis import PoseInferencer
from clamp_mmpose.testing import tiny_clamp_model
from clamp_mmpose.tools.cli import main

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture(scope='module')
def model_files(tmp_path_factory):
    return write_model(tmp_path_factory.mktemp('model'))


@pytest.fixture
def infer(model_files, tmp_path, capsys):
    """Runs the command on inputs; returns its status, output and errors. It writes into ``tmp_path / 'out'``."""

    def call(*arguments, out=tmp_path / 'out', model=model_files):
        words = [*map(str, arguments), '--config', model[0], '--checkpoint', model[1], '--out', str(out), '--device',
                 'cpu']
        status = main(['infer', *words])
        return (status, *capsys.readouterr())

    return call


@pytest.fixture
def pictures(tmp_path):
    """A folder with two images of the same name, a video, and a file that is none of these."""
    write_picture(tmp_path / 'in' / 'one.jpg', 1)
    write_picture(tmp_path / 'in' / 'deer' / 'one.jpg', 2, height=40)
    write_video(tmp_path / 'in' / 'film.avi', frames=3)
    (tmp_path / 'in' / 'notes.md').write_text('not for us')
    return tmp_path / 'in'


def load(path):
    return json.loads(path.read_text())


def test_everything_is_written_and_summed_up(infer, pictures, tmp_path):
    status, output, _ = infer(pictures, '--recursive', '--format', 'coco', 'csv', 'dlc')
    assert status == 0
    assert '2 images and 3 video frames done: 5 instances; none found in 0; 0 skipped' in output
    written = {str(path.relative_to(tmp_path / 'out')) for path in (tmp_path / 'out').rglob('*') if path.is_file()}
    assert written == {
        'keypoints.json', 'images.json', 'keypoints.csv', 'dlc/images.csv', 'dlc/film.avi.csv', 'drawn/one.jpg',
        'drawn/deer/one.jpg', 'drawn/film.avi'}
    assert all(f'written: {tmp_path / "out" / name}' in output for name in written if not name.startswith('drawn'))


def test_pictures_and_videos_keep_their_sizes_and_get_drawn_into(infer, pictures, tmp_path):
    infer(pictures, '--recursive', '--kpt-thr', '-9')
    drawn = cv2.imread(str(tmp_path / 'out' / 'drawn' / 'deer' / 'one.jpg'))
    original = cv2.imread(str(pictures / 'deer' / 'one.jpg'))
    assert drawn.shape == original.shape == (40, 80, 3)
    assert 10 < (np.abs(drawn.astype(int) - original).max(-1) > 60).sum() < drawn.size / 3 * 0.8
    film = cv2.VideoCapture(str(tmp_path / 'out' / 'drawn' / 'film.avi'))
    properties = (cv2.CAP_PROP_FRAME_COUNT, cv2.CAP_PROP_FPS, cv2.CAP_PROP_FRAME_WIDTH)
    assert [film.get(key) for key in properties] == [3, 5, 80]


def test_points_below_the_threshold_are_not_drawn(infer, tmp_path):
    write_picture(tmp_path / 'one.png')
    infer(tmp_path / 'one.png', '--kpt-thr', '99')
    np.testing.assert_array_equal(cv2.imread(str(tmp_path / 'out' / 'drawn' / 'one.png')), picture())


def test_no_draw_leaves_pictures_out(infer, pictures, tmp_path):
    assert infer(pictures, '--no-draw')[0] == 0
    assert not (tmp_path / 'out' / 'drawn').exists()


def test_every_second_frame_makes_a_video_of_the_same_duration(infer, pictures, tmp_path):
    _, output, _ = infer(pictures / 'film.avi', '--every', '2')
    assert '2 video frames done' in output
    film = cv2.VideoCapture(str(tmp_path / 'out' / 'drawn' / 'film.avi'))
    assert (film.get(cv2.CAP_PROP_FRAME_COUNT), film.get(cv2.CAP_PROP_FPS)) == (2, 2.5)


def test_a_picture_that_opencv_cannot_write_in_its_format_becomes_png(infer, tmp_path):
    write_picture(tmp_path / 'one.png')
    os.rename(tmp_path / 'one.png', tmp_path / 'one.photo')
    assert infer(tmp_path / 'one.photo')[0] == 0
    assert (tmp_path / 'out' / 'drawn' / 'one.photo.png').exists()


def test_what_is_broken_is_reported_and_the_rest_is_done(infer, pictures, tmp_path):
    (pictures / 'broken.jpg').write_bytes((pictures / 'one.jpg').read_bytes()[:500])
    (pictures / 'empty.png').touch()
    (pictures / 'film.avi').write_bytes((pictures / 'film.avi').read_bytes()[:300])
    status, output, errors = infer(pictures, '--recursive')
    assert status == 1
    assert '2 images done: 2 instances; none found in 0; 3 skipped' in output
    lines = [line for line in errors.splitlines() if line.startswith('skipped')]
    assert [Path(line.split()[1].rstrip(':')).name for line in lines] == ['broken.jpg', 'empty.png', 'film.avi']
    assert 'damaged' in lines[0] and 'empty' in lines[1]
    assert len(load(tmp_path / 'out' / 'images.json')['images']) == 2


def test_only_broken_inputs_leave_valid_files(infer, tmp_path):
    (tmp_path / 'broken.jpg').write_text('no picture')
    status, output, _ = infer(tmp_path / 'broken.jpg', '--format', 'coco', 'csv', 'dlc')
    assert status == 1 and 'nothing done' in output
    assert load(tmp_path / 'out' / 'keypoints.json') == load(tmp_path / 'out' / 'images.json')['images'] == []


def test_a_picture_that_cannot_be_drawn_stops_no_other(infer, pictures, monkeypatch):
    from clamp_mmpose.tools.infer import picture_writer
    monkeypatch.setattr(picture_writer.cv2, 'imencode', lambda *args: (_ for _ in ()).throw(cv2.error('too wide')))
    status, output, errors = infer(pictures, '--recursive')
    assert status == 1 and '2 images and 3 video frames done' in output
    assert errors.count('skipped drawing') == 2


@pytest.mark.parametrize('stop, status, message', [
    (RuntimeError('CUDA out of memory'), 1, 'infer: error: CUDA out of memory'),
    (OSError('no space left'), 1, 'infer: error: no space left'),
    (KeyboardInterrupt(), 130, 'infer: interrupted'),
], ids=['memory', 'disk', 'Ctrl-C'])
def test_what_stops_a_run_leaves_valid_files(stop, status, message, infer, pictures, monkeypatch, tmp_path):
    forward, calls = PoseInferencer._forward, []

    def fail_later(self, crops):
        calls.append(1)
        if len(calls) > 2:
            raise stop
        return forward(self, crops)

    monkeypatch.setattr(PoseInferencer, '_forward', fail_later)
    ended, output, errors = infer(pictures / 'film.avi', '--batch-size', '1', '--format', 'coco', 'csv', 'dlc')
    assert ended == status and message in errors and '2 video frames done' in output
    assert len(load(tmp_path / 'out' / 'keypoints.json')) == 2
    assert len(load(tmp_path / 'out' / 'images.json')['images']) == 2
    assert len((tmp_path / 'out' / 'dlc' / 'film.avi.csv').read_text().splitlines()) == 3 + 2
    assert cv2.VideoCapture(str(tmp_path / 'out' / 'drawn' / 'film.avi')).get(cv2.CAP_PROP_FRAME_COUNT) == 2
    assert not list((tmp_path / 'out').rglob('*.part*'))


def test_outputs_of_an_earlier_run_are_no_inputs(infer, pictures):
    for _ in range(2):
        _, output, _ = infer(pictures, '--recursive', out=pictures / 'results')
        assert '2 images and 3 video frames done' in output


def test_writing_beside_the_inputs_reads_and_replaces_none_of_them(infer, tmp_path):
    write_picture(tmp_path / 'in' / 'one.png')
    for _ in range(2):
        status, output, _ = infer(tmp_path / 'in', '--recursive', out=tmp_path / 'in')
        assert status == 0 and '1 images done' in output
    np.testing.assert_array_equal(cv2.imread(str(tmp_path / 'in' / 'one.png')), picture())
    write_picture(tmp_path / 'drawn' / 'one.png')
    status, _, errors = infer(tmp_path / 'drawn' / 'one.png', out=tmp_path)
    assert status == 2 and 'give another --out' in errors
    assert infer(tmp_path / 'drawn' / 'one.png', '--no-draw', out=tmp_path)[0] == 0


def test_a_detector_finds_boxes_and_its_classes_are_the_categories(infer, pictures, tmp_path):
    config, checkpoint = write_detector(tmp_path)
    classes = Config.fromfile(config).class_names
    detector = ['--detector', config, '--detector-checkpoint', checkpoint]
    assert infer(pictures / 'one.jpg', *detector)[0] == 0
    found = {pose['category_id'] for pose in load(tmp_path / 'out' / 'keypoints.json')}
    asked = [classes[number - 1] for number in sorted(found)[:2]]
    assert infer(pictures / 'one.jpg', *detector, '--names', *asked)[0] == 0
    images, poses = load(tmp_path / 'out' / 'images.json'), load(tmp_path / 'out' / 'keypoints.json')
    names = {category['id']: category['name'] for category in images['categories']}
    assert [*names.values()] == classes and poses
    assert {names[pose['category_id']] for pose in poses} <= {*asked} < {names[number] for number in found}
    status, output, _ = infer(pictures / 'one.jpg', *detector, '--bbox-thr', '1.1')
    assert status == 0 and '1 images done: 0 instances; none found in 1; 0 skipped' in output
    assert load(tmp_path / 'out' / 'keypoints.json') == []


def test_prompts_replace_the_keypoints_and_their_names(tmp_path, infer):
    head = tiny_clamp_model(names=NAMES)['head'] | dict(matching_only=True, in_channels=None)
    model = write_model(tmp_path / 'free', head=head)
    write_picture(tmp_path / 'one.png', height=200, width=300)
    names = ['beak', 'left wing', 'right wing']
    assert infer(tmp_path / 'one.png', '--prompts', *names, '--kpt-thr', '-9', model=model)[0] == 0
    category, = load(tmp_path / 'out' / 'images.json')['categories']
    assert category['keypoints'] == names and category['skeleton'] == []
    pose, = load(tmp_path / 'out' / 'keypoints.json')
    assert len(pose['keypoints']) == 9
    drawn = cv2.imread(str(tmp_path / 'out' / 'drawn' / 'one.png'))
    changed = (drawn != cv2.imread(str(tmp_path / 'one.png'))).any(-1)
    assert changed.sum() > 300  # three points have some 13 pixels each; the rest are their names


@pytest.mark.parametrize('arguments, reason', [
    (['gone.jpg'], 'there is no file or folder gone.jpg'),
    (['.'], 'no image or video there'),
    (['a.png', '--detector', 'x.py'], '--detector and --detector-checkpoint belong together'),
    (['a.png', '--detector', 'a.png', '--detector-checkpoint', 'a.png', '--boxes', 'a.png'], 'give one of them'),
    (['a.png', '--boxes', 'gone.json'], 'there is no file gone.json'),
    (['a.png', '--boxes', 'a.png'], 'a.png is not JSON'),
    (['a.png', '--boxes', 'a', 'b', 'c'], '--boxes takes one or two files, not 3'),
    (['a.png', '--names', 'fox'], '--names chooses among'),
    (['a.png', '--batch-size', '0'], '--batch-size 0 must be 1 or more'),
    (['a.png', '--every', '-1'], '--every -1 must be 1 or more'),
    (['a.png', '--prompts', 'beak'], 'goes by their place'),
    (['a.png', '--cfg-options', 'model.head.type=NoHead'], 'NoHead'),
])
def test_wrong_arguments_are_one_line_and_write_nothing(arguments, reason, infer, tmp_path, monkeypatch):
    (tmp_path / 'work').mkdir()
    monkeypatch.chdir(tmp_path / 'work')
    if arguments != ['.']:
        write_picture(tmp_path / 'work' / 'a.png')
    status, _, errors = infer(*arguments)
    message, = [line for line in errors.splitlines() if line.startswith('infer:')]
    assert status == 2 and message.startswith('infer: error: ') and reason in message
    assert 'Traceback' not in errors and not (tmp_path / 'out').exists()


@pytest.mark.parametrize('missing', [0, 1])
def test_a_missing_config_or_checkpoint_is_named(missing, infer, model_files, pictures):
    model = [*model_files]
    model[missing] = 'gone'
    status, _, errors = infer(pictures, model=model)
    assert status == 2 and 'infer: error: there is no file gone' in errors


def test_an_out_folder_that_is_a_file_is_named(infer, pictures, tmp_path):
    (tmp_path / 'file').touch()
    status, _, errors = infer(pictures, out=tmp_path / 'file')
    assert status == 2 and 'infer: error:' in errors and str(tmp_path / 'file') in errors


@pytest.mark.parametrize('arguments', [['--format', 'xml'], ['--every', 'x']])
def test_argparse_refuses_what_it_does_not_know(arguments, infer, pictures):
    with pytest.raises(SystemExit) as stopped:
        infer(pictures, *arguments)
    assert stopped.value.code == 2


@pytest.mark.slow
def test_ctrl_c_in_a_long_video_leaves_valid_files(model_files, tmp_path):
    film = write_video(tmp_path / 'film.avi', frames=1000)
    command = [sys.executable, ROOT / 'clamp_mmpose_cli.py', 'infer', film, '--config', model_files[0], '--checkpoint',
               model_files[1], '--out', tmp_path / 'out', '--device', 'cpu', '--format', 'coco', 'csv', 'dlc']
    process = subprocess.Popen([str(word) for word in command], stdout=subprocess.PIPE, stderr=subprocess.PIPE,
                               text=True, env={**os.environ, 'PYTHONPATH': str(ROOT)})
    part = tmp_path / 'out' / 'keypoints.json.part'
    deadline = time.time() + 100
    while time.time() < deadline and not (part.exists() and part.stat().st_size) and process.poll() is None:
        time.sleep(0.05)
    process.send_signal(signal.SIGINT)
    _, errors = process.communicate(timeout=60)
    assert process.returncode == 130, errors
    assert 'infer: interrupted' in errors and 'Traceback' not in errors
    images, poses = load(tmp_path / 'out' / 'images.json')['images'], load(tmp_path / 'out' / 'keypoints.json')
    assert 0 < len(poses) <= len(images) < 1000
    rows = (tmp_path / 'out' / 'dlc' / 'film.avi.csv').read_text().splitlines()
    assert abs(len(rows) - 3 - len(images)) <= 1
    drawn = cv2.VideoCapture(str(tmp_path / 'out' / 'drawn' / 'film.avi'))
    assert abs(drawn.get(cv2.CAP_PROP_FRAME_COUNT) - len(images)) <= 1
    assert not list((tmp_path / 'out').rglob('*.part*'))

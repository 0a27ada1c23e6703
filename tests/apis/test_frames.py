import os
import shutil

import cv2
import mmcv
import numpy as np
import pytest
from mmpose.datasets.transforms import LoadImage
from PIL import Image
from pose_files import picture, write_picture, write_video

from clamp_mmpose.apis import Input
from clamp_mmpose.apis.frames import count_frames, read_frames


def read(*paths, **kwargs):
    inputs = [Input(str(path), path.name) for path in paths]
    return list(read_frames(inputs, mmcv.imread, **kwargs))


@pytest.fixture
def jpeg(tmp_path):
    return write_picture(tmp_path / 'good.jpg', height=300, width=400)


def test_an_image_is_what_mmcv_reads(jpeg):
    frame, = read(jpeg)
    assert frame.error is None and frame.index is None and frame.time is None
    np.testing.assert_array_equal(frame.image, mmcv.imread(str(jpeg)))


@pytest.mark.parametrize('make', [
    lambda image: image[..., 0],
    lambda image: np.dstack([image, image[..., :1]]),
    lambda image: image.astype(np.uint16) * 257,
], ids=['grayscale', 'RGBA', '16 bit'])
def test_odd_pngs_become_eight_bit_colour(make, tmp_path):
    source = make(picture())
    cv2.imwrite(str(tmp_path / 'odd.png'), source)
    frame, = read(tmp_path / 'odd.png')
    expected = np.repeat(picture()[..., :1], 3, axis=2) if source.ndim == 2 else picture()
    np.testing.assert_array_equal(frame.image, expected)
    assert frame.image.dtype == np.uint8


@pytest.mark.parametrize('orientation', [1, 3, 6, 8])
def test_a_photograph_is_turned_upright_as_mmposes_loader_does(orientation, tmp_path):
    exif = Image.Exif()
    exif[0x0112] = orientation
    Image.fromarray(picture()[..., ::-1]).save(tmp_path / 'turned.png', exif=exif)
    frame, = read(tmp_path / 'turned.png')
    turns = {1: 0, 3: 2, 6: 3, 8: 1}[orientation]  # quarter turns to the left
    np.testing.assert_array_equal(frame.image, np.rot90(picture(), turns))


@pytest.mark.parametrize('content, reason', [
    (lambda data: data[:len(data) // 2], 'damaged'),
    (lambda data: data[:-200], 'damaged'),
    (lambda data: data[:40], 'damaged'),
    (lambda data: b'', 'empty'),
    (lambda data: b'this is no image\n' * 9, 'neither an image nor a video'),
], ids=['half', 'end cut', 'start only', 'empty', 'text'])
@pytest.mark.parametrize('suffix', ['.jpg', '.png'])
def test_a_broken_image_says_why(content, reason, suffix, tmp_path):
    good = write_picture(tmp_path / f'good{suffix}', height=300, width=400)
    broken = tmp_path / f'broken{suffix}'
    broken.write_bytes(content(good.read_bytes()))
    frames = read(broken, good)
    assert frames[0].image is None and reason in frames[0].error
    assert frames[1].error is None


def test_text_that_begins_like_an_image_cannot_be_decoded(tmp_path):
    (tmp_path / 'text.jpg').write_text('P5 is how some images begin')
    inputs = [Input(str(tmp_path / 'text.jpg'), 'text.jpg')]
    for load_image in (mmcv.imread, lambda path: LoadImage()(dict(img_path=path))['img']):
        frame, = read_frames(inputs, load_image)
        assert frame.error == 'the image cannot be decoded'


def test_bytes_behind_the_end_do_no_harm(jpeg):
    jpeg.write_bytes(jpeg.read_bytes() + b'SEFT' + bytes(range(200)))
    assert read(jpeg)[0].error is None


def test_one_pixel_is_no_picture(tmp_path):
    cv2.imwrite(str(tmp_path / 'pixel.png'), np.zeros((1, 1, 3), np.uint8))
    assert '1 x 1 pixels' in read(tmp_path / 'pixel.png')[0].error


def test_a_file_that_is_gone_is_an_error_of_its_own(tmp_path):
    assert 'No such file' in read(tmp_path / 'gone.jpg')[0].error


@pytest.mark.skipif(not hasattr(os, 'geteuid') or os.geteuid() == 0, reason='root may read everything')
def test_a_file_without_permission_is_an_error_of_its_own(jpeg):
    jpeg.chmod(0)
    assert 'Permission denied' in read(jpeg)[0].error


def test_content_decides_where_the_suffix_lies(jpeg, tmp_path):
    film = write_video(tmp_path / 'film.avi')
    shutil.copy(film, tmp_path / 'film.jpg')
    shutil.copy(film, tmp_path / 'film')
    shutil.copy(jpeg, tmp_path / 'photo.mp4')
    assert len(read(tmp_path / 'film.jpg')) == len(read(tmp_path / 'film')) == 7
    photo, = read(tmp_path / 'photo.mp4')
    assert photo.index is None and photo.error is None


@pytest.mark.parametrize('name, codec', [('film.avi', 'MJPG'), ('film.mp4', 'mp4v')])
def test_a_video_gives_its_frames_and_their_times(name, codec, tmp_path):
    frames = read(write_video(tmp_path / name, codec=codec))
    assert [frame.index for frame in frames] == [*range(7)]
    assert [frame.time for frame in frames] == pytest.approx([index / 5 for index in range(7)])
    for index, frame in enumerate(frames):
        errors = [np.abs(frame.image.astype(int) - picture(seed)).mean() for seed in range(7)]
        assert np.argmin(errors) == index  # the codec loses little


def test_every_third_frame_keeps_its_number_and_time(tmp_path):
    film = write_video(tmp_path / 'film.avi')
    every, all_of_them = read(film, every=3), read(film)
    assert [frame.index for frame in every] == [0, 3, 6]
    assert [frame.time for frame in every] == pytest.approx([0, 0.6, 1.2])
    assert every[0].fps == pytest.approx(5 / 3)
    for frame in every:
        np.testing.assert_array_equal(frame.image, all_of_them[frame.index].image)


def test_a_video_whose_end_is_cut_gives_what_is_there_and_an_error(tmp_path):
    film = write_video(tmp_path / 'film.avi', frames=20)
    film.write_bytes(film.read_bytes()[:film.stat().st_size // 2])
    *frames, last = read(film)
    assert 5 < len(frames) < 15 and all(frame.error is None for frame in frames)
    assert f'ends after {len(frames)} of 20 frames' in last.error


def test_a_video_that_cannot_be_opened_is_an_error(tmp_path):
    film = write_video(tmp_path / 'film.mp4', codec='mp4v')
    film.write_bytes(film.read_bytes()[:1000])  # the table of its frames stands at the end
    frame, = read(film)
    assert 'cannot be opened' in frame.error


def test_what_is_unwanted_is_not_read(jpeg, tmp_path):
    frames = read(tmp_path / 'film.avi', jpeg, unwanted={str(tmp_path / 'film.avi'): 'not asked for'})
    assert [frame.error for frame in frames] == ['not asked for', None]


def test_frames_are_counted_ahead(jpeg, tmp_path):
    film = write_video(tmp_path / 'film.avi')
    inputs = [Input(str(path), path.name) for path in (jpeg, film, tmp_path / 'gone.jpg')]
    assert count_frames(inputs) == 9
    assert count_frames(inputs, every=3) == 5


def test_frames_are_read_one_by_one(tmp_path):
    """A long video must not be held: nothing is read before it is asked for."""
    film = write_video(tmp_path / 'film.avi')
    frames = read_frames([Input(str(film), 'film.avi'), Input('gone.jpg', 'gone.jpg')], mmcv.imread)
    assert next(frames).index == 0
    shutil.move(film, tmp_path / 'elsewhere.avi')
    assert next(frames).index == 1

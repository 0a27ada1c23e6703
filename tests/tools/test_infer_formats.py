import csv
import io
import json
import os
from contextlib import redirect_stdout
from pathlib import Path

import numpy as np
import pytest
from mmpose.evaluation.metrics import CocoMetric
from pose_files import NAMES, PIPELINE, write_model, write_picture, write_video
from xtcocotools.coco import COCO
from xtcocotools.cocoeval import COCOeval

from clamp_mmpose.apis import Boxes, BoxFile, Input, PoseInferencer, PoseResult
from clamp_mmpose.apis.frames import Frame
from clamp_mmpose.datasets.toy import make_toy_dataset
from clamp_mmpose.tools.cli import main
from clamp_mmpose.tools.infer.coco_writer import CocoWriter
from clamp_mmpose.tools.infer.deeplabcut_writer import DeepLabCutWriter
from clamp_mmpose.tools.infer.table_writer import COLUMNS, TableWriter

REAL_DATA = os.environ.get('CLAMP_MMPOSE_REAL_DATA')


def result(count, path='film.avi', index=0, *, image_id=None, error=None, seed=0):
    """``count`` instances of the keypoints 'left eye' and 'nose', at random places."""
    rng = np.random.default_rng(seed)
    frame = Frame(Input(path, path), image=np.zeros((60, 80, 3), np.uint8), index=index,
                  time=None if index is None else index / 5)
    boxes = Boxes.of(rng.uniform(0, 60, (count, 4)), rng.random(count), [3] * count, image_id=image_id)
    return PoseResult(frame, boxes, rng.uniform(0, 60, (count, 2, 2)).astype(np.float32),
                      rng.random((count, 2)).astype(np.float32), ('left eye', 'nose'), error)


def read_as_pandas(path):
    """What pandas.read_csv(path, header=[...], index_col=0) makes of the file: names of the levels, columns, rows."""
    rows = list(csv.reader(path.read_text().splitlines()))
    depth = next(number for number, row in enumerate(rows) if row[0] == 'coords') + 1
    # pandas takes a row without any value that follows the header for the names of the index.
    if not any(rows[depth][1:]):
        del rows[depth]
    values = [[np.nan if text in ('', 'nan') else float(text) for text in row[1:]] for row in rows[depth:]]
    return ([row[0] for row in rows[:depth]], list(zip(*(row[1:] for row in rows[:depth]))),
            [row[0] for row in rows[depth:]], np.array(values))


# DeepLabCut


def test_one_instance_at_most_gives_deeplabcuts_three_rows(tmp_path):
    writer = DeepLabCutWriter(tmp_path, 'my model')
    results = [result(count, index=index, seed=index) for index, count in enumerate([0, 1, 0, 1])]
    for item in results:
        writer.add(item)
    path, = writer.close()
    assert path == tmp_path / 'dlc' / 'film.avi.csv'
    levels, columns, index, values = read_as_pandas(path)
    assert levels == ['scorer', 'bodyparts', 'coords']
    assert columns == [('my model', name, what) for name in ('left eye', 'nose') for what in ('x', 'y', 'likelihood')]
    assert index == ['0', '1', '2', '3']
    assert np.isnan(values[[0, 2]]).all()
    for row in (1, 3):
        expected = np.concatenate([results[row].keypoints[0], results[row].scores[0][:, None]], axis=1).ravel()
        np.testing.assert_allclose(values[row], expected, atol=6e-4)


def test_several_instances_give_a_row_of_individuals(tmp_path):
    writer = DeepLabCutWriter(tmp_path, 'm')
    results = [result(count, index=10 * index, seed=index) for index, count in enumerate([0, 1, 3])]
    for item in results:
        writer.add(item)
    levels, columns, index, values = read_as_pandas(writer.close()[0])
    assert levels == ['scorer', 'individuals', 'bodyparts', 'coords']
    assert [column[1] for column in columns[::6]] == ['individual1', 'individual2', 'individual3']
    assert index == ['0', '10', '20'] and values.shape == (3, 18)
    assert np.isnan(values[0]).all() and np.isnan(values[1, 6:]).all() and not np.isnan(values[2]).any()
    np.testing.assert_allclose(values[2, 6:9], [*results[2].keypoints[1, 0], results[2].scores[1, 0]], atol=6e-4)


def test_each_video_has_its_table_and_all_images_share_one(tmp_path):
    writer = DeepLabCutWriter(tmp_path, 'm')
    for path, index, count in [('a.jpg', None, 1), ('film.avi', 0, 1), ('film.avi', 1, 1), ('b.jpg', None, 1),
                               ('other.avi', 0, 2), ('c, d.jpg', None, 1)]:
        writer.add(result(count, path, index))
    writer.add(result(0, 'broken.jpg', None, error='damaged'))
    assert [path.name for path in writer.close()] == ['film.avi.csv', 'other.avi.csv', 'images.csv']
    assert read_as_pandas(tmp_path / 'dlc' / 'images.csv')[2] == ['a.jpg', 'b.jpg', 'c, d.jpg']
    assert read_as_pandas(tmp_path / 'dlc' / 'film.avi.csv')[2] == ['0', '1']
    assert read_as_pandas(tmp_path / 'dlc' / 'other.avi.csv')[0][1] == 'individuals'


def test_pandas_reads_the_same(tmp_path):
    pandas = pytest.importorskip('pandas')
    writer = DeepLabCutWriter(tmp_path, 'm')
    for index, count in enumerate([0, 2, 1]):
        writer.add(result(count, index=index, seed=index))
    path, = writer.close()
    table = pandas.read_csv(path, header=[0, 1, 2, 3], index_col=0)
    levels, columns, index, values = read_as_pandas(path)
    assert [*table.columns.names] == levels and [*table.columns] == columns and [*map(str, table.index)] == index
    np.testing.assert_array_equal(table.to_numpy(), values)


# CSV


def test_the_table_has_a_row_per_keypoint(tmp_path):
    writer = TableWriter(tmp_path, {3: 'red fox'}, kpt_thr=0.3)
    first, second = result(2, 'a, b.jpg', None), result(1, index=7, seed=1)
    for item in (first, result(0, 'c.jpg', None), second, result(0, 'd.jpg', None, error='damaged')):
        writer.add(item)
    path, = writer.close()
    with open(path, newline='') as file:
        rows = list(csv.DictReader(file))
    assert tuple(rows[0]) == COLUMNS
    assert [(row['file'], row['frame'], row['time_s'], row['instance'], row['keypoint']) for row in rows] == [
        (*where, name)
        for where in [('a, b.jpg', '', '', '0'), ('a, b.jpg', '', '', '1'), ('film.avi', '7', '1.4', '0')]
        for name in ('left eye', 'nose')]
    assert {row['category'] for row in rows} == {'red fox'}
    row = rows[3]
    assert [float(row[name]) for name in ('x', 'y', 'score')] == pytest.approx(
        [*first.keypoints[1, 1], first.scores[1, 1]], abs=6e-4)
    assert [float(row[f'box_{name}']) for name in ('x1', 'y1', 'x2', 'y2', 'score')] == pytest.approx(
        [*first.boxes.xyxy[1], first.boxes.scores[1]], abs=6e-3)
    assert [row['visible'] for row in rows] == [str(int(float(row['score']) >= 0.3)) for row in rows]
    assert {row['visible'] for row in rows} == {'0', '1'}


# COCO

META = dict(num_keypoints=2, keypoint_id2name={0: 'left eye', 1: 'nose'}, skeleton_links=[(0, 1)])


def test_xtcocotools_loads_the_results_with_their_images(tmp_path):
    writer = CocoWriter(tmp_path, {3: 'red fox'}, 40, META)
    item = result(2, 'a.jpg', None, image_id=17)
    broken = result(0, 'c.jpg', None, error='damaged')
    for other in (item, result(0, 'b.jpg', None), result(1, index=7, seed=1), broken):
        writer.add(other)
    results, images = writer.close()
    with redirect_stdout(io.StringIO()):
        truth = COCO(str(images))
        loaded = truth.loadRes(str(results))
    assert [(image['id'], image['file_name'], image.get('frame')) for image in truth.dataset['images']] == [
        (17, 'a.jpg', None), (40, 'b.jpg', None), (41, 'film.avi', 7)]
    assert truth.dataset['categories'] == [
        dict(id=3, name='red fox', keypoints=['left eye', 'nose'], skeleton=[[1, 2]])]
    poses = loaded.loadAnns(loaded.getAnnIds(imgIds=[17]))
    assert len(poses) == 2 and len(loaded.getAnnIds()) == 3
    triples = np.array(poses[1]['keypoints'], dtype=np.float32).reshape(2, 3)
    np.testing.assert_array_equal(triples[:, :2], item.keypoints[1])
    np.testing.assert_array_equal(triples[:, 2], item.scores[1])
    x1, y1, x2, y2 = item.boxes.xyxy[1]
    np.testing.assert_allclose(poses[1]['bbox'], [x1, y1, x2 - x1, y2 - y1], rtol=1e-6)


@pytest.fixture(scope='module')
def toy(tmp_path_factory):
    root = tmp_path_factory.mktemp('toy')
    make_toy_dataset(root, train=1, val=12)
    return root


def test_average_precision_is_that_of_mmposes_metric(toy, tmp_path):
    """On the annotated boxes, with MMPose's dataset, model and metric on the other side."""
    from mmengine.dataset import pseudo_collate
    from mmpose.apis import init_model
    from mmpose.registry import DATASETS
    files = write_model(tmp_path)
    annotations = toy / 'annotations' / 'ap10k-val-split1.json'
    arguments = ['--boxes', annotations, '--config', files[0], '--checkpoint', files[1], '--device', 'cpu', '--out',
                 tmp_path / 'out', '--no-draw']
    names = [image['file_name'] for image in json.loads(annotations.read_text())['images']]
    assert main(['infer', *(str(toy / 'data' / name) for name in names), *map(str, arguments)]) == 0

    dataset = DATASETS.build(dict(
        type='AP10KDataset', ann_file=str(annotations), data_prefix=dict(img=str(toy / 'data')), test_mode=True,
        pipeline=PIPELINE))
    model = init_model(*files, device='cpu')
    metric = CocoMetric(str(annotations), nms_mode='none', outfile_prefix=str(tmp_path / 'theirs'))
    metric.dataset_meta = dataset.metainfo
    for data in dataset:
        metric.process({}, [sample.to_dict() for sample in model.test_step(pseudo_collate([data]))])
    theirs = metric.evaluate(len(dataset))
    ours = {(pose['image_id'], round(pose['bbox'][0], 2)): pose
            for pose in json.loads((tmp_path / 'out' / 'keypoints.json').read_text())}
    expected = json.loads((tmp_path / 'theirs.keypoints.json').read_text())
    assert len(ours) == len(expected) == len(dataset) > 12
    by_image = sorted(expected, key=lambda pose: (pose['image_id'], pose['score']))
    mine = sorted(ours.values(), key=lambda pose: (pose['image_id'], pose['score']))
    for pose, other in zip(mine, by_image):
        np.testing.assert_allclose(pose['keypoints'], other['keypoints'], atol=2e-2)
        assert pose['score'] == pytest.approx(other['score'], abs=1e-4)
        assert pose['category_id'] == other['category_id']
    with redirect_stdout(io.StringIO()):
        truth = COCO(str(annotations))
        evaluation = COCOeval(truth, truth.loadRes(str(tmp_path / 'out' / 'keypoints.json')), 'keypoints',
                              metric.dataset_meta['sigmas'])
        evaluation.params.useCats = 1
        evaluation.evaluate()
        evaluation.accumulate()
        evaluation.summarize()
    assert evaluation.stats[0] == pytest.approx(theirs['coco/AP'], abs=1e-3)


def test_results_of_one_model_are_boxes_for_another(tmp_path):
    files = write_model(tmp_path)
    write_picture(tmp_path / 'in' / 'a.jpg')
    write_video(tmp_path / 'in' / 'film.avi', frames=3)
    base = [str(tmp_path / 'in'), '--config', files[0], '--checkpoint', files[1], '--device', 'cpu', '--no-draw']
    assert main(['infer', *base, '--out', str(tmp_path / 'one')]) == 0
    boxes = ['--boxes', str(tmp_path / 'one' / 'keypoints.json'), str(tmp_path / 'one' / 'images.json')]
    assert main(['infer', *base, *boxes, '--bbox-thr', '-9', '--out', str(tmp_path / 'two')]) == 0
    first, second = (json.loads((tmp_path / name / 'keypoints.json').read_text()) for name in ('one', 'two'))
    assert [pose['image_id'] for pose in first] == [pose['image_id'] for pose in second] == [1, 2, 3, 4]
    for pose, other in zip(first, second):
        assert pose['keypoints'] == pytest.approx(other['keypoints'], abs=1e-3)


@pytest.mark.skipif(not REAL_DATA, reason='CLAMP_MMPOSE_REAL_DATA names no folder of real images')
@pytest.mark.parametrize('dataset, count', [('ap10k', 2), ('coco', 14)])
def test_real_images_and_their_annotated_boxes(dataset, count, tmp_path):
    folder = Path(REAL_DATA) / dataset
    files = write_model(tmp_path)
    boxes = BoxFile(folder / f'test_{dataset}.json')
    results = list(PoseInferencer(*files, boxes=boxes, device='cpu')(str(folder)))
    assert [item.error for item in results] == [None] * len(results)
    assert sum(map(len, results)) == count
    arguments = [folder, '--boxes', folder / f'test_{dataset}.json', '--config', files[0], '--checkpoint', files[1],
                 '--out', tmp_path / 'out', '--device', 'cpu', '--format', 'coco', 'csv', 'dlc']
    assert main(['infer', *map(str, arguments)]) == 0
    assert len(list((tmp_path / 'out' / 'drawn').iterdir())) == len(results)
    with redirect_stdout(io.StringIO()):
        loaded = COCO(str(folder / f'test_{dataset}.json')).loadRes(str(tmp_path / 'out' / 'keypoints.json'))
    assert len(loaded.getAnnIds()) == count
    assert len(loaded.loadAnns(loaded.getAnnIds())[0]['keypoints']) == 3 * len(NAMES)

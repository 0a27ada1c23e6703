"""`clamp-mmpose demo-pipeline`: from pictures to poses, by a detector and a CLAMP model that both ask by name.

The commands are those a user would type; the rest imports what it needs when it gets there.
"""

from __future__ import annotations

import argparse
import contextlib
import io
import json
import sys
import time
from collections import Counter
from pathlib import Path

from . import demo

HELP = 'train a detector of animals by name, and go from pictures to poses with it and the CLAMP model of `demo`'

CONFIG = Path('configs', 'denseclip', 'denseclip_tiny-retinanet_1xb8-24e_toyanimals-det.py')
ANNOTATIONS = Path('annotations', 'ap10k-val-split1.json')


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument('--work-dir', type=Path, default=Path('work_dirs', 'demo_pipeline'),
                        help='default: %(default)s')
    parser.add_argument('--pose-work-dir', type=Path, default=Path('work_dirs', 'demo'),
                        help='of the pose model, which is trained if there is none (default: %(default)s)')
    parser.add_argument('--names', nargs='+', metavar='NAME',
                        help="animals to look for in the pictures, such as zebra 'brown bear' (default: all)")
    parser.add_argument('--num', type=int, default=6, metavar='N',
                        help='pictures to draw, those with most animals (default: %(default)s)')


def run(args: argparse.Namespace) -> int:
    """Runs the demo in the working directory; the last lines tell the pictures, box AP and pose AP.

    Returns 0, 1 after a command has failed, or 2 for names that the detector does not know.
    """
    from mmengine.config import Config
    detector = demo.find_config(CONFIG)
    known = list(Config.fromfile(detector, import_custom_modules=False).class_names)
    asked = args.names or known
    unknown = [name for name in asked if name not in known]
    if unknown:
        print(f'demo-pipeline: error: --names {", ".join(unknown)}: the detector knows {", ".join(known)}',
              file=sys.stderr)
        return 2
    return demo.attempt(lambda: _demo(args, detector, labels=[known.index(name) for name in asked]))


def _demo(args: argparse.Namespace, detector: Path, *, labels: list[int]) -> None:
    started, work_dir, pose = time.time(), args.work_dir, demo.find_config(demo.CONFIG)
    demo.draw_animals()
    try:
        pose_weights = demo.best_checkpoint(args.pose_work_dir)
    except FileNotFoundError:
        pose_weights = demo.train('mmpose', pose, args.pose_work_dir)
    weights = demo.train('mmdet', detector, work_dir)
    demo.call('mim', 'test', 'mmdet', detector, '--checkpoint', weights, '--work-dir', work_dir / 'test',
              '--cfg-options', f'test_evaluator.outfile_prefix={work_dir / "found"}')
    truth, boxes = without_names(demo.DATA / ANNOTATIONS, work_dir / 'found.bbox.json', work_dir)
    poses = {where: _pose_ap(pose, pose_weights, work_dir / f'pose_{where}', truth, bbox_file)
             for where, bbox_file in (('found', boxes), ('annotated', ''))}
    pictures = _draw_poses(
        busiest_pictures(demo.DATA, args.num), work_dir / 'pictures', pose2d=str(pose),
        pose2d_weights=str(pose_weights), det_model=str(detector), det_weights=str(weights), det_cat_ids=labels)

    print(f'\nIn {(time.time() - started) / 60:.1f} minutes: {weights}')
    for picture in pictures:
        print(f'picture: {picture}')
    print(f'box AP {_latest_metrics(work_dir / "test")["coco/bbox_mAP"]:.3f}, the mean of all names; '
          f'{box_ap(truth, boxes):.3f} whatever the name')
    print(f"pose AP {poses['found']:.3f} in the detector's boxes, {poses['annotated']:.3f} in the annotated ones, "
          'whatever the name')


def without_names(annotations: Path, boxes: Path, folder: Path) -> tuple[Path, Path]:
    """Copies of the ground truth and of the detector's boxes in which every animal is of category 1.

    MMPose reads a detector's boxes of that category alone. Of boxes that were found under several names the surest
    stays, by the threshold of MMPose's inferencer.
    """
    import numpy as np
    from mmpose.evaluation.functional import nms
    truth, found = json.loads(annotations.read_text()), json.loads(boxes.read_text())
    truth['categories'] = [dict(truth['categories'][0], id=1, name='animal')]
    kept = []
    for image in truth['images']:
        here = [box for box in found if box['image_id'] == image['id']]
        corners = np.array([[x, y, x + w, y + h, box['score']] for box in here for x, y, w, h in [box['bbox']]])
        kept += [here[index] for index in (nms(corners, 0.3) if here else [])]
    for item in (*truth['annotations'], *kept):
        item['category_id'] = 1
    paths = folder / 'animals.json', folder / 'animals_found.json'
    for path, content in zip(paths, (truth, kept)):
        path.write_text(json.dumps(content))
    return paths


def box_ap(annotations: Path, boxes: Path) -> float:
    """COCO's box AP over IoU 0.5 to 0.95."""
    from pycocotools.coco import COCO
    from pycocotools.cocoeval import COCOeval
    with contextlib.redirect_stdout(io.StringIO()):
        truth = COCO(str(annotations))
        evaluation = COCOeval(truth, truth.loadRes(str(boxes)), 'bbox')
        evaluation.evaluate()
        evaluation.accumulate()
        evaluation.summarize()
    return float(evaluation.stats[0])


def _pose_ap(config: Path, checkpoint: Path, work_dir: Path, annotations: Path, boxes: Path | str) -> float:
    """The pose model's AP in a detector's boxes, or in those of the annotations where ``boxes`` is ''."""
    annotations = annotations.resolve()
    metrics = work_dir / 'metrics.json'
    demo.call('mim', 'test', 'mmpose', config, '--checkpoint', checkpoint, '--work-dir', work_dir, '--out', metrics,
              '--cfg-options', f'test_dataloader.dataset.ann_file={annotations}',
              f'test_dataloader.dataset.bbox_file={boxes}', f'test_evaluator.ann_file={annotations}')
    return json.loads(metrics.read_text())['coco/AP']


def _latest_metrics(work_dir: Path) -> dict:
    """What MMEngine's latest test wrote: <work_dir>/<time>/<time>.json."""
    return json.loads(max(work_dir.glob('*/*.json')).read_text())


def _draw_poses(pictures: list[str], out: Path, **models: str | list[int]) -> list[Path]:
    """Has MMPose's inferencer detect, estimate and draw; returns what it has drawn."""
    from mmpose.apis import MMPoseInferencer
    inferencer = MMPoseInferencer(**models, device='cpu')
    for _ in inferencer(pictures, out_dir=str(out), bbox_thr=0.3, kpt_thr=0.3, draw_bbox=True):
        pass
    return [out / 'visualizations' / Path(picture).name for picture in pictures]


def busiest_pictures(data: Path, count: int) -> list[str]:
    """The validation pictures with most animals."""
    content = json.loads((data / ANNOTATIONS).read_text())
    animals = Counter(annotation['image_id'] for annotation in content['annotations'])
    files = {image['id']: image['file_name'] for image in content['images']}
    return [str(data / 'data' / files[image]) for image, _ in animals.most_common(count)]

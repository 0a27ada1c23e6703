from __future__ import annotations

import contextlib
import io
import os.path as osp
import re
from collections.abc import Sequence

import numpy as np
from mmengine.fileio import put_text
from mmengine.logging import MMLogger
from mmpose.evaluation.metrics import CocoMetric
from mmpose.registry import METRICS

from ..breakdown import GROUPS, SCORES, BreakdownRow, score_categories, summarize
from ..breakdown_table import format_table, to_csv


@METRICS.register_module()
class SpeciesCocoMetric(CocoMetric):
    """CocoMetric that also says how well each species, family and keypoint is found.

    Returns what :class:`mmpose.CocoMetric` returns, computed by it. In addition, AP, AR and PCK of each category
    ('species'), supercategory ('family') and keypoint are logged as a table and written as CSV, with intervals of a
    bootstrap over images. COCO's AP is the mean over categories, so the rows of families, keypoints and the whole data
    set are means over their species too, PCK included; species without ground truth do not count.

    - AP and AR of a species are those of COCO with this category alone.
    - AP and AR of a keypoint are those of COCO with this keypoint alone, on both sides: the OKS is that of one keypoint
      with its sigma, predictions keep the score of the whole pose, and an instance without this label is ignored.
    - PCK is the share of labelled keypoints that are nearer than ``pck_thr`` times the longer side of the annotated
      box, as MMPose's ``PCKAccuracy`` has it: the mean over keypoints. Each instance has the prediction of its species
      whose box overlaps its own, one each, after NMS; in an instance without one all keypoints are missed.
    - Intervals are percentiles over data sets drawn from the images, moved such that their mean is the score: AP of
      repeated images is too high. There is none for what is in a single image, and a species that is not in a resample
      does not count there.

    Args:
        groups: the rows there are besides that of everything: 'family', 'species', 'keypoint'. The keypoints take most
            of the time.
        returned: those of the groups that are returned too, as 'family/Felidae/AP', for loggers and ``save_best``;
            'all' returns 'all/PCK'.
        csv_file: where the table is written, anew with each evaluation. None is a file beside ``outfile_prefix``, or in
            the folder of the run's log; there is no file without any of these.
        bootstrap: resampled data sets; 0 for no intervals.
        confidence: of the intervals.
        seed: of the resampling.
        pck_thr: threshold of PCK.
        pck_norm: 'bbox', or the names of two keypoints, whose distance takes the place of the box; instances without
            these labels do not count.
        **kwargs: arguments of :class:`mmpose.CocoMetric`.
    """

    def __init__(self,
                 *args,
                 groups: Sequence[str] = GROUPS,
                 returned: Sequence[str] = (),
                 csv_file: str | None = None,
                 bootstrap: int = 1000,
                 confidence: float = 0.95,
                 seed: int = 0,
                 pck_thr: float = 0.2,
                 pck_norm: str | Sequence[str] = 'bbox',
                 **kwargs) -> None:
        super().__init__(*args, **kwargs)
        for name, value, allowed in (('groups', groups, GROUPS), ('returned', returned, ('all', *GROUPS))):
            if isinstance(value, str) or not set(value) <= set(allowed):
                raise ValueError(f'{name}={value!r} must be a list of {", ".join(map(repr, allowed))}')
        if not set(returned) <= {'all', *groups}:
            raise ValueError(f'returned={list(returned)} must be among groups={list(groups)}')
        if isinstance(bootstrap, bool) or not isinstance(bootstrap, int) or bootstrap < 0:
            raise ValueError(f'bootstrap={bootstrap!r} must be a number of resamples, 0 or more')
        if not 0 < confidence < 1:
            raise ValueError(f'confidence={confidence!r} must lie between 0 and 1')
        if not pck_thr > 0:
            raise ValueError(f'pck_thr={pck_thr!r} must be above 0')
        if pck_norm != 'bbox' and (isinstance(pck_norm, str) or len(pck_norm) != 2):
            raise ValueError(f"pck_norm={pck_norm!r} must be 'bbox' or the names of two keypoints")
        self.groups = tuple(groups)
        self.returned = tuple(returned)
        self.csv_file = csv_file
        self.bootstrap = bootstrap
        self.confidence = confidence
        self.seed = seed
        self.pck_thr = pck_thr
        self.pck_norm = pck_norm

    def _do_python_keypoint_eval(self, outfile_prefix: str) -> list:
        """What CocoMetric returns and the ``returned`` groups, as (name, value)."""
        overall = super()._do_python_keypoint_eval(outfile_prefix)
        rows = self._break_down(f'{outfile_prefix}.keypoints.json')
        for name, value in overall:
            # The same number in another order of summation.
            if name in SCORES and value >= 0:
                rows[0].scores[name] = rows[0].scores[name]._replace(value=float(value))
        logger = MMLogger.get_current_instance()
        logger.info(f'{self._title()}\n{format_table(rows, self.confidence)}')
        path = self._csv_path()
        if path is not None:
            put_text(to_csv(rows), path)
            logger.info(f'The table is in {path}')
        return [*overall, *self._entries(rows)]

    def _break_down(self, res_file: str) -> list[BreakdownRow]:
        names = self._keypoint_names()
        reference = None
        if self.pck_norm != 'bbox':
            unknown = [name for name in self.pck_norm if name not in names]
            if unknown:
                raise ValueError(f'pck_norm={list(self.pck_norm)}: {unknown} are not among the keypoints '
                                 f'{", ".join(names)}')
            reference = tuple(map(names.index, self.pck_norm))
        with contextlib.redirect_stdout(io.StringIO()):  # CocoMetric has printed it
            predictions = self.coco.loadRes(res_file)
        self._warn_of_nan(predictions.anns.values())
        categories = score_categories(
            self.coco,
            predictions,
            sigmas=self.dataset_meta['sigmas'],
            iou_type=self.iou_type,
            use_area=self.use_area,
            with_keypoints='keypoint' in self.groups,
            pck_threshold=self.pck_thr,
            pck_reference=reference,
            num_resamples=self.bootstrap,
            seed=self.seed)
        return summarize(categories, names, self.groups, self.confidence)

    def _keypoint_names(self) -> list[str]:
        """The dataset's names; behind a converter, those of the keypoints that come first in it."""
        num_keypoints = len(self.dataset_meta['sigmas'])
        names = self.dataset_meta.get('keypoint_id2name') or {}
        names = [str(names.get(index, f'keypoint {index}')) for index in range(max([num_keypoints, *names]) + 1)]
        if self.gt_converter is None:
            return names[:num_keypoints]
        converted = [f'keypoint {index}' for index in range(num_keypoints)]
        for source, target in self.gt_converter['mapping']:
            converted[target] = names[source] if isinstance(source, int) else '+'.join(names[place] for place in source)
        return converted

    def _warn_of_nan(self, predictions) -> None:
        count = sum(not np.isfinite(entry['keypoints']).all() for entry in predictions)
        if count:
            MMLogger.get_current_instance().warning(
                f'{count} predictions have keypoints that are not finite. COCO counts NaN as found, so AP and AR mean '
                'nothing here; in PCK and the rows of keypoints they are missed.')

    def _title(self) -> str:
        norm = 'longer side of the box' if self.pck_norm == 'bbox' else f'distance of {" and ".join(self.pck_norm)}'
        text = f'AP, AR and PCK ({self.pck_thr:g} of the {norm}); several species: the mean over them'
        if self.bootstrap:
            text += f'; intervals: {self.bootstrap} bootstrap resamples of the images, seed {self.seed}'
        return text

    def _csv_path(self) -> str | None:
        if self.csv_file is not None:
            return self.csv_file
        if self.outfile_prefix is not None:
            return f'{self.outfile_prefix}.species.csv'
        log_file = getattr(MMLogger.get_current_instance(), 'log_file', None)
        if log_file is None:
            return None
        # Several data sets may be evaluated in one run.
        parts = [self.dataset_meta.get('dataset_name', ''), self.prefix if self.prefix != self.default_prefix else '']
        stem = '_'.join(re.sub(r'\W+', '_', part) for part in (*parts, 'species') if part)
        return osp.join(osp.dirname(log_file), f'{stem}.csv')

    def _entries(self, rows: Sequence[BreakdownRow]) -> list[tuple[str, float]]:
        entries = []
        for row in rows:
            if row.group in self.returned:
                # AP and AR of everything are there already.
                scores = ('PCK', ) if row.group == 'all' else SCORES
                entries += [('/'.join(filter(None, (row.group, row.name, score))), row.scores[score].value)
                            for score in scores]
        return [(name, value) for name, value in entries if not np.isnan(value)]

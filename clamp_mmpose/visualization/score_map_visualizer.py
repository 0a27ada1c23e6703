from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from matplotlib.backends.backend_agg import FigureCanvasAgg
from mmengine.dist import master_only
from mmengine.visualization.utils import img_from_canvas
from mmpose.registry import VISUALIZERS
from mmpose.structures import PoseDataSample
from mmpose.visualization import PoseLocalVisualizer

from .keypoint_choice import find_keypoints
from .pose_view import view_sample
from .score_map_overlay import draw_score_map_overlay


@VISUALIZERS.register_module()
class ScoreMapVisualizer(PoseLocalVisualizer):
    """MMPose's visualizer, which draws score maps too: for ``visualizer=dict(type='ScoreMapVisualizer', ...)``.

    What it draws goes to its ``vis_backends``: local files, TensorBoard, Weights & Biases or any other of MMEngine.
    """

    @staticmethod
    def draw_score_maps(data_sample: PoseDataSample,
                        names: Sequence[str],
                        *,
                        score_map: np.ndarray,
                        upsampled: np.ndarray | None = None,
                        keypoints: Sequence[str] | None = None,
                        limits: tuple[float, float] | None = None,
                        height: int = 256) -> np.ndarray:
        """The score map of every keypoint over the crop it belongs to, as a picture (H, W, 3) in RGB.

        ``data_sample``: with the prediction of a top-down model. ``score_map`` (K, h, w): the neck's cosines, shown
        where there is no ``upsampled`` (K, h, w). ``names``: of all K keypoints; ``keypoints``: of those to be drawn,
        all if None. ``limits``: the scores that are dark and bright; ``height``: of the crop in pixels.
        """
        view = view_sample(data_sample, height=height, score_map=score_map, upsampled=upsampled)
        chosen = range(len(names)) if keypoints is None else find_keypoints(keypoints, names)
        figure = draw_score_map_overlay(view, chosen, names, limits=limits)
        canvas = FigureCanvasAgg(figure)
        canvas.draw()
        return img_from_canvas(canvas)

    @master_only
    def add_score_maps(self, name: str, data_sample: PoseDataSample, names: Sequence[str], *, step: int = 0,
                       **kwargs) -> None:
        """Gives the picture of :meth:`draw_score_maps` to the backends under ``name``."""
        self.add_image(name, self.draw_score_maps(data_sample, names, **kwargs), step)

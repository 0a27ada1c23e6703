from __future__ import annotations

import numpy as np
from mmpose.datasets.transforms import PackPoseInputs
from mmpose.registry import TRANSFORMS
from mmpose.structures.bbox import flip_bbox, get_warp_matrix

_SLACK = 1  # pixels of the input that a window may stand out of it
_MIRRORED = ('horizontal', 'vertical')  # in which MMPose swaps left and right; a diagonal flip is half a turn


@TRANSFORMS.register_module()
class PackPresenceInputs(PackPoseInputs):
    """``PackPoseInputs`` that packs the presence too, as it is after the flip and beside any codec's labels.

    Adds ``gt_instance_labels.presence``, (1, K) of 0 and 1, if ``GeneratePresence`` stands anywhere before. Takes the
    arguments of :class:`mmpose.PackPoseInputs`.

    Of a sample that has windows, which ``PresenceTagDataset`` gives with its own ``windows``, it adds some, drawn at
    random: up to ``windows`` of those that the input shows whole, and up to as many of those that it cuts. What a
    window lacks, the part of it that is shown lacks too; whether it shows what the window has, nobody knows. Adds
    ``gt_instance_labels.window_boxes``, (1, 2 * windows, 4), from corner to corner in pixels of the input, and
    ``gt_instance_labels.window_presence``, (1, 2 * windows, K), of 0, 1, and NaN where it is not known. Where there are
    fewer windows, boxes of NaN with a presence of 0 follow. The flip has to stand before ``TopdownAffine``, and nothing
    may rotate.

    Args:
        windows: how many of each kind to pack.
    """

    packs_presence = True

    def __init__(self, *args, windows: int = 8, **kwargs) -> None:
        super().__init__(*args, **kwargs)
        if isinstance(windows, bool) or not isinstance(windows, int) or windows < 1:
            raise ValueError(f'windows={windows!r} must be a whole number, 1 or more')
        self.windows = windows

    def transform(self, results: dict) -> dict:
        if 'window_boxes' in results:
            results = self._draw_windows(results)
        if 'presence' not in results:
            return super().transform(results)
        visible = results['keypoints_visible']
        if visible.ndim == 3:
            visible, presence = visible[..., 0], visible[..., 1]
        else:  # GenerateTarget has split them
            presence = results['keypoints_visible_weights']
        table = results.get('label_mapping_table', self.label_mapping_table)
        if any(isinstance(results.get(key), list) for key in table):
            raise ValueError('GenerateTarget has several encoders, whose labels do not go with the one presence of an '
                             'instance: give it one')
        table = {key: packed for key, packed in table.items() if key != 'keypoints_visible_weights'}
        return super().transform(dict(
            results, keypoints_visible=visible, presence=presence.astype('float32'),
            label_mapping_table={**table, 'presence': 'presence'}))

    def _draw_windows(self, results: dict) -> dict:
        """The same sample with some of its windows, as they lie in the input, and these as labels."""
        boxes, presence = _in_input(results)
        limits = np.array([*results['input_size']] * 2, dtype=np.float32)
        whole = ((boxes >= -_SLACK) & (boxes <= limits + _SLACK)).all(axis=1)
        shown = boxes.clip(0, limits)
        cut = ~whole & (shown[:, 2:] > shown[:, :2]).all(axis=1)
        # Were these left out, no window would have cells at the input's border, and a classifier of the whole input
        # would settle there.
        presence = np.where(cut[:, None] & (presence > 0), np.nan, presence)
        drawn = np.concatenate([np.random.choice(places, min(self.windows, len(places)), replace=False)
                                for places in (np.flatnonzero(whole), np.flatnonzero(cut))])
        packed = np.full((1, 2 * self.windows, 4), np.nan, dtype=np.float32)
        packed[0, :len(drawn)] = shown[drawn]
        present = np.zeros((1, 2 * self.windows, presence.shape[1]), dtype=np.float32)
        present[0, :len(drawn)] = presence[drawn]
        table = results.get('label_mapping_table', self.label_mapping_table)
        return dict(results, window_boxes=packed, window_presence=present, label_mapping_table={
            **table, 'window_boxes': 'window_boxes', 'window_presence': 'window_presence'})

    def __repr__(self) -> str:
        return f'{super().__repr__()[:-1]}, windows={self.windows})'


def _in_input(results: dict) -> tuple[np.ndarray, np.ndarray]:
    """(W, 4), (W, K): all windows of a sample, flipped with the picture and cropped with it."""
    if 'input_center' not in results:
        raise ValueError('the windows of a sample lie in its picture: PackPresenceInputs needs TopdownAffine before it')
    if np.any(results.get('bbox_rotation', 0)):
        raise ValueError(f"bbox_rotation={np.asarray(results['bbox_rotation']).tolist()} turns the windows of a "
                         'sample, which are boxes: leave the rotation out, with rotate_prob=0 in RandomBBoxTransform')
    if not np.array_equal(results['bbox_center'][0], results['input_center']):
        raise ValueError('RandomFlip stands after TopdownAffine, where it does not say how it flips the windows of a '
                         'sample: put it before')
    boxes, presence = results['window_boxes'], results['window_presence']
    if results.get('flip'):
        height, width = results['ori_shape'][:2]
        direction = results['flip_direction']
        boxes = flip_bbox(boxes, (width, height), bbox_format='xyxy', direction=direction)
        if direction in _MIRRORED:
            presence = presence[:, results['flip_indices']]
    # UDP's matrix differs by less than a pixel.
    matrix = get_warp_matrix(results['input_center'], results['input_scale'], 0, output_size=results['input_size'])
    corners = boxes.reshape(-1, 2) @ matrix[:, :2].T + matrix[:, 2]
    return corners.reshape(-1, 4).astype(np.float32), presence

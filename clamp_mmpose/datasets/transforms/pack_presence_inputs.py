from __future__ import annotations

from mmpose.datasets.transforms import PackPoseInputs
from mmpose.registry import TRANSFORMS


@TRANSFORMS.register_module()
class PackPresenceInputs(PackPoseInputs):
    """``PackPoseInputs`` that packs the presence too, as it is after the flip and beside any codec's labels.

    Adds ``gt_instance_labels.presence``, (1, K) of 0 and 1, if ``GeneratePresence`` stands anywhere before. Takes the
    arguments of :class:`mmpose.PackPoseInputs`.
    """

    packs_presence = True

    def transform(self, results: dict) -> dict:
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

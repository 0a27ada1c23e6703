from __future__ import annotations

from mmpose.registry import MODELS

from .clamp_head import CLAMPHead
from .metta_head import MeTTAHead


@MODELS.register_module()
class CLAMPMeTTAHead(MeTTAHead, CLAMPHead):
    """CLAMP's head with MeTTA's self-supervised task on top: a CLAMP model that adapts to the image in front of it.

    It stands behind the necks of :class:`CLAMPHead` and trains with its losses. Steps adapt the block between the
    features, score map included, and the prediction. Neither paper has this; the design is ours.

    Takes the arguments of both heads but ``matching_only``, which leaves no layers to adapt. Fits the checkpoints of a
    :class:`CLAMPHead` up to ``final_layer``.
    """

    def __init__(self, in_channels: int, out_channels: int, **kwargs) -> None:
        if kwargs.get('matching_only'):
            raise ValueError('matching_only=True of CLAMPMeTTAHead leaves nothing to adapt: it predicts from the score '
                             'map alone, without layers over the features')
        super().__init__(in_channels, out_channels, **kwargs)

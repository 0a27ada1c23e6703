"""BLIPs that train on a CPU in milliseconds, as configs and as Hugging Face folders."""
from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

_NAMES = ('head', 'rhand', 'lhand', 'rfoot', 'lfoot')
# The normalisation of CLIP and BLIP, of pixels in [0, 255].
_MEAN, _STD = [122.7709, 116.7460, 104.0937], [68.5005, 66.6322, 70.3232]


def tiny_blip_model(names: Sequence[str] = _NAMES,
                    *,
                    codec: dict | None = None,
                    width: int = 32,
                    depth: int = 2,
                    heads: int = 2,
                    patch_size: int = 16,
                    **arguments) -> dict:
    """Config of a :class:`BLIPCaptionPoseEstimator` with random weights, for 64x64 pixels and five joints.

    ``codec`` replaces the :class:`CaptionPose` of ``names``; ``arguments`` are the estimator's, added or replaced.
    """
    codec = codec or dict(type='CaptionPose', input_size=(64, 64), names=list(names))
    tower = dict(hidden_size=width, intermediate_size=4 * width, num_hidden_layers=depth, num_attention_heads=heads)
    model = dict(
        type='BLIPCaptionPoseEstimator',
        data_preprocessor=dict(type='PoseDataPreprocessor', mean=_MEAN, std=_STD, bgr_to_rgb=True),
        backbone=dict(),  # there is none; MMPose's init_model asks for it
        blip=dict(vision_config=dict(tower, patch_size=patch_size), text_config=dict(tower)),
        vocabulary='caption',
        codec=codec,
        test_cfg=dict(decoding='constrained'))
    model.update(arguments)
    if 'pretrained' in arguments:
        del model['blip'], model['vocabulary']
    return model


def save_blip_folder(model, folder: str | Path) -> Path:
    """Writes the BLIP of a built estimator and its tokenizer as a Hugging Face folder."""
    folder = Path(folder)
    model.blip.save_pretrained(folder)
    model.architecture.tokenizer.save_pretrained(folder)
    return folder

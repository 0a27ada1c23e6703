"""Tiny models for the tests of `visualize`."""
from mmengine.config import Config

from clamp_mmpose.testing import tiny_clamp_model

NAMES = Config.fromfile('configs/_base_/keypoint_names/ap10k.py').keypoint_names


def plain_model(size=64):
    """A model without language, and so without score maps."""
    codec = dict(type='MSRAHeatmap', input_size=(size, size), heatmap_size=(size // 4, size // 4), sigma=1.5)
    model = tiny_clamp_model('vit', names=NAMES, codec=codec)
    head = dict(type='HeatmapHead', in_channels=32, out_channels=17, decoder=codec, deconv_out_channels=(16, 16),
                deconv_kernel_sizes=(4, 4))
    return dict(model, neck=None, head=head)

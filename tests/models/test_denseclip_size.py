"""The parameters of DenseCLIP's Table 1, to the unit, on torch's meta device."""
import pytest
import torch

from clamp_mmpose.models import CLIPResNet, CLIPVisionTransformer, DenseCLIPNeck
from clamp_mmpose.models.layers import ContextDecoder, ViTPyramid

ARCHS = ['RN50-quickgelu', 'RN101-quickgelu', 'ViT-B-16-quickgelu']


def count(module):
    return sum(parameter.numel() for parameter in module.parameters())


@pytest.mark.parametrize('arch, expected', zip(ARCHS, (38_740_832, 56_683_872, 94_358_784)))
def test_backbones_at_the_sizes_of_segmentation(arch, expected):
    with torch.device('meta'):
        if arch.startswith('RN'):
            parts = [CLIPResNet(arch, input_size=(512, 512))]
        else:
            parts = [CLIPVisionTransformer(arch, input_size=(640, 640), out_indices=(3, 5, 7, 11)), ViTPyramid(768)]
    assert sum(map(count, parts)) == expected


@pytest.mark.parametrize('embed_dim, three, six', [(1024, 3_948_800, 7_104_512), (512, 3_553_024, 6_708_736)])
def test_the_context_decoder_has_three_layers_not_the_six_of_the_text(embed_dim, three, six):
    assert count(ContextDecoder(embed_dim)) == three
    assert count(ContextDecoder(embed_dim, num_layers=6)) == six


@pytest.mark.parametrize('arch, embed_dim, decoder', zip(ARCHS, (1024, 512, 512), (3_948_800, 3_553_024, 3_553_024)))
def test_the_neck_adds_its_decoder_contexts_and_gamma_and_nothing_else(arch, embed_dim, decoder):
    with torch.device('meta'):
        neck = DenseCLIPNeck(['nose', 'tail'], dict(type='CLIPTextEncoder', arch=arch))
    assert count(neck) - count(neck.prompts.text_encoder) == decoder + 8 * 512 + embed_dim

import math

import open_clip
import pytest
import torch
from mmengine.runner import load_checkpoint, save_checkpoint
from mmengine.runner.checkpoint import get_state_dict, weights_to_cpu
from torch import nn

from clamp_mmpose.models import CLIPResNet, CLIPVisionTransformer
from clamp_mmpose.models.layers.clip_architecture import resolve_architecture
from clamp_mmpose.testing import TINY_RESNET, TINY_VIT, randomize

RESNET_CHANNELS = (32, 64, 128, 256)


def resnet(**arguments):
    return CLIPResNet(TINY_RESNET, **{'input_size': (64, 64), **arguments}).eval()


def vit(**arguments):
    return CLIPVisionTransformer(TINY_VIT, **{'input_size': (64, 64), **arguments}).eval()


@pytest.mark.parametrize('width, height', [(64, 64), (96, 64), (64, 160), (32, 32)])
def test_resnet_maps_have_strides_4_8_16_32(width, height):
    feats = resnet()(torch.randn(2, 3, height, width))
    assert [tuple(x.shape) for x in feats] == [
        (2, channels, height // stride, width // stride)
        for channels, stride in zip(RESNET_CHANNELS, (4, 8, 16, 32))
    ]
    assert feats.dense.shape == (2, 32, height // 32, width // 32)
    assert feats.pooled.shape == (2, 32)
    assert feats.text is None and feats.score_map is None


@pytest.mark.parametrize('width, height', [(64, 64), (96, 64), (64, 160), (16, 16)])
def test_vit_maps_have_the_stride_of_the_patch(width, height):
    feats = vit(out_indices=(0, 1, 2))(torch.randn(2, 3, height, width))
    assert [tuple(x.shape) for x in feats] == [(2, 32, height // 16, width // 16)] * 3
    assert feats.dense.shape == (2, 32, height // 16, width // 16)
    assert feats.pooled.shape == (2, 32)


@pytest.mark.parametrize('out_indices', [(0, ), (3, ), (1, 2), (0, 1, 2, 3)])
def test_resnet_returns_the_stages_asked_for(out_indices):
    feats = resnet(out_indices=out_indices)(torch.randn(1, 3, 64, 64))
    assert [x.shape[1] for x in feats] == [RESNET_CHANNELS[index] for index in out_indices]


def test_a_position_of_the_vit_sees_its_own_patch_first():
    """With attention switched off, changing one pixel changes one position, at x // 16, y // 16."""
    backbone = vit()
    for block in backbone.tower.transformer.resblocks:
        torch.nn.init.zeros_(block.attn.out_proj.weight)
    image = torch.randn(1, 3, 64, 96)
    changed = image.clone()
    changed[:, :, 50, 70] += 1  # y, x
    difference = (backbone(changed)[-1] - backbone(image)[-1]).abs().sum(1)[0]
    assert difference.nonzero().tolist() == [[50 // 16, 70 // 16]]


def test_input_size_is_width_and_height():
    backbone = vit(input_size=(96, 64))
    assert backbone.grid_size == (4, 6)
    assert len(backbone.tower.positional_embedding) == 1 + 24
    backbone = resnet(input_size=(192, 256))
    assert backbone.grid_size == (8, 6)
    assert len(backbone.tower.attnpool.positional_embedding) == 1 + 48


@pytest.mark.parametrize('make', [resnet, vit])
def test_another_size_at_run_time_resizes_the_table_and_leaves_the_stored_one(make):
    backbone = randomize(make())
    before = {key: value.clone() for key, value in backbone.state_dict().items()}
    with torch.no_grad():
        backbone(torch.randn(1, 3, 96, 160))
    torch.testing.assert_close(backbone.state_dict(), before, rtol=0, atol=0)


@pytest.mark.parametrize('make, key, factor', [
    (resnet, 'tower.attnpool.positional_embedding', 32),
    (vit, 'tower.positional_embedding', 16),
])
def test_a_checkpoint_of_another_size_loads_with_its_table_resized(make, key, factor, tmp_path):
    source = randomize(make(input_size=(64, 64)))
    torch.save(source.state_dict(), tmp_path / 'source.pth')
    target = make(input_size=(96, 128))
    load_checkpoint(target, str(tmp_path / 'source.pth'), strict=True)

    side, h, w = 64 // factor, 128 // factor, 96 // factor
    old, new = source.state_dict()[key], target.state_dict()[key]
    assert len(new) == 1 + h * w
    torch.testing.assert_close(new[0], old[0], rtol=0, atol=0)
    for i in range(h):
        for j in range(w):
            torch.testing.assert_close(new[1 + i * w + j], _bilinear(old[1:].reshape(side, side, -1), i, j, h, w))


def _bilinear(grid, i, j, h, w):
    """One cell of ``grid`` resized to (h, w), as a sum over its four neighbours (half-pixel centres)."""
    rows, columns = grid.shape[:2]
    y = min(max((i + 0.5) * rows / h - 0.5, 0), rows - 1)
    x = min(max((j + 0.5) * columns / w - 0.5, 0), columns - 1)
    top, left = math.floor(y), math.floor(x)
    cell = 0
    for r, wr in ((top, 1 - (y - top)), (min(top + 1, rows - 1), y - top)):
        for c, wc in ((left, 1 - (x - left)), (min(left + 1, columns - 1), x - left)):
            cell = cell + wr * wc * grid[r, c]
    return cell


def test_a_checkpoint_of_the_same_size_loads_as_it_is():
    source, target = randomize(vit(input_size=(96, 64))), vit(input_size=(96, 64))
    target.load_state_dict(source.state_dict())
    torch.testing.assert_close(target.state_dict(), source.state_dict(), rtol=0, atol=0)


@pytest.mark.parametrize('size', [(64, 96), (192, 128)])
def test_a_checkpoint_of_another_shape_loads_too(size, tmp_path):
    """4 x 6 positions are neither 6 x 4 nor a square: the checkpoint has to say."""
    source = nn.Module()
    source.backbone = randomize(vit(input_size=(96, 64)))
    save_checkpoint(dict(state_dict=weights_to_cpu(get_state_dict(source))), str(tmp_path / 'source.pth'))
    target = nn.Module()
    target.backbone = vit(input_size=size)
    load_checkpoint(target, str(tmp_path / 'source.pth'), strict=True)
    old = source.backbone.tower.positional_embedding[1:].reshape(4, 6, -1)
    new = target.backbone.tower.positional_embedding
    h, w = size[1] // 16, size[0] // 16
    for i, j in ((0, 0), (1, 2), (h - 1, w - 1), (0, w - 1)):
        torch.testing.assert_close(new[1 + i * w + j], _bilinear(old, i, j, h, w))


def test_a_foreign_table_of_no_square_grid_is_refused():
    state = dict(vit(input_size=(96, 64)).state_dict())  # a plain dict says nothing about its grid
    with pytest.raises(ValueError, match='a position table of 25 rows does not belong to a grid'):
        vit().load_state_dict(state)


@pytest.mark.parametrize('make', [resnet, vit])
def test_a_backbone_without_embedding_takes_the_rest_of_a_checkpoint(make):
    source, target = randomize(make()), make(with_embedding=False, input_size=(96, 64))
    assert not target.load_state_dict(source.state_dict(), strict=False).missing_keys
    image = torch.randn(1, 3, 64, 64)
    if make is resnet:  # no position takes part in its maps
        torch.testing.assert_close(tuple(target(image)), tuple(source(image)))
    torch.testing.assert_close(target.state_dict()['tower.conv1.weight'], source.tower.conv1.weight)


@pytest.mark.parametrize('make, arguments, message', [
    (CLIPResNet, dict(arch='ViT-B-16'), r"arch='ViT-B-16' is a vision transformer; its backbone is CLIPVisionTransf"),
    (CLIPVisionTransformer, dict(arch='RN50'), r"arch='RN50' is a ResNet; its backbone is CLIPResNet"),
    (CLIPVisionTransformer, dict(arch='ViT-B16'), r"arch='ViT-B16' is not a model that open_clip knows; .*ViT-B-16"),
    (CLIPVisionTransformer, dict(arch=dict(TINY_VIT, depth=3)), r"unknown fields \['depth'\]; open_clip knows "),
    (CLIPVisionTransformer, dict(arch=dict(layers=2)), r"lacks 'embed_dim'"),
    (CLIPVisionTransformer, dict(arch=7), r'arch must be a model name of open_clip or a dict, not int'),
    (CLIPVisionTransformer, dict(arch='EVA02-B-16'), r"vision tower from another library \(eva02.*choose one .*'ViT-B"),
    (CLIPVisionTransformer, dict(arch='coca_ViT-B-32'), r'pools by attention .* with_embedding=False'),
    (vit, dict(input_size=(60, 64)), r'input_size \(W, H\) = \(60, 64\) must be a positive multiple of the stride 16'),
    (resnet, dict(input_size=(64, 48)), r'\(64, 48\) must be a positive multiple of the stride 32'),
    (resnet, dict(input_size=(0, 64)), r'must be a positive multiple of the stride 32'),
    (vit, dict(input_size=64), r'input_size=64 must be two whole numbers, \(W, H\) in pixels'),
    (vit, dict(input_size=(64., 64.)), r'input_size=\(64.0, 64.0\) must be two whole numbers'),
    (vit, dict(out_indices=(0, 3)), r'out_indices=\(0, 3\) must be ascending and name blocks 0 to 2'),
    (vit, dict(out_indices=(-4, )), r'out_indices=\(-4,\) must be ascending and name blocks 0 to 2'),
    (vit, dict(out_indices=(2, 1)), r'must be ascending'),
    (vit, dict(out_indices=(2, -1)), r'must be ascending'),
    (vit, dict(out_indices=()), r'must be ascending'),
    (resnet, dict(out_indices=(0, 4)), r'out_indices=\(0, 4\) must be ascending and name stages 0 to 3'),
    (resnet, dict(out_indices=()), r'must be ascending'),
    (vit, dict(frozen_stages=4), r'frozen_stages=4 must be in \[-1, 3\]'),
    (resnet, dict(frozen_stages=-2), r'frozen_stages=-2 must be in \[-1, 4\]'),
    (vit, dict(drop_path_rate=1.0), r'drop_path_rate=1.0 must be in \[0, 1\)'),
    (resnet, dict(drop_path_rate=-0.1), r'drop_path_rate=-0.1 must be in \[0, 1\)'),
])
def test_a_bad_argument_is_named_with_what_is_allowed(make, arguments, message):
    with pytest.raises(ValueError, match=message):
        make(**arguments)


@pytest.mark.parametrize('make', [resnet, vit])
def test_an_image_that_is_no_multiple_of_the_stride_is_refused(make):
    with pytest.raises(ValueError, match=r'\(W, H\) = \(64, 40\) must be a positive multiple of the stride'):
        make()(torch.randn(1, 3, 40, 64))


@pytest.mark.parametrize('make', [resnet, vit])
def test_weights_of_a_narrower_tower_are_refused(make):
    arch = TINY_VIT if make is vit else TINY_RESNET
    other = type(make())(dict(arch, width=2 * arch['width']), input_size=(96, 96))
    with pytest.raises(ValueError, match=r'the checkpoint holds a backbone of another architecture .*tower\.'):
        make().load_state_dict(other.state_dict())


def test_every_open_clip_name_resolves_or_is_refused_for_its_library():
    resolved = 0
    for name in open_clip.list_models():
        config = open_clip.get_model_config(name)
        for part in ('vision', 'text'):
            library = config[f'{part}_cfg'].get('timm_model_name') or config[f'{part}_cfg'].get('hf_model_name')
            if library:
                with pytest.raises(ValueError, match=f"arch='{name}' has its {part} tower from another library"):
                    resolve_architecture(name, part)
            else:
                architecture = resolve_architecture(name, part)
                assert architecture.embed_dim == config['embed_dim']
                resolved += 1
    assert resolved > 150


def test_quick_gelu_follows_the_name_and_can_be_overridden():
    assert resolve_architecture('ViT-B-16-quickgelu', 'vision').quick_gelu
    assert not resolve_architecture('ViT-B-16', 'vision').quick_gelu
    assert resolve_architecture('ViT-B-16', 'vision', quick_gelu=True).quick_gelu
    image = torch.randn(1, 3, 64, 64)
    quick = randomize(vit())
    exact = vit(quick_gelu=False)
    exact.load_state_dict(quick.state_dict())
    assert not torch.equal(quick(image).pooled, exact(image).pooled)


def test_the_dict_given_as_arch_is_left_as_it_was():
    arch = dict(TINY_VIT, patch_dropout=0.5)
    backbone = CLIPVisionTransformer(arch, input_size=(64, 64))
    assert arch == dict(TINY_VIT, patch_dropout=0.5)
    assert backbone(torch.randn(1, 3, 64, 64))[-1].shape == (1, 32, 4, 4)  # no patch is dropped while training

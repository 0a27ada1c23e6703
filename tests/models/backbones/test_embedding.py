"""The image embedding against open_clip's own and against a loop over the queries of the attention pool."""
import numpy as np
import open_clip
import pytest
import torch
from open_clip.model import CLIP

from clamp_mmpose.models import CLIPResNet, CLIPVisionTransformer
from clamp_mmpose.testing import TINY_RESNET, TINY_VIT, randomize, shrink_architecture

_TEXT = dict(layers=1, width=32, heads=1, vocab_size=8)


def make_clip(arch, **changes):
    """open_clip's model for a name or a dict, with random weights and a stub for its text tower."""
    if isinstance(arch, str):
        config = open_clip.get_model_config(arch)
        embed_dim, quick_gelu, vision = config['embed_dim'], config.get('quick_gelu', False), config['vision_cfg']
    else:
        vision = dict(arch)
        embed_dim, quick_gelu = vision.pop('embed_dim'), vision.pop('quick_gelu')
    # Without torch's own initialisation, which takes seconds for the large towers.
    with torch.device('meta'):
        clip = CLIP(embed_dim, dict(vision, **changes), dict(_TEXT), quick_gelu=quick_gelu)
    clip.visual.to_empty(device='cpu')
    randomize(clip.visual)
    return clip.eval()


def make_backbone(arch, clip, **arguments):
    config = open_clip.get_model_config(arch)['vision_cfg'] if isinstance(arch, str) else arch
    cls = CLIPResNet if isinstance(config['layers'], list) else CLIPVisionTransformer
    with torch.device('meta'):
        backbone = cls(arch, **arguments)
    backbone.tower.load_state_dict(clip.visual.state_dict(), assign=True)
    return backbone.eval()


def resize_by_hand(table, source, target):
    """Bilinear with half-pixel centres: rows and columns are weighted sums, edges repeat."""
    (h, w), (H, W) = source, target

    def weights(n, N):
        matrix = np.zeros((N, n))
        for i in range(N):
            x = min(max((i + 0.5) * n / N - 0.5, 0), n - 1)
            low = int(x)
            matrix[i, low] += 1 - (x - low)
            matrix[i, min(low + 1, n - 1)] += x - low
        return matrix

    grid = table[1:].double().numpy().reshape(h, w, -1)
    grid = np.einsum('Yy,Xx,yxc->YXc', weights(h, H), weights(w, W), grid).reshape(H * W, -1)
    return torch.cat([table[:1], torch.from_numpy(grid).float()])


@pytest.mark.parametrize('arch, side', [
    (TINY_RESNET, 64),
    (TINY_VIT, 64),
    ('RN50', 224),
    ('ViT-B-32', 224),
    ('ViT-B-16-quickgelu', 224),
], ids=lambda x: x if isinstance(x, str) else None)
def test_pooled_is_encode_image_at_the_native_size(arch, side):
    clip = make_clip(arch)
    backbone = make_backbone(arch, clip, input_size=(side, side))
    image = torch.randn(1, 3, side, side)
    with torch.no_grad():
        feats, expected = backbone(image), clip.encode_image(image)
    assert expected.std() > 0.1  # the random weights keep a signal
    torch.testing.assert_close(feats.pooled, expected, rtol=1e-5, atol=1e-5)


def _own_vision_architectures():
    for name in open_clip.list_models():
        vision = open_clip.get_model_config(name)['vision_cfg']
        if 'timm_model_name' not in vision and not vision.get('attentional_pool'):
            yield name


def test_pooled_is_encode_image_for_the_options_of_every_open_clip_model():
    seen = {}
    for name in _own_vision_architectures():
        arch, _ = shrink_architecture(name, 'vision')
        arch['layers'] = [1, 1, 1, 1] if isinstance(arch['layers'], list) else 2
        arch['image_size'] = side = 2 * (arch.get('patch_size') or 32)
        seen.setdefault(repr(sorted(arch.items())), (arch, side))
    assert len(seen) > 10
    for arch, side in seen.values():
        clip = make_clip(arch)
        backbone = make_backbone(arch, clip, input_size=(side, side))
        image = torch.randn(1, 3, side, side)
        with torch.no_grad():
            torch.testing.assert_close(backbone(image).pooled, _pooled(clip, image), rtol=1e-5, atol=1e-5)


def _pooled(clip, image):
    output = clip.encode_image(image)
    return output[0] if isinstance(output, tuple) else output


def test_vit_dense_is_every_token_behind_the_last_norm_and_the_projection():
    clip = make_clip(TINY_VIT, output_tokens=True)
    backbone = make_backbone(TINY_VIT, clip, input_size=(64, 64))
    image = torch.randn(2, 3, 64, 64)
    with torch.no_grad():
        feats = backbone(image)
        _, tokens = clip.visual(image)  # (B, 16, 32), behind ln_post
        expected = tokens @ clip.visual.proj
    for position in range(16):
        torch.testing.assert_close(feats.dense[:, :, position // 4, position % 4], expected[:, position])


def test_resnet_dense_is_the_attention_pool_asked_at_every_position():
    clip = make_clip(TINY_RESNET)
    backbone = make_backbone(TINY_RESNET, clip, input_size=(64, 64))
    with torch.no_grad():
        feats = backbone(torch.randn(2, 3, 96, 64))
        expected = _attention_pool_by_hand(clip.visual.attnpool, feats[-1], source=(2, 2))
    torch.testing.assert_close(feats.pooled, expected[:, 0], rtol=1e-5, atol=1e-5)
    torch.testing.assert_close(feats.dense.flatten(2).transpose(1, 2), expected[:, 1:], rtol=1e-5, atol=1e-5)


def _attention_pool_by_hand(pool, x, source):
    """(B, 1 + h * w, D): softmax(q k / sqrt(d)) v for every query and head, one at a time."""
    C, h, w = x.shape[1:]
    tokens = x.flatten(2).transpose(1, 2)
    tokens = torch.cat([tokens.mean(1, keepdim=True), tokens], 1)
    tokens = tokens + resize_by_hand(pool.positional_embedding, source, (h, w))
    q, k, v = pool.q_proj(tokens), pool.k_proj(tokens), pool.v_proj(tokens)
    d = C // pool.num_heads
    out = torch.zeros_like(tokens)
    for head in range(pool.num_heads):
        part = slice(head * d, (head + 1) * d)
        for query in range(1 + h * w):
            scores = (q[:, query:query + 1, part] * k[:, :, part]).sum(-1) / d**0.5
            out[:, query, part] = (scores.softmax(-1)[..., None] * v[:, :, part]).sum(1)
    return pool.c_proj(out)


@pytest.mark.parametrize('width, height', [(96, 64), (32, 96), (128, 128)])
def test_vit_at_another_size_is_open_clip_with_the_table_resized_by_hand(width, height):
    clip = make_clip(TINY_VIT)
    backbone = make_backbone(TINY_VIT, clip, input_size=(64, 64))
    table = clip.visual.positional_embedding.detach()
    other = make_clip(TINY_VIT, image_size=(height, width))
    state = clip.visual.state_dict()
    state['positional_embedding'] = resize_by_hand(table, (4, 4), (height // 16, width // 16))
    other.visual.load_state_dict(state)
    image = torch.randn(2, 3, height, width)
    with torch.no_grad():
        torch.testing.assert_close(backbone(image).pooled, other.encode_image(image), rtol=1e-5, atol=1e-5)


def test_maps_of_the_vit_are_the_blocks_outputs_before_the_last_norm():
    clip = make_clip(TINY_VIT)
    backbone = make_backbone(TINY_VIT, clip, input_size=(64, 64), out_indices=(0, -1))
    image = torch.randn(1, 3, 64, 64)
    outputs = []
    for block in clip.visual.transformer.resblocks:
        block.register_forward_hook(lambda module, args, output: outputs.append(output))
    with torch.no_grad():
        clip.encode_image(image)
        first, last = backbone(image)
    for feature_map, tokens in ((first, outputs[0]), (last, outputs[2])):
        torch.testing.assert_close(feature_map, tokens[:, 1:].transpose(1, 2).reshape(1, 32, 4, 4))


def test_maps_of_the_resnet_are_its_stages():
    clip = make_clip(TINY_RESNET)
    backbone = make_backbone(TINY_RESNET, clip, input_size=(64, 64), out_indices=(1, 3))
    image = torch.randn(1, 3, 64, 64)
    with torch.no_grad():
        expected = clip.visual.forward_intermediates(image, indices=[2, 4])['image_intermediates']
        torch.testing.assert_close(tuple(backbone(image)), tuple(expected))


def test_double_class_embedding_is_the_class_embedding_added_twice():
    single = randomize(CLIPVisionTransformer(TINY_VIT, input_size=(64, 64))).eval()
    double = CLIPVisionTransformer(TINY_VIT, input_size=(64, 64), double_class_embedding=True).eval()
    double.load_state_dict(single.state_dict())
    image = torch.randn(2, 3, 64, 64)
    with torch.no_grad():
        released = double(image).pooled
        assert not torch.allclose(released, single(image).pooled, atol=1e-3)
        single.tower.class_embedding.mul_(2)
        torch.testing.assert_close(released, single(image).pooled)

"""A converted CLAMP computes what the released one does: heatmaps, losses, gradients, beside an independent oracle."""
import numpy as np
import pytest
import torch
from mmengine.registry import MODELS
from open_clip import get_tokenizer
from oracles.released_clamp import AP10K_NAMES, FLIPS, Released, decode
from oracles.released_configs import hard_keypoints, make_batch, released_config
from oracles.released_files import (
    RN50,
    TINY_RN,
    TINY_VIT,
    TINY_VIT_L,
    VIT_B,
    VIT_L,
    make_released_clamp,
    save_released,
)

from clamp_mmpose.checkpoint.released_conversion import convert_released
from clamp_mmpose.checkpoint.released_file import read_released_file
from clamp_mmpose.models.layers import sample_bilinear

FULL = [pytest.param(sizes, id=name, marks=pytest.mark.slow)
        for sizes, name in ((RN50, 'RN50'), (VIT_B, 'ViT-B'), (VIT_L, 'ViT-L'))]
TINY = [pytest.param(sizes, id=name) for sizes, name in (
    (TINY_RN, 'tiny ResNet'), (TINY_VIT, 'tiny ViT'), (TINY_VIT_L, 'tiny ViT at stride 3.5'))]
FLIP_INDICES = list(range(17))
for left, right in FLIPS:
    FLIP_INDICES[left], FLIP_INDICES[right] = right, left


def token_ids():
    """(17, 5), as the released code has them."""
    return get_tokenizer('ViT-B-16')(AP10K_NAMES)[:, :5]


def convert(sizes, folder, **changes):
    """A random released checkpoint, and the model that it was converted into."""
    tensors = make_released_clamp(sizes) | changes
    file = read_released_file(save_released(tensors, folder / 'released.pth'))
    cfg = released_config(sizes)
    model = MODELS.build(cfg.model)
    converted = convert_released(file, MODELS.build(cfg.model))
    model.load_state_dict(converted.state_dict, strict=True)
    assert not converted.report.warnings and not converted.report.missing and len(converted.report.dropped) == 3
    return tensors, cfg, model


def oracle(tensors, sizes, training=False):
    return Released(tensors, sizes.kind, token_ids(), image_heads=sizes.image_heads, training=training)


def make_data(cfg, sizes, batch=4):
    size, stride = cfg.codec.input_size[0], cfg.codec.input_size[0] / sizes.grid
    keypoints, visible = hard_keypoints(size, stride, 17, batch=batch)
    data, pixels = make_batch(cfg.codec, keypoints, visible, flip_indices=FLIP_INDICES)
    return data, pixels, torch.from_numpy(keypoints), torch.from_numpy(visible)


def predict(model, data, **test_cfg):
    model.eval()
    model.test_cfg = dict(model.test_cfg, output_heatmaps=True, **test_cfg)
    with torch.no_grad():
        samples = model(**model.data_preprocessor(data, False), mode='predict')
    return torch.stack([sample.pred_fields.heatmaps for sample in samples]), samples


def show(name, error):
    """What `pytest -s` and a failure print."""
    print(f'{name}: {float(error):.3g}')


@pytest.mark.parametrize('sizes', TINY + FULL)
def test_heatmaps_are_the_released_models(sizes, tmp_path):
    tensors, cfg, model = convert(sizes, tmp_path)
    data, pixels, *_ = make_data(cfg, sizes, batch=2)
    released = oracle(tensors, sizes)
    with torch.no_grad():
        for flips in (None, FLIPS):
            expected = released.heatmaps(pixels, flips)
            found, samples = predict(model, data, flip_test=flips is not None)
            assert expected.std() > 0.05  # so that the tolerance means something
            show(f'heatmaps of {expected.std():.2f}, flip test {flips is not None}', (found - expected).abs().max())
            torch.testing.assert_close(found, expected, atol=1e-4, rtol=0)
    # The last is the flip test, as the config has it, and so are its keypoints.
    cells = np.array(cfg.codec.heatmap_size)
    for heatmaps, sample in zip(expected, samples):
        for k, heatmap in enumerate(heatmaps):
            x, y = heatmap.argmax() % cells[0], heatmap.argmax() // cells[0]
            if 1 < x < cells[0] - 2 and 1 < y < cells[1] - 2:
                np.testing.assert_allclose(sample.pred_instances.keypoints[0, k] / cfg.codec.input_size[0] * cells,
                                           decode(heatmap), atol=1e-3)


def train(model):
    """Training mode without what is random in it: dropout, and paths that are dropped."""
    for module in model.train().modules():
        if isinstance(module, torch.nn.Dropout):
            module.p = 0.0
    for module in model.backbone.modules():
        for hook in module._forward_hooks.values():
            hook.probability = 0.0
    return model


def both_losses(tensors, cfg, model, sizes):
    """The losses of the oracle and of our model, for keypoints anywhere."""
    data, pixels, keypoints, visible = make_data(cfg, sizes)
    expected = oracle(tensors, sizes, training=True).losses(
        pixels, keypoints, visible, heatmap_size=cfg.codec.heatmap_size,
        spatial_weight=cfg.model.head.spatial_loss.loss_weight)
    train(model)
    return expected, model(**model.data_preprocessor(data, True), mode='loss')


@pytest.mark.parametrize('sizes', TINY + FULL)
def test_losses_are_the_released_models(sizes, tmp_path):
    tensors, cfg, model = convert(sizes, tmp_path)
    with torch.no_grad():
        expected, found = both_losses(tensors, cfg, model, sizes)
    for name, value in expected.items():
        show(f'{name} of {value:.3g}', (found[name] - value).abs())
        assert value > 1e-4
        torch.testing.assert_close(found[name], value.float(), atol=1e-5, rtol=0)
        # The feature loss is small, and one keypoint of 68 in a wrong cell must show.
        torch.testing.assert_close(found[name], value.float(), atol=0, rtol=1e-4)


@pytest.mark.parametrize('sizes', TINY)
def test_gradients_are_the_released_models(sizes, tmp_path):
    """Of every tensor: none is without use on one side only."""
    tensors, cfg, model = convert(sizes, tmp_path)
    for name, tensor in tensors.items():
        if tensor.is_floating_point() and 'running' not in name:
            tensors[name] = tensor.clone().requires_grad_()
    for parameter in model.parameters():  # the text tower is frozen
        parameter.requires_grad_()
    expected, found = both_losses(tensors, cfg, model, sizes)
    for losses in (expected, found):
        sum(losses[name] for name in expected).backward()
    own = dict(model.named_parameters())
    file = read_released_file(tmp_path / 'released.pth')
    renamed = convert_released(file, MODELS.build(cfg.model)).report.renamed
    for name, tensor in tensors.items():
        if name not in renamed:
            assert tensor.grad is None, f'{name} is dropped, but the released model uses it'
        elif tensor.requires_grad:
            expected_grad, grad = tensor.grad, own.pop(renamed[name]).grad
            assert expected_grad is not None and expected_grad.any(), name
            torch.testing.assert_close(
                grad, expected_grad, atol=2e-4 * expected_grad.abs().max().item() + 1e-9, rtol=2e-3, msg=name)
    assert not own


def test_a_keypoint_in_another_cell_would_show(tmp_path):
    """What the tolerance of the feature loss is worth."""
    tensors, cfg, model = convert(TINY_VIT, tmp_path)
    model.head.sample_features = sample_bilinear
    with torch.no_grad():
        expected, found = both_losses(tensors, cfg, model, TINY_VIT)
    assert (found['loss_feature'] / expected['loss_feature'] - 1).abs() > 1e-3


def test_a_model_that_adds_the_class_embedding_once_gives_the_same_heatmaps(tmp_path):
    _, cfg, model = convert(TINY_VIT, tmp_path)
    assert model.backbone.double_class_embedding
    cfg.model.backbone.double_class_embedding = False
    once = MODELS.build(cfg.model)
    conversion = convert_released(read_released_file(tmp_path / 'released.pth'), once)
    assert any('class embedding is doubled' in note for note in conversion.report.notes)
    data, *_ = make_data(cfg, TINY_VIT, batch=2)
    torch.testing.assert_close(predict(once, data)[0], predict(model, data)[0], atol=0, rtol=0)


@pytest.mark.parametrize('option', [
    dict(neck=dict(text_encoder=dict(heads=4))), dict(neck=dict(prompt_encoder=dict(num_heads=4))),
    dict(neck=dict(context_decoder=dict(num_heads=8))), dict(backbone=dict(arch=dict(quick_gelu=False))),
    dict(neck=dict(text_encoder=dict(arch=dict(quick_gelu=False)))),
])
def test_options_that_no_shape_tells_would_change_the_heatmaps(tmp_path, option):
    """Why the conversion refuses them."""
    _, cfg, model = convert(TINY_VIT, tmp_path)
    data, *_ = make_data(cfg, TINY_VIT, batch=2)
    cfg.merge_from_dict(dict(model=option))
    other = MODELS.build(cfg.model)
    other.load_state_dict(model.state_dict(), strict=True)
    assert (predict(other, data)[0] - predict(model, data)[0]).abs().max() > 3e-4

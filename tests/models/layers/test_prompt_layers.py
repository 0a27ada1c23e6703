"""Prompt encoder, context decoder, score map and upsampler against loops over heads and tokens in NumPy."""
import math

import numpy as np
import pytest
import torch

from clamp_mmpose.models.layers import ContextDecoder, PromptEncoder, ScoreMapUpsampler, compute_score_map
from clamp_mmpose.testing import randomize


def weights_of(module):
    return {key: value.double().numpy() for key, value in module.state_dict().items()}


def norm(x, w, name):
    x = (x - x.mean(-1, keepdims=True)) / np.sqrt(x.var(-1, keepdims=True) + 1e-5)
    return x * w[f'{name}.weight'] + w[f'{name}.bias']


def attend(q, k, v, num_heads):
    """(N, D), (M, D), (M, D) -> (N, D): softmax(q k / sqrt(d)) v, head by head."""
    out, d = np.zeros_like(q), q.shape[-1] // num_heads
    for head in range(num_heads):
        part = slice(head * d, (head + 1) * d)
        scores = np.exp(q[:, part] @ k[:, part].T / math.sqrt(d))
        out[:, part] = scores / scores.sum(-1, keepdims=True) @ v[:, part]
    return out


def test_prompt_encoder_is_one_pre_norm_block_with_quick_gelu_and_a_norm():
    module = randomize(PromptEncoder(32)).double().eval()
    w, text = weights_of(module), torch.randn(2, 5, 32, dtype=torch.float64)
    block = 'transformer.resblocks.0.'
    expected = []
    for x in text.numpy():
        y = norm(x, w, block + 'ln_1') @ w[block + 'attn.in_proj_weight'].T + w[block + 'attn.in_proj_bias']
        y = attend(*np.split(y, 3, axis=-1), num_heads=8)
        x = x + y @ w[block + 'attn.out_proj.weight'].T + w[block + 'attn.out_proj.bias']
        y = norm(x, w, block + 'ln_2') @ w[block + 'mlp.c_fc.weight'].T + w[block + 'mlp.c_fc.bias']
        y = y / (1 + np.exp(-1.702 * y))
        x = x + y @ w[block + 'mlp.c_proj.weight'].T + w[block + 'mlp.c_proj.bias']
        expected.append(norm(x, w, 'ln_final'))
    torch.testing.assert_close(module(text).detach(), torch.from_numpy(np.stack(expected)))


def test_context_decoder_is_three_layers_of_self_attention_cross_attention_and_mlp():
    module = randomize(ContextDecoder(24, width=32)).double().eval()
    w = weights_of(module)
    text = torch.randn(2, 5, 24, dtype=torch.float64)
    memory = torch.randn(2, 7, 24, dtype=torch.float64)
    gelu = np.vectorize(lambda t: t * 0.5 * (1 + math.erf(t / math.sqrt(2))))

    def linear(x, name):
        return x @ w[f'{name}.weight'].T + w.get(f'{name}.bias', 0)

    expected = []
    for x, m in zip(text.numpy(), memory.numpy()):
        m = norm(linear(norm(m, w, 'memory_proj.0'), 'memory_proj.1'), w, 'memory_proj.2')
        x = linear(norm(x, w, 'text_proj.0'), 'text_proj.1')
        for layer in range(3):
            for name, n in (('self_attn', 'norm1'), ('cross_attn', 'norm2')):
                p = f'decoder.{layer}.{name}.'
                y = norm(x, w, f'decoder.{layer}.{n}')
                source = y if name == 'self_attn' else m
                y = attend(linear(y, p + 'q_proj'), linear(source, p + 'k_proj'), linear(source, p + 'v_proj'), 4)
                x = x + linear(y, p + 'proj')
            y = linear(norm(x, w, f'decoder.{layer}.norm3'), f'decoder.{layer}.mlp.0')
            x = x + linear(gelu(y), f'decoder.{layer}.mlp.3')
        expected.append(linear(norm(x, w, 'out_proj.0'), 'out_proj.1'))
    torch.testing.assert_close(module(text, memory).detach(), torch.from_numpy(np.stack(expected)))


def test_context_decoder_drops_a_tenth_while_training_only():
    module = randomize(ContextDecoder(24, width=32))
    text, memory = torch.randn(1, 5, 24), torch.randn(1, 7, 24)
    with torch.no_grad():
        module.eval()
        torch.testing.assert_close(module(text, memory), module(text, memory), rtol=0, atol=0)
        module.train()
        assert not torch.equal(module(text, memory), module(text, memory))
    # Behind both attentions, inside the MLP and behind it, in three layers.
    dropouts, calls = [m for m in module.modules() if isinstance(m, torch.nn.Dropout)], []
    for dropout in dropouts:
        dropout.register_forward_hook(lambda m, args, output: calls.append(m.p))
    module(text, memory)
    assert calls == [0.1] * 12


def test_context_decoder_starts_with_small_weights_and_no_bias():
    module = ContextDecoder(512)
    for layer in (m for m in module.modules() if isinstance(m, torch.nn.Linear)):
        assert layer.weight.std().item() == pytest.approx(0.02, rel=0.1)
        assert layer.bias is None or not layer.bias.any()
    projections = [p for name, p in module.named_parameters() if 'q_proj' in name or 'k_proj' in name]
    assert len(projections) == 3 * 2 * 2  # weights alone


def test_order_of_image_tokens_does_not_matter_and_order_of_prompts_is_kept():
    decoder, encoder = randomize(ContextDecoder(24, width=32)).eval(), randomize(PromptEncoder(24)).eval()
    text, memory = torch.randn(2, 6, 24), torch.randn(2, 9, 24)
    prompts, tokens = torch.randperm(6), torch.randperm(9)
    with torch.no_grad():
        torch.testing.assert_close(decoder(text[:, prompts], memory[:, tokens]), decoder(text, memory)[:, prompts])
        torch.testing.assert_close(encoder(text[:, prompts]), encoder(text)[:, prompts])


@pytest.mark.parametrize('make, message', [
    (lambda: PromptEncoder(36), 'num_heads=8 does not divide embed_dim=36'),
    (lambda: ContextDecoder(36, width=30), 'num_heads=4 does not divide width=30'),
])
def test_heads_that_do_not_divide_the_width_are_refused(make, message):
    with pytest.raises(ValueError, match=message):
        make()


def test_score_map_is_the_cosine_at_every_position():
    dense, text = torch.randn(2, 6, 3, 4), torch.randn(2, 5, 6)
    score_map = compute_score_map(dense, text)
    for b, k, y, x in np.ndindex(2, 5, 3, 4):
        image, prompt = dense[b, :, y, x].numpy(), text[b, k].numpy()
        cosine = image @ prompt / np.linalg.norm(image) / np.linalg.norm(prompt)
        assert score_map[b, k, y, x].item() == pytest.approx(cosine, abs=1e-6)


@pytest.mark.parametrize('dtype', [torch.float16, torch.bfloat16, torch.float32, torch.float64])
@pytest.mark.parametrize('scale', [1e-6, 1.0, 1e3])
def test_score_map_stays_within_one_at_any_precision_and_scale(dtype, scale):
    dense, text = (scale * torch.randn(2, 64, 4, 4)).to(dtype), (scale * torch.randn(2, 5, 64)).to(dtype)
    score_map = compute_score_map(dense, text)
    assert score_map.dtype == dtype
    assert torch.isfinite(score_map).all()
    assert score_map.abs().max() <= 1 + 4 * torch.finfo(dtype).eps


@pytest.mark.parametrize('dtype', [torch.float16, torch.bfloat16, torch.float32])
def test_score_map_of_zero_vectors_is_zero_with_finite_gradients(dtype):
    dense, text = torch.zeros(1, 6, 2, 2, dtype=dtype), torch.randn(1, 3, 6).to(dtype)
    text[:, 1] = 0
    dense.requires_grad_(), text.requires_grad_()
    score_map = compute_score_map(dense, text)
    score_map.sum().backward()
    assert torch.equal(score_map, torch.zeros(1, 3, 2, 2, dtype=dtype))
    assert torch.isfinite(text.grad).all()
    if dtype == torch.float32:  # half precision has no room for the slope at zero
        assert torch.isfinite(dense.grad).all()


def test_score_map_keeps_double_precision():
    dense = torch.randn(1, 6, 2, 2, dtype=torch.float64, requires_grad=True)
    text = torch.randn(1, 3, 6, dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradcheck(compute_score_map, (dense, text))


def test_upsampler_doubles_the_size_per_layer_and_keeps_torchs_initialisation():
    module = ScoreMapUpsampler(5, 7, deconv_out_channels=(8, 4))
    assert module(torch.randn(2, 5, 3, 4)).shape == (2, 7, 12, 16)
    for parameter in module.parameters():
        torch.nn.init.constant_(parameter, 0.001)
    module.init_weights()
    torch.manual_seed(0)
    fresh = torch.nn.ConvTranspose2d(5, 8, 4, 2, 1, bias=False).weight
    assert module.deconv_layers[0].weight.std().item() == pytest.approx(fresh.std().item(), rel=0.1)
    assert (module.deconv_layers[1].weight == 1).all() and not module.deconv_layers[1].bias.any()
    assert module.final_layer.weight.std() > 0.1

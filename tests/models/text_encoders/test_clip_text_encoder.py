from pathlib import Path

import open_clip
import pytest
import torch
from mmengine.config import Config
from open_clip.model import CLIP

from clamp_mmpose.models import CLIPTextEncoder
from clamp_mmpose.testing import TINY_TEXT, TINY_VIT, randomize, shrink_architecture

TABLES = {
    path.stem: list(Config.fromfile(path).keypoint_names)
    for path in sorted((Path(__file__).parents[3] / 'configs/_base_/keypoint_names').glob('*.py'))
}
K_CONTEXTS = 8


def make_encoder(arch=TINY_TEXT, **arguments):
    return randomize(CLIPTextEncoder(arch, **arguments))


def make_clip(arch=TINY_TEXT, seed=0):
    """open_clip's model with the text tower ``arch``."""
    text = dict(arch)
    embed_dim, quick_gelu = text.pop('embed_dim'), text.pop('quick_gelu')
    vision = {key: value for key, value in TINY_VIT.items() if key not in ('embed_dim', 'quick_gelu')}
    return randomize(CLIP(embed_dim, vision, text, quick_gelu=quick_gelu), seed=seed).eval()


def load_text_tower(encoder, clip):
    state = {key: value for key, value in clip.state_dict().items() if not key.startswith(('visual.', 'logit_scale'))}
    state['positional_embedding'] = state['positional_embedding'][:encoder.context_length]
    encoder.tower.load_state_dict(state)
    return encoder


def encode_padded(tower, names, contexts):
    """The released layout: each prompt a row of 13 tokens, [SOT] contexts name [EOT] and zeros, causal attention."""
    ids = open_clip.tokenizer.SimpleTokenizer()(names, context_length=13 - contexts.shape[1])
    x = tower.token_embedding(ids)
    x = torch.cat([x[:, :1], contexts.expand(len(names), -1, -1), x[:, 1:]], dim=1) + tower.positional_embedding
    mask = torch.full((13, 13), float('-inf'), dtype=x.dtype).triu(1)
    for block in tower.transformer.resblocks:
        x = block(x, attn_mask=mask)
    ends = ids.argmax(-1) + contexts.shape[1]
    return torch.stack([tower.ln_final(x[row, end]) for row, end in enumerate(ends)]) @ tower.text_projection


@pytest.mark.parametrize('table', TABLES)
@pytest.mark.parametrize('depth', [2, 12])
def test_without_contexts_it_is_encode_text(table, depth):
    names = TABLES[table]
    arch = dict(TINY_TEXT, layers=depth)
    clip = make_clip(arch)
    encoder = load_text_tower(CLIPTextEncoder(arch, context_length=77), clip)
    tokens = open_clip.tokenizer.SimpleTokenizer()(names)  # (K, 77)
    with torch.no_grad():
        expected = clip.encode_text(tokens)
        torch.testing.assert_close(encoder(encoder.pack(names, 0))[0], expected, rtol=1e-5, atol=1e-5)
        assert expected.std(0).mean() > 0.05  # the names are told apart


def test_shorter_position_tables_change_nothing():
    clip = make_clip()
    names = TABLES['ap10k']
    embeddings = []
    for length in (13, 77):
        encoder = load_text_tower(CLIPTextEncoder(TINY_TEXT, context_length=length), clip)
        with torch.no_grad():
            embeddings.append(encoder(encoder.pack(names, 0)))
    torch.testing.assert_close(embeddings[0], embeddings[1], rtol=0, atol=0)


def _options_of_causal_towers():
    seen = {}
    for name in open_clip.list_models():
        text = open_clip.get_model_config(name)['text_cfg']
        if 'hf_model_name' in text or text.get('no_causal_mask') or text.get('embed_cls') or 'pool_type' in text:
            continue
        arch, _ = shrink_architecture(name, 'text')
        arch['layers'] = 1
        seen[repr(sorted(arch.items()))] = arch
    return list(seen.values())


def test_every_causal_tower_of_open_clip_gives_its_own_embedding():
    names = TABLES['mpii']
    towers = _options_of_causal_towers()
    assert len(towers) > 2
    for arch in towers:
        clip = make_clip(arch)
        encoder = load_text_tower(CLIPTextEncoder(arch), clip)
        tokens = open_clip.tokenizer.SimpleTokenizer()(names, context_length=arch.get('context_length', 77))
        with torch.no_grad():
            torch.testing.assert_close(encoder(encoder.pack(names, 0))[0], clip.encode_text(tokens), rtol=1e-5,
                                       atol=1e-5)


@pytest.mark.parametrize('table', TABLES)
def test_packed_prompts_are_the_released_padded_ones(table):
    names = TABLES[table]
    encoder = make_encoder(dict(TINY_TEXT, layers=4)).double()
    contexts = torch.randn(1, K_CONTEXTS, 32, dtype=torch.float64, requires_grad=True)
    packed = encoder(encoder.pack(names, K_CONTEXTS), contexts)
    assert packed.shape == (1, len(names), 32)
    expected = encode_padded(encoder.tower, names, contexts)
    torch.testing.assert_close(packed[0], expected, rtol=1e-9, atol=1e-9)

    weights = torch.randn(len(names), 32, dtype=torch.float64)
    (packed_grad, ) = torch.autograd.grad((packed * weights).sum(), contexts)
    (expected_grad, ) = torch.autograd.grad((expected * weights).sum(), contexts)
    assert packed_grad.abs().max() > 1e-3
    torch.testing.assert_close(packed_grad, expected_grad, rtol=1e-7, atol=1e-9)


def test_packed_prompts_are_the_padded_ones_in_float32_too():
    names = TABLES['ap10k']
    encoder = make_encoder(dict(TINY_TEXT, layers=12))
    contexts = torch.randn(1, K_CONTEXTS, 32)
    with torch.no_grad():
        torch.testing.assert_close(
            encoder(encoder.pack(names, K_CONTEXTS), contexts)[0],
            encode_padded(encoder.tower, names, contexts), rtol=1e-5, atol=1e-5)


def test_contexts_of_a_batch_are_encoded_each():
    encoder = make_encoder()
    prompts = encoder.pack(['nose', 'left eye'], 2)
    contexts = torch.randn(3, 2, 32)
    with torch.no_grad():
        together = encoder(prompts, contexts)
        for index in range(3):
            torch.testing.assert_close(together[index], encoder(prompts, contexts[index:index + 1])[0])


def test_a_name_does_not_depend_on_the_names_packed_beside_it():
    encoder = make_encoder()
    contexts = torch.randn(1, 8, 32)
    with torch.no_grad():
        together = encoder(encoder.pack(['left front paw', 'nose', 'withers'], 8), contexts)[0]
        alone = encoder(encoder.pack(['nose'], 8), contexts)[0]
    torch.testing.assert_close(together[1], alone[0])


@pytest.mark.parametrize('name, tokens', [
    ('nose', 3), ('neck', 3), ('tail root', 4), ('left eye', 4), ('left front paw', 5), ('right back paw', 5),
    ('withers', 4), ('left earbase', 5), ('left front elbow', 5), ('tail base', 4), ('right wrist', 4),
    ('L_F_Elbow', 7)
])
def test_a_name_takes_this_many_tokens(name, tokens):
    encoder = CLIPTextEncoder(TINY_TEXT, context_length=77)
    prompts = encoder.pack([name], 0)
    assert len(prompts.suffix) + 1 == tokens
    prompts = encoder.pack([name], 8)
    assert prompts.ends.tolist() == [tokens - 1 + 8]  # where the released code looks for [EOT]
    assert (prompts.prefix.item(), prompts.suffix[-1].item()) == (49406, 49407)


@pytest.mark.parametrize('table, longest, packed', [
    ('ap10k', 5, 62), ('animalpose', 5, None), ('coco', 4, None), ('mpii', 4, None), ('crowdpose', 4, None),
    ('h36m', 4, None), ('pennaction', 4, None)
])
def test_every_table_fits_the_13_tokens(table, longest, packed):
    encoder = CLIPTextEncoder(TINY_TEXT)
    prompts = encoder.pack(TABLES[table], 8)
    lengths = [len(encoder.pack([name], 8).suffix) + 1 for name in TABLES[table]]
    assert max(lengths) == longest
    assert len(prompts.positions) == 1 + 8 + sum(length - 1 for length in lengths)
    if packed:
        assert len(prompts.positions) == packed
    assert prompts.positions.max() < 13
    assert len(prompts) == len(TABLES[table])


def test_a_long_name_is_refused_with_its_tokens_and_the_limit():
    encoder = CLIPTextEncoder(TINY_TEXT)
    with pytest.raises(ValueError, match=r"'left front upper paw' takes 6 tokens with start and end; the limit is 5 "
                       r'\(context_length=13 less 8 learnable contexts\)'):
        encoder.pack(['nose', 'left front upper paw'], 8)
    assert len(CLIPTextEncoder(TINY_TEXT, context_length=14).pack(['left front upper paw'], 8)) == 1


def test_a_name_without_tokens_is_refused():
    with pytest.raises(ValueError, match=r"the keypoint name ' ' has no token"):
        CLIPTextEncoder(TINY_TEXT).pack(['nose', ' '], 8)


@pytest.mark.parametrize('arguments, message', [
    (dict(arch='ViT-B-15'), r"arch='ViT-B-15' is not a model that open_clip knows"),
    (dict(arch='roberta-ViT-B-32'), r'has its text tower from another library \(roberta-base\)'),
    (dict(arch='ViT-B-16-SigLIP'), r"the text tower of arch='ViT-B-16-SigLIP' is not causal"),
    (dict(arch=dict(TINY_TEXT, embed_cls=True)), r'is not causal with pooling at the end token'),
    (dict(arch=dict(TINY_TEXT, hf_tokenizer_name='bert-base-uncased')), r'a Hugging Face tokenizer'),
    (dict(arch=dict(TINY_TEXT, image_size=224)), r"unknown fields \['image_size'\]"),
    (dict(arch=TINY_TEXT, context_length=78), r'context_length=78 must be in \[3, 77\]'),
    (dict(arch=TINY_TEXT, context_length=2), r'context_length=2 must be in \[3, 77\]'),
    (dict(arch=TINY_TEXT, heads=5), r'heads=5 does not divide the width 32'),
])
def test_a_bad_argument_is_named_with_what_is_allowed(arguments, message):
    with pytest.raises(ValueError, match=message):
        CLIPTextEncoder(**arguments)


def test_heads_change_the_result_and_no_shape():
    default, released = make_encoder(), make_encoder(heads=8)
    released.load_state_dict(default.state_dict())
    prompts = default.pack(['nose'], 0)
    with torch.no_grad():
        assert not torch.allclose(default(prompts), released(prompts), atol=1e-4)


def test_a_frozen_tower_stays_in_eval_and_passes_gradients_to_the_contexts():
    encoder = make_encoder().train()
    assert not any(module.training for module in encoder.tower.modules())
    contexts = torch.randn(1, 8, 32, requires_grad=True)
    encoder(encoder.pack(['nose', 'left eye'], 8), contexts).square().sum().backward()
    assert contexts.grad.abs().max() > 0
    assert all(p.grad is None and not p.requires_grad for p in encoder.tower.parameters())


def test_a_tower_that_is_not_frozen_trains():
    encoder = make_encoder(frozen=False).train()
    assert all(module.training for module in encoder.tower.modules())
    encoder(encoder.pack(['nose', 'left eye'], 0)).square().sum().backward()
    assert all(p.grad is not None for p in encoder.parameters())

import pytest
import torch
import torch.nn.functional as F

from clamp_mmpose.models import PromptLearnerNeck
from clamp_mmpose.structures import VisionLanguageFeatures
from clamp_mmpose.testing import TINY_TEXT, randomize

NAMES = ('left eye', 'right eye', 'nose', 'tail root', 'left front paw')
ENCODER = dict(type='CLIPTextEncoder', arch=TINY_TEXT)


def make(names=NAMES, encoder=ENCODER, **arguments):
    arguments = {'context_decoder': dict(width=32), **arguments}
    return randomize(PromptLearnerNeck(list(names), encoder and dict(encoder), **arguments)).eval()


def make_feats(batch=2, seed=0):
    generator = torch.Generator().manual_seed(seed)
    randn = lambda *shape: torch.randn(*shape, generator=generator)  # noqa: E731
    return VisionLanguageFeatures([randn(batch, 6, 8, 8), randn(batch, 10, 3, 4)],
                                  dense=randn(batch, 32, 3, 4), pooled=randn(batch, 32))


def forward(neck, feats):
    with torch.no_grad():
        return neck(feats)


def test_the_score_map_is_appended_to_the_last_map():
    feats = make_feats()
    out = forward(make(), feats)
    assert out.text.shape == (2, 5, 32) and out.score_map.shape == (2, 5, 3, 4)
    assert out[0] is feats[0]
    torch.testing.assert_close(out[1], torch.cat([feats[1], out.score_map], 1), rtol=0, atol=0)
    assert out.dense is feats.dense and out.pooled is feats.pooled


def test_prompts_look_at_the_image_through_a_weighted_decoder():
    neck, feats = make(), make_feats()
    out = forward(neck, feats)
    with torch.no_grad():
        prompts = neck.prompt_encoder(neck.prompts()).expand(2, -1, -1)
        tokens = torch.cat([feats.pooled[:, None], feats.dense.flatten(2).mT], 1)  # (B, 1 + 12, 32)
        text = prompts + neck.gamma * neck.context_decoder(prompts, tokens)
    torch.testing.assert_close(out.text, text)
    for y, x in ((0, 0), (2, 1)):
        cosine = F.cosine_similarity(feats.dense[:, None, :, y, x], text, dim=2)
        torch.testing.assert_close(out.score_map[:, :, y, x], cosine)
    assert out.score_map.abs().max() <= 1 + 1e-6


def test_with_gamma_zero_the_text_is_the_prompt_encoders():
    neck = make()
    torch.nn.init.zeros_(neck.gamma)
    with torch.no_grad():
        expected = neck.prompt_encoder(neck.prompts())
    for seed in (0, 1):
        torch.testing.assert_close(forward(neck, make_feats(seed=seed)).text, expected.expand(2, -1, -1))


def test_gamma_starts_at_a_thousandth():
    neck = PromptLearnerNeck(list(NAMES), dict(ENCODER), context_decoder=dict(width=32))
    torch.testing.assert_close(neck.gamma.detach(), torch.full((32, ), 1e-3))


def test_permuting_names_permutes_the_score_map():
    order = [3, 0, 4, 1, 2]
    feats = make_feats()
    out, permuted = forward(make(), feats), forward(make([NAMES[i] for i in order]), feats)
    torch.testing.assert_close(permuted.score_map, out.score_map[:, order], rtol=1e-5, atol=1e-5)
    torch.testing.assert_close(permuted.text, out.text[:, order], rtol=1e-5, atol=1e-5)


def test_the_prompts_of_an_image_do_not_depend_on_the_others_of_the_batch():
    neck = make()
    together = forward(neck, make_feats(3))
    feats = make_feats(3)
    alone = forward(
        neck, VisionLanguageFeatures([x[1:2] for x in feats], dense=feats.dense[1:2], pooled=feats.pooled[1:2]))
    torch.testing.assert_close(together.text[1:2], alone.text)
    torch.testing.assert_close(together.score_map[1:2], alone.score_map)
    assert not torch.allclose(together.text[0], together.text[1])


ABLATIONS = {
    'no prompt encoder': (dict(prompt_encoder=None), 'prompt_encoder'),
    'no context decoder': (dict(context_decoder=None), 'context_decoder'),
    'neither': (dict(prompt_encoder=None, context_decoder=None), 'prompt_encoder'),
    'template': (dict(template='the {}', num_contexts=4), 'contexts'),
    'no contexts': (dict(num_contexts=0), 'contexts'),
    'learned matrix': (dict(encoder=None, embed_dim=32), 'text_encoder'),
    'two blocks, one layer': (dict(prompt_encoder=dict(num_layers=2, num_heads=4),
                                   context_decoder=dict(width=16, num_layers=1, num_heads=2, dropout=0.0)), None),
}


@pytest.mark.parametrize('ablation', ABLATIONS)
def test_every_part_can_be_left_out_or_replaced(ablation):
    arguments, absent = ABLATIONS[ablation]
    neck, feats = make(**arguments).train(), make_feats()
    out = neck(feats)
    assert out.score_map.shape == (2, 5, 3, 4) and out[-1].shape == (2, 15, 3, 4)
    assert absent is None or not any(absent in name for name, _ in neck.named_parameters())
    if arguments.get('context_decoder', {}) is None:
        assert not hasattr(neck, 'gamma')
        torch.testing.assert_close(out.text[0], out.text[1])
    trainable = [p for p in neck.parameters() if p.requires_grad]
    if trainable:
        (out.score_map * torch.randn(2, 5, 3, 4)).sum().backward()
        assert all(p.grad is not None and p.grad.any() for p in trainable)


def test_without_its_decoder_the_neck_needs_no_pooled_embedding():
    feats = make_feats()
    feats.pooled = None
    assert forward(make(context_decoder=None), feats).pooled is None


@pytest.mark.parametrize('feats, message', [
    (lambda: tuple(make_feats()), r'PromptLearnerNeck needs the image embedding .* with_embedding=True'),
    (lambda: VisionLanguageFeatures(make_feats()), r'PromptLearnerNeck needs the image embedding'),
    (lambda: VisionLanguageFeatures(make_feats(), dense=make_feats().dense), r'needs the image embedding'),
    (lambda: VisionLanguageFeatures(make_feats(), dense=torch.rand(2, 8, 3, 4), pooled=torch.rand(2, 8)),
     r'image embedding has 8 channels and the text embedding 32; arch of backbone and text_encoder'),
    (lambda: VisionLanguageFeatures(make_feats()[:1], dense=make_feats().dense, pooled=make_feats().pooled),
     r'last map of the backbone is \(8, 8\) \(h, w\), its embedding \(3, 4\); out_indices must end with the last'),
])
def test_features_that_do_not_fit_are_refused(feats, message):
    with pytest.raises(ValueError, match=message):
        make()(feats())


@pytest.mark.parametrize('names, message', [
    (['nose', 'nose'], r"\['nose'\] more than once"),
    (['nose', ''], 'every name must be a non-empty string'),
    (['nose', 'left front upper paw'], 'takes 6 tokens with start and end; the limit is 5'),
])
def test_bad_names_are_refused(names, message):
    with pytest.raises(ValueError, match=message):
        make(names)


def test_the_number_of_keypoints_is_free():
    for count in (1, 3, 40):
        out = forward(make([f'part {index}' for index in range(count)]), make_feats())
        assert out.score_map.shape == (2, count, 3, 4) and out[-1].shape[1] == 10 + count

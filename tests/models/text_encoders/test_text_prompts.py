import pytest
import torch
from mmengine.runner import load_checkpoint, save_checkpoint
from mmengine.runner.checkpoint import get_state_dict, weights_to_cpu

from clamp_mmpose.models import TextPrompts
from clamp_mmpose.testing import TINY_TEXT, randomize

NAMES = ('left eye', 'right eye', 'nose')
ENCODER = dict(type='CLIPTextEncoder', arch=TINY_TEXT)


def make(names=NAMES, *, seed=0, **arguments):
    return randomize(TextPrompts(names, dict(ENCODER), **arguments), seed=seed)


def embedding(prompts):
    with torch.no_grad():
        return prompts()


def test_it_is_one_embedding_per_name():
    prompts = make()
    assert embedding(prompts).shape == (1, 3, 32)
    assert prompts.contexts.shape == (1, 8, 32)


def test_contexts_start_from_a_normal_cut_at_two_standard_deviations():
    for std in (1.0, 0.02):
        contexts = TextPrompts(NAMES, dict(ENCODER, context_length=77), num_contexts=70, context_std=std).contexts
        assert contexts.abs().max() <= 2 * std
        # A normal cut at +-2 has 0.88 of its standard deviation left.
        assert contexts.std().item() == pytest.approx(0.88 * std, rel=0.05)


def test_a_template_puts_the_name_into_fixed_text():
    prompts = make(template='a photo of a {}')
    plain = make(['a photo of a left eye', 'a photo of a right eye', 'a photo of a nose'], num_contexts=0)
    torch.testing.assert_close(embedding(prompts), embedding(plain))
    assert not hasattr(prompts, 'contexts') and prompts.num_contexts == 0
    prompts.set_names(['tail'])
    torch.testing.assert_close(embedding(prompts), embedding(make(['a photo of a tail'], num_contexts=0)))


def test_no_contexts_leave_the_name_alone():
    prompts = make(num_contexts=0)
    assert [name for name, p in prompts.named_parameters() if p.requires_grad] == []
    assert embedding(prompts).shape == (1, 3, 32)


def test_a_learned_matrix_takes_the_place_of_text():
    prompts = TextPrompts(NAMES, None, embed_dim=6)
    assert [tuple(p.shape) for p in prompts.parameters()] == [(3, 6)]
    prompts().square().sum().backward()
    torch.testing.assert_close(prompts.embedding.grad, 2 * prompts.embedding.detach())


def test_other_names_give_what_a_new_module_gives():
    prompts = make()
    prompts.set_names(['tail', 'left front paw'])
    assert prompts.names == ('tail', 'left front paw')
    torch.testing.assert_close(embedding(prompts), embedding(make(['tail', 'left front paw'])))


def test_the_fused_embedding_is_the_one_before():
    prompts = make()
    before = embedding(prompts)
    prompts.fuse()
    torch.testing.assert_close(embedding(prompts), before, rtol=0, atol=0)
    assert list(prompts.state_dict()) == ['embedding'] and list(prompts.parameters()) == []
    prompts.fuse()  # a second time does nothing
    torch.testing.assert_close(embedding(prompts), before, rtol=0, atol=0)
    with pytest.raises(ValueError, match='names cannot change without a text tower'):
        prompts.set_names(['tail'])


def _plain(source, target, path):
    target.load_state_dict(source.state_dict(), strict=True)


def _mmengine(source, target, path):
    save_checkpoint(dict(state_dict=weights_to_cpu(get_state_dict(source))), str(path / 'weights.pth'))
    load_checkpoint(target, str(path / 'weights.pth'), strict=True)


@pytest.mark.parametrize('load', [_plain, _mmengine])
@pytest.mark.parametrize('source_fused', [False, True])
@pytest.mark.parametrize('target_fused', [False, True])
def test_checkpoints_load_with_and_without_the_tower(load, source_fused, target_fused, tmp_path):
    source, target = make(seed=1), make(seed=2)
    expected = embedding(source)
    if source_fused:
        source.fuse()
    if target_fused:
        target.fuse()
    load(source, target, tmp_path)
    torch.testing.assert_close(embedding(target), expected, rtol=0, atol=0)
    assert (target.text_encoder is None) == (source_fused or target_fused)
    assert target.names == NAMES


def test_a_checkpoint_as_a_plain_dict_loads_without_the_tower(tmp_path):
    source, target = make(seed=1), make(seed=2)
    source_embedding = embedding(source)
    target.fuse()
    target.load_state_dict(dict(source.state_dict()))
    torch.testing.assert_close(embedding(target), source_embedding)


def test_a_checkpoint_of_other_names_loads_through_its_tower():
    """From one dataset to another: the contexts and the tower are what is learned, the names come from the config."""
    source, target = make(['tail', 'withers'], seed=1), make(seed=2)
    target.load_state_dict(source.state_dict())
    expected = make(NAMES, seed=1)
    torch.testing.assert_close(embedding(target), embedding(expected))
    assert target.names == NAMES


@pytest.mark.parametrize('names', [('tail', 'withers'), ('nose', 'left eye', 'right eye')])
@pytest.mark.parametrize('target_fused', [False, True])
def test_embeddings_of_other_names_are_refused(names, target_fused):
    source, target = make(names), make()
    source.fuse()
    if target_fused:
        target.fuse()
    with pytest.raises(ValueError, match=rf'text embeddings of {len(names)} keypoints, .*keypoint_names asks for 3'):
        target.load_state_dict(source.state_dict())
    with pytest.raises(ValueError, match='text embeddings of 2 keypoints'):
        target.load_state_dict(dict(embedding=torch.zeros(2, 32)), strict=False)


@pytest.mark.parametrize('names, message', [
    ([], r'keypoint_names=\[\] must be a list of names'),
    ('nose', r"keypoint_names='nose' must be a list of names"),
    (['nose', ''], r"keypoint_names has ''; every name must be a non-empty string"),
    (['nose', ' '], r"keypoint_names has ' '; every name"),
    (['nose', 3], r'keypoint_names has 3; every name'),
    (['nose', 'tail', 'Nose'], r"keypoint_names has \['nose'\] more than once"),
    (['left eye', 'left  eye'], r"keypoint_names has \['left eye'\] more than once"),
    (['left eye', 'Left_Eye'], r"keypoint_names has \['left eye'\] more than once"),
    (['nose', '\u200b'], r'with characters that cannot be seen'),
    (['nose', '<end_of_text>'], r"'<end_of_text>' spells a start or end token"),
    (['nose', 'left front upper paw'], r"'left front upper paw' takes 6 tokens .* the limit is 5"),
])
def test_bad_names_are_refused(names, message):
    with pytest.raises(ValueError, match=message):
        TextPrompts(names, dict(ENCODER))
    with pytest.raises(ValueError, match=message):
        make().set_names(names)


@pytest.mark.parametrize('encoder, arguments, message', [
    (ENCODER, dict(template='a photo'), r"template='a photo' must hold '{}' once"),
    (ENCODER, dict(template='{} and {}'), r"must hold '{}' once"),
    (ENCODER, dict(num_contexts=-1), r'num_contexts=-1 must be 0 or more'),
    (ENCODER, dict(num_contexts=11), r'num_contexts=11 leaves no room for a name: context_length=13'),
    (ENCODER, dict(embed_dim=64), r'embed_dim=64 differs from the 32 of text_encoder'),
    (None, {}, r'the learned matrix needs embed_dim'),
])
def test_a_bad_argument_is_named_with_what_is_allowed(encoder, arguments, message):
    with pytest.raises(ValueError, match=message):
        TextPrompts(NAMES, encoder and dict(encoder), **arguments)

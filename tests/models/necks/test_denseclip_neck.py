"""DenseCLIP's neck: four ways of prompting, any backbone, maps that pass through."""
import pytest
import torch
import torch.nn.functional as F
from mmengine.registry import DefaultScope

from clamp_mmpose.models import DenseCLIPNeck
from clamp_mmpose.structures import VisionLanguageFeatures
from clamp_mmpose.testing import TINY_TEXT, randomize

NAMES = ('left eye', 'right eye', 'nose', 'tail root', 'left front paw')
ENCODER = dict(type='CLIPTextEncoder', arch=TINY_TEXT, context_length=20)


def make(prompting='post', **arguments):
    arguments = dict(context_decoder=dict(width=32)) | arguments
    return randomize(DenseCLIPNeck(list(NAMES), dict(ENCODER), prompting=prompting, **arguments)).eval()


def make_feats(batch=2, seed=0):
    generator = torch.Generator().manual_seed(seed)
    randn = lambda *shape: torch.randn(*shape, generator=generator)  # noqa: E731
    return VisionLanguageFeatures([randn(batch, 6, 8, 8), randn(batch, 10, 4, 4)],
                                  dense=randn(batch, 32, 4, 4), pooled=randn(batch, 32))


def forward(neck, feats):
    with torch.no_grad():
        return neck(feats)


def tokens(feats):
    return torch.cat([feats.pooled[:, None], feats.dense.flatten(2).mT], 1)


@pytest.mark.parametrize('prompting', ['post', 'pre', 'language', 'template'])
def test_the_score_map_is_the_cosine_and_is_appended_to_the_last_map(prompting):
    feats = make_feats()
    out = forward(make(prompting), feats)
    cosine = F.cosine_similarity(feats.dense[:, None], out.text[..., None, None], dim=2)
    torch.testing.assert_close(out.score_map, cosine)
    assert out.text.shape == (2, 5, 32) and out[0] is feats[0]
    torch.testing.assert_close(out[1], torch.cat([feats[1], cosine], 1))


def test_post_model_prompting_corrects_the_text_by_what_it_sees():
    neck, feats = make(), make_feats()
    with torch.no_grad():
        text = neck.prompts().expand(2, -1, -1)
        expected = text + neck.gamma * neck.context_decoder(text, tokens(feats))
    torch.testing.assert_close(forward(neck, feats).text, expected)


def test_pre_model_prompting_runs_the_text_tower_with_the_contexts_of_each_image():
    neck, feats = make('pre'), make_feats()
    out = forward(neck, feats)
    with torch.no_grad():
        queries = neck.prompts.contexts.expand(2, -1, -1)
        contexts = neck.visual_contexts(queries, tokens(feats))
        one_by_one = torch.cat([neck.prompts(contexts[i:i + 1]) for i in range(2)])
    torch.testing.assert_close(out.text, one_by_one)
    assert not torch.allclose(out.text[0], out.text[1], atol=1e-3)


@pytest.mark.parametrize('prompting', ['language', 'template'])
def test_without_visual_prompting_the_text_is_the_same_for_every_image(prompting):
    neck = make(prompting)
    with torch.no_grad():
        expected = neck.prompts().expand(2, -1, -1)
    for seed in (0, 1):
        torch.testing.assert_close(forward(neck, make_feats(seed=seed)).text, expected)
    learns = {name for name, parameter in neck.named_parameters() if parameter.requires_grad}
    assert learns == ({'prompts.contexts'} if prompting == 'language' else set())


def test_a_template_is_put_around_the_name():
    neck = make('template', template='the {} of an animal')
    from open_clip import get_tokenizer
    ids = get_tokenizer('ViT-B-16')(['the nose of an animal'])[0]
    assert [*map(int, neck.prompts.packed.suffix)].count(int(ids[1])) == len(NAMES)  # 'the'


def test_gamma_starts_at_a_ten_thousandth_and_hardly_moves_the_text():
    neck = DenseCLIPNeck(list(NAMES), dict(ENCODER)).eval()
    assert neck.gamma.unique().tolist() == pytest.approx([1e-4])
    with torch.no_grad():
        before, after = neck.prompts()[0], forward(neck, make_feats(1)).text[0]
    assert 0 < ((after - before).norm() / before.norm()) < 1e-3


@pytest.mark.parametrize('prompting, learns', [
    ('post', {'prompts.contexts', 'gamma', 'context_decoder'}), ('pre', {'prompts.contexts', 'visual_contexts'})])
def test_gradients_reach_what_learns_and_not_the_text_tower(prompting, learns):
    neck = make(prompting).train()
    out = neck(make_feats())
    out[-1].square().sum().backward()
    for name, parameter in neck.named_parameters():
        if 'text_encoder' in name:
            assert parameter.grad is None
        else:
            assert parameter.grad.abs().sum() > 0 and name.startswith(tuple(learns)), name


def test_tau_divides_what_is_appended_and_leaves_the_cosine():
    feats = make_feats()
    plain, divided = (forward(make(tau=tau), feats) for tau in (1.0, 0.07))
    torch.testing.assert_close(divided.score_map, plain.score_map)
    torch.testing.assert_close(divided[-1][:, 10:], plain.score_map / 0.07)


def test_the_score_map_goes_to_the_map_asked_for_in_its_size():
    feats = make_feats()
    out = forward(make(score_index=0), feats)
    assert out[1] is feats[1] and out[0].shape == (2, 6 + 5, 8, 8) and out.score_map.shape == (2, 5, 4, 4)
    torch.testing.assert_close(out[0][:, 6:], F.interpolate(out.score_map, size=(8, 8), mode='bilinear'))


@pytest.mark.parametrize('kind', ['DenseAttentionPool', 'DenseProjection'])
def test_a_backbone_without_embedding_gets_one(kind):
    maps = [torch.randn(2, 6, 8, 8), torch.randn(2, 64, 4, 4)]
    neck = make(embedding=dict(type=kind, in_channels=64))
    out = forward(neck, maps)  # a list, as some backbones return
    assert out.dense.shape == (2, 32, 4, 4) and out.pooled.shape == (2, 32) and out[-1].shape == (2, 69, 4, 4)
    torch.testing.assert_close(out.score_map,
                               F.cosine_similarity(out.dense[:, None], out.text[..., None, None], dim=2))


def test_what_follows_gets_the_maps_and_the_extras_stay():
    neck = make(next_neck=dict(type='FeatureMapProcessor', concat=True))
    feats = make_feats()
    out = forward(neck, feats)
    assert len(out) == 1 and out[0].shape == (2, 6 + 10 + 5, 8, 8)
    assert out.score_map.shape == (2, 5, 4, 4) and out.dense is feats.dense


def test_a_vit_gives_four_strides():
    maps = [torch.randn(2, 8, 4, 6) for _ in range(4)]
    dense = torch.randn(2, 32, 4, 6)
    neck = make(pyramid=dict(in_channels=8))
    out = forward(neck, VisionLanguageFeatures(maps, dense=dense, pooled=torch.randn(2, 32)))
    assert [tuple(x.shape[1:]) for x in out] == [(8, 16, 24), (8, 8, 12), (13, 4, 6), (8, 2, 3)]
    with pytest.raises(ValueError, match=r'takes 4 maps of the ViT and gets 1; set out_indices=\(3, 5, 7, 11\)'):
        forward(neck, VisionLanguageFeatures(maps[:1], dense=dense, pooled=torch.randn(2, 32)))
    with pytest.raises(ValueError, match=r'in_channels=8 of pyramid, but the maps of the backbone have \[9\] channels'):
        forward(neck, VisionLanguageFeatures([torch.randn(2, 9, 4, 6)] * 4, dense=dense, pooled=torch.randn(2, 32)))


def count_runs(neck):
    runs = []
    neck.prompts.text_encoder.register_forward_hook(lambda *args: runs.append(1))
    return runs


@pytest.mark.parametrize('prompting, expected', [('post', 1), ('language', 1), ('template', 1), ('pre', 2)])
def test_text_is_cached_in_eval_mode_unless_it_depends_on_the_image(prompting, expected):
    neck = make(prompting)
    runs = count_runs(neck)
    for seed in (0, 1):
        forward(neck, make_feats(seed=seed))
    assert len(runs) == expected


@pytest.mark.parametrize('prompting', ['post', 'language', 'template'])
def test_fusing_changes_nothing_but_the_tower(prompting):
    neck, feats = make(prompting), make_feats()
    before = forward(neck, feats)
    neck.fuse_text()
    assert neck.prompts.text_encoder is None
    torch.testing.assert_close(forward(neck, feats)[-1], before[-1])


def test_pre_model_prompting_cannot_be_fused_and_says_so():
    neck = make('pre')
    with pytest.raises(ValueError, match="cannot be fused: with prompting='pre' the contexts come from each image"):
        neck.fuse_text()
    assert 'prompts.embedding' not in neck.state_dict()


    neck.switch_to_deploy()  # what MMPose calls: the tower stays
    assert neck.prompts.text_encoder is not None
    fused = make()
    fused.fuse_text()
    with pytest.raises(ValueError, match="no text tower, which prompting='pre' runs for every image"):
        neck.prompts.load_state_dict(fused.prompts.state_dict(), strict=False)


def test_checkpoints_of_another_prompting_are_refused():
    post, pre = make(), make('pre')
    with pytest.raises(ValueError, match="another prompting: there it is 'pre', here it is not"):
        post.load_state_dict(pre.state_dict(), strict=False)
    with pytest.raises(ValueError, match="another prompting: there it is not 'pre', here it is"):
        pre.load_state_dict(post.state_dict(), strict=False)
    other = make('pre', context_decoder=dict(width=64))
    with pytest.raises(ValueError, match='another context_decoder: visual_contexts'):
        pre.load_state_dict(other.state_dict(), strict=False)


@pytest.mark.parametrize('arguments, message', [
    (dict(prompting='both'), "prompting='both' must be one of post, pre, language, template"),
    (dict(tau=0), 'tau=0 must be a number above 0'),
    (dict(prompting='pre', num_contexts=0), "num_contexts=0 must be 1 or more for prompting='pre'"),
    (dict(tau=None), 'tau=None must be a number above 0'),
    (dict(score_index='last'), "score_index='last' must be the number of a map, or None"),
    (dict(template='a {}'), "template='a {}' belongs to prompting='template', but prompting='post'"),
    (dict(text_encoder=None), 'text_encoder=None must be a config dict'),
    (dict(context_decoder=None), 'context_decoder=None must be a config dict'),
    (dict(context_decoder=dict(num_layers=0)), 'num_layers=0 must be 1 or more'),
    (dict(embedding=dict(type='DenseProjection', in_channels=8, embed_dim=64)), 'with embed_dim=32 as the text has it'),
    (dict(embedding=dict(type='DenseProjection', in_channels=0)), 'in_channels=0 must be 1 or more'),
    (dict(embedding=dict(type='DenseAttentionPool', in_channels=64, input_size=64)), 'input_size=64 must be two whole'),
    (dict(embedding=dict(type='DenseAttentionPool', in_channels=64, stride=0)), 'stride=0 must be 1 or more'),
    (dict(num_contexts=80), 'num_contexts=80 leaves no room for a name: context_length=20'),
    (dict(names='nose'), "^names='nose' must be a list of names"),
    (dict(names={'nose', 'tail'}), '^names=.* must be a list of names'),
    (dict(names=['nose', '']), "^names has ''; every name must be"),
    (dict(names=['nose', 'Nose']), r"^names has \['nose'\] more than once"),
    (dict(names=['a very long name of one class that goes on and on and on', 'nose']), 'the limit is 12'),
    (dict(embedding=dict(type='DenseAttentionPool', in_channels=30, num_heads=4)), 'num_heads=4 does not divide'),
])
def test_a_bad_argument_is_named_with_what_is_allowed(arguments, message):
    with pytest.raises(ValueError, match=message):
        DenseCLIPNeck(**(dict(names=list(NAMES), text_encoder=dict(ENCODER)) | arguments))


def test_a_following_neck_that_does_not_count_the_names_is_refused():
    class FromTheCoarsest(torch.nn.Module):
        in_channels = [15, 6]

        def forward(self, maps):
            return maps[::-1]

    neck = make()
    neck.next_neck = FromTheCoarsest()
    assert forward(neck, make_feats())[0].shape[1] == 15
    neck = make(next_neck=dict(type='FPN', in_channels=[6, 10], out_channels=8, num_outs=2))
    with pytest.raises(ValueError, match=r'in_channels=\[6, 10\] of next_neck, but it gets maps of \[6, 15\] channels'):
        neck(make_feats())


@pytest.mark.parametrize('arguments, feats, message', [
    ({}, [torch.ones(2, 10, 4, 4)], r"needs the image embedding of its backbone.*embedding=dict\(type='DenseAtten"),
    (dict(embedding=dict(type='DenseProjection', in_channels=64)), [torch.ones(2, 10, 4, 4)],
     'in_channels=64 of embedding, but the last map of the backbone has 10 channels'),
    (dict(score_index=2), make_feats(), 'score_index=2, but the backbone gives 2 maps'),
    ({}, VisionLanguageFeatures([torch.ones(2, 10, 4, 4)], dense=torch.ones(2, 7, 4, 4), pooled=torch.ones(2, 7)),
     'image embedding has 7 channels and the text embedding 32'),
])
def test_features_that_do_not_fit_are_refused(arguments, feats, message):
    with pytest.raises(ValueError, match=message):
        make(**arguments)(feats)


def test_it_builds_under_the_scope_of_mmdetection():
    with DefaultScope.overwrite_default_scope('mmdet'):
        neck = make(embedding=dict(type='DenseProjection', in_channels=64))
    assert forward(neck, [torch.randn(1, 64, 4, 4)])[-1].shape == (1, 69, 4, 4)

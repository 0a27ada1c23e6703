"""One training step of whole CLAMP models: what gets a gradient, what changes, and at which precision."""
import copy
import pickle

import pytest
import torch
from mmpose.models import build_pose_estimator
from torch import nn

from clamp_mmpose.testing import pack_batch, randomize, tiny_clamp_model

KINDS = ('vit', 'resnet')


def make(kind='vit', **arguments):
    config = tiny_clamp_model(kind, **arguments)
    model = randomize(build_pose_estimator(config)).train()
    return model, model.data_preprocessor(pack_batch(config['head']['decoder'], 5, batch_size=4), True)


def total_loss(model, data):
    losses = model(**copy.deepcopy(data), mode='loss')
    return sum(value for name, value in losses.items() if 'loss' in name)


@pytest.mark.parametrize('kind', KINDS)
def test_every_trainable_weight_gets_a_gradient(kind):
    """So DistributedDataParallel needs no find_unused_parameters."""
    model, data = make(kind)
    total_loss(model, data).backward()
    without = {name for name, p in model.named_parameters() if p.grad is None}
    assert without and all(name.startswith('neck.prompts.text_encoder.tower.') for name in without)
    # A softmax does not change when all keys are moved: their bias has no effect, in any attention.
    zero = {name for name, p in model.named_parameters() if p.grad is not None and not p.grad.any()}
    assert {name for name in zero if 'k_proj.bias' not in name} == set()
    assert all(torch.isfinite(p.grad).all() for p in model.parameters() if p.grad is not None)


@pytest.mark.parametrize('kind', KINDS)
def test_a_step_changes_everything_but_the_text_tower(kind):
    model, data = make(kind)
    before = copy.deepcopy(dict(model.named_parameters()))
    optimizer = torch.optim.AdamW([p for p in model.parameters() if p.requires_grad], lr=1e-3)
    total_loss(model, data).backward()
    optimizer.step()
    for name, parameter in model.named_parameters():
        assert torch.equal(parameter, before[name]) == ('text_encoder' in name), name
    parts = 'contexts gamma logit_scale prompt_encoder context_decoder score_head deconv_layers final_layer tower'
    assert all(any(part in name for name in before) for part in parts.split())


@pytest.mark.parametrize('lost', [('feature_loss', ), ('spatial_loss', ), ('spatial_loss', 'feature_loss')])
def test_without_a_loss_nothing_is_left_that_gets_no_gradient(lost):
    model, data = make(head=dict.fromkeys(lost))
    total_loss(model, data).backward()
    assert all(p.grad is not None for p in model.parameters() if p.requires_grad)


@pytest.mark.parametrize('neck', [
    dict(prompt_encoder=None), dict(context_decoder=None), dict(template='the {}', num_contexts=0),
    dict(text_encoder=None, embed_dim=32), dict(num_contexts=0)
])
def test_every_ablation_trains_all_that_it_has(neck):
    model, data = make(neck=neck)
    total_loss(model, data).backward()
    assert all(p.grad is not None for p in model.parameters() if p.requires_grad)


@pytest.mark.parametrize('kind', KINDS)
def test_the_loss_falls(kind):
    model, data = make(kind)
    optimizer = torch.optim.AdamW([p for p in model.parameters() if p.requires_grad], lr=2e-3)
    losses = []
    for _ in range(15):
        optimizer.zero_grad()
        loss = total_loss(model, data)
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    assert losses[-1] < 0.6 * losses[0]


@pytest.mark.parametrize('dtype', [torch.bfloat16, torch.float16])
@pytest.mark.parametrize('kind', KINDS)
def test_a_step_in_half_precision_is_finite_and_near_the_full_one(kind, dtype):
    """As AmpOptimWrapper runs it: autocast around the forward pass."""
    model, data = make(kind, neck=dict(context_decoder=dict(width=32, dropout=0.0)))
    state = copy.deepcopy(model.state_dict())
    full = model(**copy.deepcopy(data), mode='loss')
    model.load_state_dict(state)
    with torch.autocast('cpu', dtype=dtype):
        half = model(**copy.deepcopy(data), mode='loss')
    sum(value for name, value in half.items() if 'loss' in name).backward()
    for name in ('loss_kpt', 'loss_spatial', 'loss_feature'):
        assert half[name].item() == pytest.approx(full[name].item(), rel=0.1)
    for name, parameter in model.named_parameters():
        if parameter.requires_grad:
            assert parameter.grad.dtype == torch.float32 and torch.isfinite(parameter.grad).all(), name


def test_prediction_in_bfloat16_keeps_the_text_in_full_precision():
    model, data = make()
    model.eval()
    with torch.no_grad():
        full = model(**copy.deepcopy(data), mode='predict')
        model.neck.train().eval()  # forget the text
        with torch.autocast('cpu', dtype=torch.bfloat16):
            half = model(**copy.deepcopy(data), mode='predict')
            assert model.neck.encode_text().dtype == torch.float32
    for a, b in zip(full, half):
        torch.testing.assert_close(
            *(torch.from_numpy(r.pred_instances.keypoint_scores) for r in (a, b)), rtol=0.1, atol=0.02)


@pytest.mark.parametrize('copied', [copy.deepcopy, lambda m: pickle.loads(pickle.dumps(m))], ids=['deepcopy', 'pickle'])
@pytest.mark.parametrize('kind', KINDS)
def test_a_copy_of_the_model_is_its_own(kind, copied):
    model, data = make(kind, drop_path_rate=0.2)
    model.eval()
    image = data['inputs']
    with torch.no_grad():
        expected = model(image, None, mode='tensor')
        clone = copied(model)
        torch.testing.assert_close(clone(image, None, mode='tensor'), expected, rtol=0, atol=0)
        for parameter in clone.parameters():
            parameter.zero_()
        torch.testing.assert_close(model(image, None, mode='tensor'), expected, rtol=0, atol=0)
    hooks = [m for m in clone.modules() if isinstance(m, (nn.Identity, nn.BatchNorm2d)) and m._forward_hooks]
    assert hooks  # stochastic depth came along


@pytest.mark.parametrize('kind', KINDS)
def test_initialisation_through_mmengine_leaves_the_towers_alone(kind):
    """MMPose's heads start from a normal of 0.001; nothing of CLIP, of the prompts or of the score head does."""
    model, _ = make(kind)
    before = copy.deepcopy(model.state_dict())
    model.init_weights()
    changed = {name for name, value in model.state_dict().items() if not torch.equal(value, before[name])}
    assert changed and all(name.startswith(('head.deconv_layers', 'head.final_layer', 'head.score_head'))
                           for name in changed)
    assert model.head.deconv_layers[0].weight.std().item() == pytest.approx(1e-3, rel=0.1)
    assert model.head.score_head.deconv_layers[0].weight.std() > 0.01

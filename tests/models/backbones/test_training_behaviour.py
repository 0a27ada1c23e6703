import copy

import pytest
import torch
from torch import nn

from clamp_mmpose.models import CLIPResNet, CLIPVisionTransformer
from clamp_mmpose.testing import TINY_RESNET, TINY_VIT, randomize

DEEP_RESNET = dict(TINY_RESNET, layers=[1, 2, 1, 1])


def resnet(**arguments):
    return randomize(CLIPResNet(DEEP_RESNET, **{'input_size': (64, 64), **arguments}))


def vit(**arguments):
    return randomize(CLIPVisionTransformer(TINY_VIT, **{'input_size': (64, 64), **arguments}))


def image(batch=2):
    return torch.randn(batch, 3, 64, 64)


def total(feats):
    """A scalar that every output takes part in, with an uneven gradient."""
    outputs = [*feats, *(x for x in (feats.dense, feats.pooled) if x is not None)]
    return sum((x * torch.linspace(-1, 1, x.numel()).reshape(x.shape)).sum() for x in outputs)


@pytest.mark.parametrize('make', [resnet, vit])
@pytest.mark.parametrize('with_embedding', [True, False])
def test_every_parameter_takes_part_in_the_outputs(make, with_embedding):
    backbone = make(with_embedding=with_embedding)
    total(backbone(image())).backward()
    assert [name for name, p in backbone.named_parameters() if p.grad is None or not p.grad.any()] == []


@pytest.mark.parametrize('make, out_indices, left', [
    (resnet, (0, ), 'layer1'),
    (resnet, (0, 2), 'layer3'),
    (vit, (0, ), 'resblocks.0'),
    (vit, (0, 1), 'resblocks.1'),
])
def test_without_embedding_what_lies_behind_the_last_output_is_left_out(make, out_indices, left):
    backbone = make(with_embedding=False, out_indices=out_indices).eval()
    whole = make(out_indices=out_indices).eval()
    assert not whole.load_state_dict({**whole.state_dict(), **backbone.state_dict()}).missing_keys
    feats = backbone(image(1))
    total(feats).backward()
    assert all(p.grad is not None for p in backbone.parameters())
    names = [name for name, _ in backbone.named_parameters()]
    assert any(left in name for name in names)
    assert len(names) < len(list(whole.parameters()))
    assert feats.dense is None and feats.pooled is None
    torch.manual_seed(1)
    x = image(1)
    torch.testing.assert_close(tuple(backbone(x)), tuple(whole(x)))


def _prefixes(make, frozen_stages):
    if make is resnet:
        parts = ['tower.conv', 'tower.bn'], *([f'tower.layer{n}.'] for n in range(1, 5))
    else:
        parts = (['tower.conv1', 'tower.class_embedding', 'tower.positional_embedding', 'tower.ln_pre'],
                 *([f'tower.transformer.resblocks.{n}.'] for n in range(3)))
    return tuple(prefix for part in parts[:frozen_stages + 1] for prefix in part)


@pytest.mark.parametrize('make, frozen_stages', [(resnet, n) for n in range(-1, 5)] + [(vit, n) for n in range(-1, 4)])
def test_frozen_stages_take_no_gradient_and_the_others_do(make, frozen_stages):
    backbone = make(frozen_stages=frozen_stages).train()
    total(backbone(image())).backward()
    frozen = {name for name, p in backbone.named_parameters() if not p.requires_grad}
    prefixes = _prefixes(make, frozen_stages)
    assert frozen == {name for name, _ in backbone.named_parameters() if name.startswith(prefixes)}
    assert all((p.grad is None) == (name in frozen) for name, p in backbone.named_parameters())


def test_frozen_stages_keep_their_batch_norm_statistics():
    backbone = resnet(frozen_stages=1).train()
    before = copy.deepcopy(backbone.state_dict())
    backbone(image())
    changed = {key.split('.')[1] for key, value in backbone.state_dict().items() if not torch.equal(value, before[key])}
    assert changed == {'layer2', 'layer3', 'layer4'}
    assert not backbone.tower.bn1.training and not backbone.tower.layer1[0].bn1.training
    assert backbone.tower.layer2[0].bn1.training
    backbone.eval()
    assert not backbone.tower.layer2[0].bn1.training


def test_norm_eval_keeps_all_statistics_and_trains_the_weights():
    backbone = resnet(norm_eval=True).train()
    before = {name: value.clone() for name, value in backbone.named_buffers()}
    total(backbone(image())).backward()
    for name, value in backbone.named_buffers():
        torch.testing.assert_close(value, before[name], rtol=0, atol=0, msg=name)
    assert backbone.tower.bn1.weight.grad.any()


def _branches(backbone):
    """Per block, the modules whose output is added to the residual stream."""
    tower = backbone.tower
    if isinstance(backbone, CLIPVisionTransformer):
        return [[block.ls_1, block.ls_2] for block in tower.transformer.resblocks]
    return [[block.bn3] for layer in (tower.layer1, tower.layer2, tower.layer3, tower.layer4) for block in layer]


@pytest.mark.parametrize('make', [resnet, vit])
def test_drop_path_drops_branches_of_single_images_linearly_over_the_blocks(make):
    rate, batch = 0.8, 4000
    backbone = make(drop_path_rate=rate).train()
    blocks = _branches(backbone)
    for index, block in enumerate(blocks):
        expected = rate * index / (len(blocks) - 1)
        for module in block:
            plain = copy.deepcopy(module)
            plain._forward_hooks.clear()
            x = torch.randn(batch, *((module.num_features, 1, 1) if isinstance(module, nn.BatchNorm2d) else (3, 32)))
            reference, dropped = plain(x), module(x)
            kept = dropped.flatten(1).any(1)
            # Whole images are dropped, the others scaled so that the mean stays.
            torch.testing.assert_close(dropped[kept], reference[kept] / (1 - expected))
            assert abs((~kept).float().mean().item() - expected) < 0.04


@pytest.mark.parametrize('make', [resnet, vit])
def test_drop_path_is_off_in_eval_and_at_rate_zero(make):
    plain = make()
    dropping, zero = make(drop_path_rate=0.9), make(drop_path_rate=0.0)
    x = image(4)
    with torch.no_grad():
        torch.testing.assert_close(tuple(dropping.eval()(x)), tuple(plain.eval()(x)), rtol=0, atol=0)
        torch.testing.assert_close(tuple(zero.train()(x)), tuple(plain.train()(x)), rtol=0, atol=0)
        assert not torch.equal(dropping.train()(x)[-1], plain(x)[-1])


@pytest.mark.parametrize('make', [resnet, vit])
@pytest.mark.parametrize('drop_path_rate', [0.0, 0.5])
def test_gradient_checkpointing_changes_nothing_but_memory(make, drop_path_rate):
    x = image(4)
    grads, outputs = [], []
    for with_cp in (False, True):
        backbone = make(with_cp=with_cp, drop_path_rate=drop_path_rate).train()
        torch.manual_seed(3)
        feats = backbone(x.clone().requires_grad_())
        total(feats).backward()
        outputs.append((*feats, feats.dense, feats.pooled))
        grads.append([p.grad for p in backbone.parameters()])
    torch.testing.assert_close(outputs[1], outputs[0], rtol=0, atol=0)
    torch.testing.assert_close(grads[1], grads[0])


def test_gradient_checkpointing_counts_each_batch_once_in_batch_norm():
    x, states = image(), []
    for with_cp in (False, True):
        backbone = resnet(with_cp=with_cp).train()
        total(backbone(x.clone().requires_grad_())).backward()
        states.append(dict(backbone.named_buffers()))
        assert all(module.momentum == 0.1 for module in backbone.modules() if hasattr(module, 'running_mean'))
    torch.testing.assert_close(states[1], states[0])


@pytest.mark.parametrize('make', [resnet, vit])
def test_gradient_checkpointing_saves_activations(make):
    saved = []
    for with_cp in (False, True):
        backbone, count = make(with_cp=with_cp).train(), [0]

        def pack(tensor, count=count):
            count[0] += tensor.numel()
            return tensor

        with torch.autograd.graph.saved_tensors_hooks(pack, lambda tensor: tensor):
            backbone(image())
        saved.append(count[0])
    assert saved[1] < 0.6 * saved[0]


@pytest.mark.parametrize('make', [resnet, vit])
def test_images_of_a_batch_do_not_see_each_other_in_eval(make):
    backbone = make().eval()
    x = image(3)
    with torch.no_grad():
        together = backbone(x)
        alone = backbone(x[1:2])
    torch.testing.assert_close(together.dense[1:2], alone.dense)
    torch.testing.assert_close(together.pooled[1:2], alone.pooled)


def test_sync_batch_norm_keeps_frozen_stages_and_stochastic_depth():
    """MMEngine's ``sync_bn='torch'`` replaces every batch norm of a finished model."""
    backbone = nn.SyncBatchNorm.convert_sync_batchnorm(resnet(frozen_stages=1, drop_path_rate=0.8))
    before = [block.bn3._forward_hooks for block in backbone.tower.layer2]
    assert not any(before)
    backbone.train().train()
    frozen = [backbone.tower.bn1, backbone.tower.bn3, backbone.tower.layer1[0].bn1]
    assert isinstance(frozen[0], nn.SyncBatchNorm) and not any(module.training for module in frozen)
    assert backbone.tower.layer2[0].bn1.training
    hooks = [list(block.bn3._forward_hooks.values()) for stage in (2, 3, 4)
             for block in getattr(backbone.tower, f'layer{stage}')]
    assert [[hook.probability for hook in of_block] for of_block in hooks] == [
        [pytest.approx(0.8 * index / 4)] for index in range(1, 5)]

"""MeTTA's stages: what each trains and by which loss."""
import copy
import math

import pytest
import torch
from mmengine.logging import MMLogger
from mmengine.optim import OptimWrapper
from mmpose.models import build_pose_estimator
from mmpose.models.heads import HeatmapHead
from mmpose.registry import MODELS
from torch.func import functional_call
from torch.nn.modules.batchnorm import _NormBase
from torch.testing import assert_close

from clamp_mmpose.testing import calibrate_norms, pack_batch, randomize, tiny_metta_model

RATE = 1e-3


def make(stage='joint', batch_size=3, dtype=torch.float32, **arguments):
    config = tiny_metta_model(stage, **arguments)
    model = randomize(build_pose_estimator(config)).to(dtype).train()
    batch = pack_batch(config['head']['decoder'], 5, batch_size=batch_size)
    data = model.data_preprocessor(copy.deepcopy(batch), True)
    data['inputs'] = data['inputs'].to(dtype)
    for sample in data['data_samples']:
        sample.gt_fields.heatmaps = sample.gt_fields.heatmaps.to(dtype)
    calibrate_norms(model, lambda: model.head.adaptation_loss(model.extract_feat(data['inputs']), data['inputs']))
    return model, data, batch


def total(losses):
    return sum(value for name, value in losses.items() if 'loss' in name)


def without_gradient(model):
    return {name for name, p in model.named_parameters() if p.requires_grad and p.grad is None}


def test_the_joint_loss_is_the_supervised_one_and_a_share_of_the_auxiliary_one():
    model, data, _ = make(auxiliary_weight=0.3)
    torch.manual_seed(2)
    losses = model(**data, mode='loss')
    model.eval()
    feats = model.train().extract_feat(data['inputs'])
    torch.manual_seed(2)
    expected = 0.3 * model.head.auxiliary_loss(feats, data['inputs']).mean()
    assert_close(losses['loss_auxiliary'], expected)
    assert set(losses) == {'loss_kpt', 'acc_pose', 'loss_auxiliary'}


def test_the_joint_stage_trains_everything():
    model, data, _ = make()
    total(model(**data, mode='loss')).backward()
    assert all(p.requires_grad for p in model.parameters()) and without_gradient(model) == set()
    assert all(module.training for module in model.modules() if isinstance(module, _NormBase))


def reference_meta_loss(model, data, steps, lr, order):
    """One image at a time, with autograd in place of torch.func."""
    heatmaps = []
    feats = model.extract_feat(data['inputs'])
    for index, image in enumerate(data['inputs']):
        own, one = dict(model.head.adaptable_parameters()), (feats[0][index:index + 1], )
        for _ in range(steps):

            class Loss(torch.nn.Module):

                def __init__(self):
                    super().__init__()
                    self.head = model.head

                def forward(self, feats, images):
                    return self.head.adaptation_loss(feats, images)

            loss = functional_call(Loss(), {f'head.{name}': p for name, p in own.items()}, (one, image[None])).sum()
            slopes = torch.autograd.grad(loss, list(own.values()), create_graph=order == 2)
            own = {name: p - lr * slope for (name, p), slope in zip(own.items(), slopes)}
        heatmaps.append(functional_call(model.head, own, (one, )))
    target = torch.stack([sample.gt_fields.heatmaps for sample in data['data_samples']])
    return (torch.cat(heatmaps) - target).square().mean()


@pytest.mark.parametrize('order', [1, 2])
def test_the_meta_loss_is_the_supervised_one_of_the_adapted_heads(order):
    model, data, _ = make('meta', dtype=torch.float64, inner_loop=dict(steps=3, lr=RATE, order=order))
    loss = model(**data, mode='loss')['loss_kpt']
    expected = reference_meta_loss(model, data, 3, RATE, order)
    assert_close(loss, expected)
    unadapted = reference_meta_loss(model, data, 0, RATE, order)
    assert (loss - unadapted).abs() > 1e-5
    trained = {name: p for name, p in model.named_parameters() if p.requires_grad}
    got = dict(zip(trained, torch.autograd.grad(loss, trained.values())))
    assert_close(got, dict(zip(trained, torch.autograd.grad(expected, trained.values()))), rtol=1e-6, atol=1e-9)


def test_after_the_joint_stage_the_backbone_and_all_norms_are_frozen():
    model, data, _ = make('meta')
    before = copy.deepcopy(model.state_dict())
    optimizer = torch.optim.SGD([p for p in model.parameters() if p.requires_grad], lr=10.0)
    total(model(**data, mode='loss')).backward()
    optimizer.step()
    changed = {name for name, value in model.state_dict().items() if not torch.equal(value, before[name])}
    assert all(name.startswith('head.') and 'deconv' not in name for name in changed)
    assert {'head.conv_layers.0.weight', 'head.final_layer.bias', 'head.self_supervised_layer.weight'} <= changed
    norms = {name for name, module in model.named_modules() if isinstance(module, _NormBase)}
    assert len(norms) > 20 and not any(name.rpartition('.')[0] in norms for name in changed)
    assert not any(model.get_submodule(name).training for name in norms)
    assert not model.backbone.training and model.head.training


@pytest.mark.parametrize('arguments, trained', [
    (dict(), True), (dict(update_auxiliary=False), False), (dict(inner_loop=dict(order=1)), False),
    (dict(inner_loop=dict(order=1), meta_auxiliary_weight=0.1), True), (dict(inner_loop=dict(steps=0)), False),
    (dict(head=dict(inpainting_loss='l1')), True), (dict(inner_loop=dict(learned_rates=True)), True),
])
def test_every_trainable_weight_of_the_meta_stage_gets_a_gradient(arguments, trained):
    """So DistributedDataParallel needs no find_unused_parameters."""
    model, data, _ = make('meta', **arguments)
    total(model(**data, mode='loss')).backward()
    assert without_gradient(model) == set()
    assert any(p.requires_grad for p in model.head.inpainting.parameters()) == trained


def test_the_second_order_reaches_the_whole_auxiliary_network():
    model, data, _ = make('meta', dtype=torch.float64, inner_loop=dict(lr=RATE))
    total(model(**data, mode='loss')).backward()
    assert all(p.grad.any() for p in model.head.inpainting.parameters() if p.requires_grad)


def test_the_unadapted_auxiliary_loss_may_be_kept():
    model, data, _ = make('meta', meta_auxiliary_weight=0.5)
    losses = model(**data, mode='loss')
    with torch.no_grad():
        expected = 0.5 * model.head.adaptation_loss(model.extract_feat(data['inputs']), data['inputs']).mean()
    assert_close(losses['loss_auxiliary'].detach(), expected)


def test_learned_rates_start_at_the_given_one_and_stay_positive():
    fixed, data, _ = make('meta', dtype=torch.float64, inner_loop=dict(lr=RATE))
    learned, *_ = make('meta', dtype=torch.float64, inner_loop=dict(lr=RATE, learned_rates=True))
    learned.load_state_dict(fixed.state_dict(), strict=False)
    with torch.no_grad():
        learned.log_rates.fill_(math.log(RATE))
    assert_close(learned(**data, mode='loss')['loss_kpt'], fixed(**data, mode='loss')['loss_kpt'])
    total(learned(**data, mode='loss')).backward()
    assert learned.log_rates.grad.abs().min() > 0
    with torch.no_grad():
        learned.log_rates -= 100
    assert all(rate > 0 for rate in learned.rates().values())
    config = tiny_metta_model('meta', inner_loop=dict(lr=0.02, learned_rates=True))
    assert_close(build_pose_estimator(config).log_rates.exp().detach(), torch.full((5, ), 0.02))


@pytest.mark.parametrize('stage', ['joint', 'meta'])
@pytest.mark.parametrize('accumulate, dtype', [(1, None), (2, None), (1, torch.bfloat16)])
def test_the_loss_falls(stage, accumulate, dtype):
    """By MMEngine's optimizer wrapper, which accumulates gradients, and in mixed precision."""
    model, _, batch = make(stage, inner_loop=dict(steps=2, lr=1e-4))
    wrapper = OptimWrapper(torch.optim.Adam([p for p in model.parameters() if p.requires_grad], lr=3e-3), accumulate)
    wrapper.initialize_count_status(model, 0, 10)
    losses = []
    for _ in range(10):
        with torch.autocast('cpu', dtype, enabled=dtype is not None):
            losses.append(float(model.train_step(copy.deepcopy(batch), wrapper)['loss_kpt']))
    assert losses[-1] < 0.8 * losses[0]


def test_half_precision_adapts_as_full_precision():
    model, data, _ = make('meta', inner_loop=dict(lr=RATE))
    full = model(**data, mode='loss')['loss_kpt']
    with torch.autocast('cpu', torch.bfloat16):
        half = model(**data, mode='loss')['loss_kpt']
    assert half.dtype == torch.float32
    assert_close(half, full, rtol=0.1, atol=0)
    assert not torch.equal(half, full)


class TwoMethodHead(HeatmapHead):
    """Any head becomes adaptable by the two methods alone."""

    def adaptable_parameters(self):
        return {name: p for name, p in self.named_parameters() if name.startswith('final_layer.')}

    def adaptation_loss(self, feats, images):
        return self.forward(feats).square().mean((1, 2, 3))


@pytest.fixture
def two_method_head():
    MODELS.register_module(module=TwoMethodHead)
    yield dict(_delete_=True, type='TwoMethodHead', inpainting=None)
    MODELS.module_dict.pop('TwoMethodHead')


@pytest.mark.parametrize('stage', ['joint', 'meta'])
def test_another_head_becomes_adaptable_by_two_methods(stage, two_method_head):
    config = tiny_metta_model(stage, inner_loop=dict(lr=0.5))
    config['head'] = dict(type='TwoMethodHead', in_channels=32, out_channels=5, decoder=config['head']['decoder'],
                          deconv_out_channels=(8, 8), deconv_kernel_sizes=(4, 4))
    config['test_cfg'] = dict(adaptation=dict(steps=2, guard=False))
    model = randomize(build_pose_estimator(config)).train()
    batch = pack_batch(config['head']['decoder'], 5, batch_size=2)
    losses = model(**model.data_preprocessor(copy.deepcopy(batch), True), mode='loss')
    total(losses).backward()
    assert without_gradient(model) == set()
    model.eval()
    with torch.no_grad():
        adapted = model.test_step(copy.deepcopy(batch))
        model.adaptation = None
        plain = model.test_step(copy.deepcopy(batch))
    for one, other in zip(adapted, plain):
        assert (one.pred_instances.keypoint_scores != other.pred_instances.keypoint_scores).all()


@pytest.mark.parametrize('arguments, message', [
    (dict(stage='train'), "stage='train' must be one of"), (dict(auxiliary_weight=-1), 'auxiliary_weight=-1 must'),
    (dict(meta_auxiliary_weight=-1), 'meta_auxiliary_weight=-1 must'),
    (dict(inner_loop=dict(steps=-1)), 'steps=-1 of inner_loop'), (dict(inner_loop=dict(lr=0)), 'lr=0 of inner_loop'),
    (dict(inner_loop=dict(order=3)), 'order=3 of inner_loop'),
    (dict(head=dict(type='HeatmapHead', in_channels=32, out_channels=5)),
     r'head HeatmapHead cannot adapt, it lacks adaptable_parameters\(\) and adaptation_loss\(\)'),
])
def test_arguments_that_make_no_sense_are_named(arguments, message):
    config = tiny_metta_model() | arguments
    with pytest.raises(ValueError, match=f'^{message}'):
        build_pose_estimator(config)


def test_the_test_stage_trains_nothing():
    model, data, _ = make('test')
    assert not any(p.requires_grad for p in model.parameters())
    with pytest.raises(ValueError, match=r"^stage='test' trains nothing"):
        model(**data, mode='loss')


@pytest.mark.parametrize('stage', ['meta', 'test'])
@pytest.mark.parametrize('change, message', [
    (dict(conv_out_channels=(4, 8)), r'head\.conv_layers\.0\.weight is \(4, 8, 3, 3\) there and \(8, 8, 3, 3\) here'),
    (dict(conv_out_channels=(8, ), conv_kernel_sizes=(3, )), r'head\.conv_layers\.3\.weight is missing, and \d more'),
    (dict(num_maps=7), r'head\.final_layer\.weight is \(5, 15, 1, 1\) there and \(5, 13, 1, 1\) here, and 2 more'),
])
def test_after_the_joint_stage_another_models_checkpoint_is_an_error(stage, change, message):
    """MMEngine would warn and go on with random weights, some of them frozen."""
    other, *_ = make(head=tiny_metta_model(head=change)['head'])
    model, *_ = make(stage)
    with pytest.raises(ValueError, match=f"another model: .*{message}.*; stage='{stage}' takes that of"):
        model.load_state_dict(other.state_dict(), strict=False)
    try:
        make('joint')[0].load_state_dict(other.state_dict(), strict=False)
    except RuntimeError as error:  # torch's own, of sizes
        assert 'size mismatch' in str(error)


def test_what_the_meta_stage_adds_the_checkpoint_need_not_have():
    joint, *_ = make()
    model, *_ = make('meta', inner_loop=dict(learned_rates=True))
    assert model.load_state_dict(joint.state_dict(), strict=False).missing_keys == ['log_rates']


@pytest.fixture
def warnings_of_the_log(monkeypatch):
    found = []
    monkeypatch.setattr(MMLogger, 'warning', lambda logger, message: found.append(message))
    return found


def test_a_meta_stage_without_checkpoint_is_warned_of_once(warnings_of_the_log):
    model, data, _ = make('meta')
    for _ in range(2):
        model(**data, mode='loss')
    warning, = warnings_of_the_log
    assert 'load_from=... takes the last one of the joint stage' in warning
    trained, data, _ = make('meta')
    trained.load_state_dict(model.state_dict())
    trained(**data, mode='loss')
    assert len(warnings_of_the_log) == 1


def test_the_joint_stage_runs_what_both_tasks_share_once():
    model, data, _ = make()
    norms = [model.backbone.bn1, model.head.deconv_layers[1], model.head.conv_layers[1]]
    before = [int(norm.num_batches_tracked) for norm in norms]
    model(**data, mode='loss')
    assert [int(norm.num_batches_tracked) - count for norm, count in zip(norms, before)] == [1, 1, 1]


def test_the_mode_tensor_gives_the_stored_parameters_output():
    model, data, _ = make('test', inner_loop=dict(lr=0.1))
    model.eval()
    with torch.no_grad():
        output = model(data['inputs'], None, mode='tensor')
        assert_close(output, model.head(model.extract_feat(data['inputs'])), rtol=0, atol=0)


@pytest.mark.parametrize('stage, adaptation, refused', [
    ('meta', None, True), ('test', None, True), ('joint', dict(steps=1), True), ('joint', None, False)])
def test_a_checkpoint_without_auxiliary_network_is_an_error(stage, adaptation, refused):
    model, *_ = make(stage, test_cfg=dict(adaptation=adaptation))
    state = {name: value for name, value in model.state_dict().items() if not name.startswith('head.inpainting.')}
    if refused:
        with pytest.raises(ValueError, match=r'no auxiliary network \(head.inpainting\)'):
            model.load_state_dict(state, strict=False)
    else:
        model.load_state_dict(state, strict=False)
    model.load_state_dict({name: value for name, value in state.items() if name.startswith('backbone.')}, strict=False)

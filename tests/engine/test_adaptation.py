"""Adaptation as pure functions: against a loop over images, finite differences and closed forms."""
import pytest
import torch
from torch import nn
from torch.func import functional_call

from clamp_mmpose.engine.adaptation import adapt, adaptation_steps, restore, snapshot


def make(batch_size=3, dtype=torch.float64):
    """A small network with batch norm in eval mode, its parameters, pictures, and the loss of one picture."""
    torch.manual_seed(0)
    model = nn.Sequential(nn.Conv2d(2, 4, 3, padding=1), nn.BatchNorm2d(4), nn.Tanh(), nn.Conv2d(4, 1, 1)).to(dtype)
    model[1].running_mean.normal_()
    model.eval()
    images, targets = torch.randn(batch_size, 2, 5, 5, dtype=dtype), torch.randn(batch_size, 1, 5, 5, dtype=dtype)

    def loss_fn(params, image, target):
        return (functional_call(model, params, (image[None], ))[0] - target).square().sum()

    return model, dict(model.named_parameters()), loss_fn, images, targets


def loop(loss_fn, params, *inputs, lr, steps):
    """One image at a time, with autograd in place of torch.func."""
    results = []
    for one in zip(*inputs):
        own = {name: value.detach().clone().requires_grad_() for name, value in params.items()}
        for _ in range(steps):
            loss = loss_fn(own, *one)
            grads = torch.autograd.grad(loss, list(own.values()))
            own = {name: (value - lr * grad).detach().requires_grad_()
                   for (name, value), grad in zip(own.items(), grads)}
        results.append(own)
    return {name: torch.stack([own[name] for own in results]).detach() for name in params}


@pytest.mark.parametrize('dtype, tolerance', [(torch.float64, 1e-12), (torch.float32, 1e-5)])
@pytest.mark.parametrize('steps', [0, 1, 3])
def test_a_batch_equals_one_image_at_a_time(steps, dtype, tolerance):
    _, params, loss_fn, *inputs = make(dtype=dtype)
    adapted = adapt(loss_fn, params, *inputs, lr=0.05, steps=steps)
    torch.testing.assert_close(adapted, loop(loss_fn, params, *inputs, lr=0.05, steps=steps), rtol=0, atol=tolerance)
    if steps:
        assert (adapted['0.weight'][0] - adapted['0.weight'][1]).abs().max() > 1e-3


def test_neither_parameters_nor_statistics_change_in_the_module():
    model, params, loss_fn, *inputs = make()
    before = snapshot(model.state_dict())
    adapt(loss_fn, params, *inputs, lr=0.5, steps=3)
    torch.testing.assert_close(model.state_dict(), before, rtol=0, atol=0)
    assert all(p.grad is None for p in model.parameters())


@pytest.mark.parametrize('mode', [torch.no_grad, torch.enable_grad])
@pytest.mark.parametrize('create_graph', [False, True])
def test_values_are_the_same_in_every_mode(mode, create_graph):
    _, params, loss_fn, *inputs = make()
    with mode():
        adapted = adapt(loss_fn, params, *inputs, lr=0.05, steps=2, create_graph=create_graph)
    torch.testing.assert_close({name: value.detach() for name, value in adapted.items()},
                               loop(loss_fn, params, *inputs, lr=0.05, steps=2))
    assert all(value.requires_grad == (mode is torch.enable_grad) for value in adapted.values())


def test_each_step_comes_with_the_loss_that_it_has():
    _, params, loss_fn, *inputs = make()
    walk = list(adaptation_steps(loss_fn, params, *inputs, lr=0.02, steps=3))
    assert len(walk) == 4
    for number, step in enumerate(walk):
        torch.testing.assert_close(step.params, loop(loss_fn, params, *inputs, lr=0.02, steps=number))
        expected = [loss_fn({name: value[index] for name, value in step.params.items()}, *(i[index] for i in inputs))
                    for index in range(3)]
        torch.testing.assert_close(step.loss, torch.stack(expected).detach())
    assert (walk[-1].loss < walk[0].loss).all()


def test_the_caller_keeps_its_mode_between_the_steps():
    _, params, loss_fn, *inputs = make()
    modes = [torch.is_grad_enabled() for _ in adaptation_steps(loss_fn, params, *inputs, lr=0.02, steps=2)]
    assert modes == [True] * 3
    with torch.no_grad():
        modes = [torch.is_grad_enabled() for _ in adaptation_steps(loss_fn, params, *inputs, lr=0.02, steps=2)]
    assert modes == [False] * 3


def outer_loss(adapted, loss_fn, images, targets):
    """Another loss of the adapted parameters, as the supervised one is."""
    losses = torch.func.vmap(loss_fn)(adapted, images.flip(-1), targets.cos())
    return losses.mean()


def test_the_meta_gradient_equals_finite_differences():
    _, params, loss_fn, *inputs = make()
    rates = {name: torch.tensor(0.03, dtype=torch.float64, requires_grad=True) for name in params}

    def outer(*values):
        given = dict(zip(params, values))
        own_rates = dict(zip(params, values[len(params):]))
        adapted = adapt(loss_fn, given, *inputs, lr=own_rates, steps=3, create_graph=True)
        return outer_loss(adapted, loss_fn, *inputs)

    values = [value.detach().clone().requires_grad_() for value in params.values()]
    assert torch.autograd.gradcheck(outer, (*values, *rates.values()), eps=1e-6, atol=1e-6)


def meta_gradient(create_graph, lr):
    _, params, loss_fn, *inputs = make()
    adapted = adapt(loss_fn, params, *inputs, lr=lr, steps=3, create_graph=create_graph)
    return torch.cat([g.flatten() for g in torch.autograd.grad(outer_loss(adapted, loss_fn, *inputs), params.values())])


def test_first_and_second_order_meet_as_the_rate_goes_to_zero():
    distances = [(meta_gradient(True, lr) - meta_gradient(False, lr)).norm() for lr in (1e-2, 1e-3, 1e-4, 1e-5)]
    assert distances[1] > 1e-2
    # The difference is of the first order in the rate.
    assert float(distances[2] / distances[1]) == pytest.approx(0.1, rel=0.3)
    assert float(distances[3] / distances[2]) == pytest.approx(0.1, rel=0.03)


def test_first_order_takes_gradients_as_constants():
    _, params, loss_fn, *inputs = make()
    rate = torch.tensor(0.03, dtype=torch.float64, requires_grad=True)
    lr = dict.fromkeys(params, rate)
    adapted = adapt(loss_fn, params, *inputs, lr=lr, steps=2)
    constant = (adapted['3.bias'] - params['3.bias']).detach() / -rate.detach()
    slope, own = torch.autograd.grad(adapted['3.bias'].sum(), [rate, params['3.bias']])
    torch.testing.assert_close(slope, -constant.sum())
    torch.testing.assert_close(own, torch.full_like(own, 3.0))  # once per image


def test_rates_may_differ_by_tensor():
    _, params, loss_fn, *inputs = make()
    lr = {name: torch.tensor(1e-300 if name.startswith('0') else 0.05, dtype=torch.float64) for name in params}
    adapted = adapt(loss_fn, params, *inputs, lr=lr, steps=2)
    for name, value in adapted.items():
        assert torch.allclose(value, params[name].expand_as(value), rtol=0, atol=1e-290) == name.startswith('0'), name


def test_a_tiny_rate_changes_nothing():
    _, params, loss_fn, *inputs = make()
    adapted = adapt(loss_fn, params, *inputs, lr=1e-300, steps=5)
    for name, value in adapted.items():
        torch.testing.assert_close(value, params[name].detach().expand_as(value), rtol=0, atol=1e-290)


def test_inputs_may_be_tuples():
    _, params, loss_fn, images, targets = make()
    adapted = adapt(lambda params, pair: loss_fn(params, *pair), params, (images, targets), lr=0.05, steps=1)
    torch.testing.assert_close(adapted, adapt(loss_fn, params, images, targets, lr=0.05, steps=1))


def test_a_restored_module_is_bit_identical():
    model, params, *_ = make()
    before = snapshot(params)
    kept = {name: value.clone() for name, value in before.items()}
    with torch.no_grad():
        for value in params.values():
            value += 1
    torch.testing.assert_close(before, kept, rtol=0, atol=0)
    restore(params, before)
    torch.testing.assert_close(dict(model.named_parameters()), {n: nn.Parameter(v) for n, v in kept.items()},
                               rtol=0, atol=0)


def test_restoring_what_does_not_fit_changes_nothing():
    _, params, *_ = make()
    before = snapshot(params)
    with pytest.raises(ValueError, match=r'names than params: 3\.bias'):
        restore(params, {name: value for name, value in before.items() if name != '3.bias'})
    with pytest.raises(ValueError, match=r"saved\['3\.bias'\] is \(2,\), params has \(1,\)"):
        restore(params, {name: torch.zeros(2) if name == '3.bias' else value + 1 for name, value in before.items()})
    torch.testing.assert_close(snapshot(params), before, rtol=0, atol=0)


@pytest.mark.parametrize('wrong, message', [
    (dict(steps=-1), 'steps=-1 '), (dict(steps=1.5), 'steps=1.5 '), (dict(lr=0), 'lr=0 '), (dict(lr=-0.1), 'lr=-0.1 '),
    (dict(lr=float('nan')), 'lr=nan'), (dict(params={}), 'params is empty'), (dict(inputs=()), 'inputs hold no tensor'),
    (dict(lr={'0.weight': 1.0}), 'lr has other names than params: 0.bias, 1.bias, 1.weight and 2 more'),
])
@pytest.mark.parametrize('function', [adapt, adaptation_steps])
def test_arguments_that_make_no_sense_are_named(function, wrong, message):
    _, params, loss_fn, *inputs = make()
    arguments = dict(params=params, inputs=inputs, lr=0.1, steps=1) | wrong
    params, inputs = arguments.pop('params'), arguments.pop('inputs')
    with pytest.raises(ValueError, match=f'^{message}'):
        function(loss_fn, params, *inputs, **arguments)


def test_a_rate_of_one_tensor_is_checked():
    _, params, loss_fn, *inputs = make()
    lr = {name: torch.tensor(-1.0 if name == '3.bias' else 1.0) for name in params}
    with pytest.raises(ValueError, match=r"^lr\['3.bias'\]=-1 must be greater than 0"):
        adapt(loss_fn, params, *inputs, lr=lr, steps=1)


def test_inference_mode_is_a_clear_error():
    _, params, loss_fn, images, targets = make()
    with torch.inference_mode(), pytest.raises(RuntimeError, match=r'torch.no_grad\(\) instead'):
        adapt(loss_fn, params, images, targets, lr=0.1, steps=1)
    with torch.inference_mode():
        made = images + 1
    with pytest.raises(RuntimeError, match=r'torch.no_grad\(\) instead'):
        adapt(loss_fn, params, made, targets, lr=0.1, steps=1)


@pytest.mark.parametrize('create_graph', [False, True])
def test_long_gradients_are_shortened_image_by_image(create_graph):
    """Beside one image at a time and torch's own clip_grad_norm_."""
    torch.manual_seed(0)
    params = dict(weight=torch.randn(3, dtype=torch.float64), bias=torch.randn((), dtype=torch.float64))
    inputs = torch.randn(5, 3, dtype=torch.float64) * torch.tensor([0, .01, 1, 10, 100], dtype=torch.float64)[:, None]

    def loss_fn(params, x):
        return ((params['weight'] * x).sum() + params['bias'] * x.sum()).square()

    adapted = adapt(loss_fn, params, inputs, lr=.1, steps=2, max_norm=.5, create_graph=create_graph)
    for index, x in enumerate(inputs):
        own = {name: value.clone().requires_grad_() for name, value in params.items()}
        for _ in range(2):
            for value in own.values():
                value.grad = None
            loss_fn(own, x).backward()
            torch.nn.utils.clip_grad_norm_(own.values(), .5)
            with torch.no_grad():
                for value in own.values():
                    value -= .1 * value.grad
        for name, value in own.items():
            torch.testing.assert_close(adapted[name][index], value.detach(), rtol=1e-4, atol=1e-7)


def test_shortened_gradients_leave_a_finite_meta_gradient_where_they_are_zero():
    weight = torch.ones(2, requires_grad=True)
    adapted = adapt(lambda params, x: (params['weight'] * x).sum().square(), dict(weight=weight), torch.zeros(1, 2),
                    lr=.1, steps=1, max_norm=1., create_graph=True)
    adapted['weight'].sum().backward()
    assert weight.grad.tolist() == [1, 1]


@pytest.mark.parametrize('max_norm', [0, -1, float('nan'), float('inf')])
def test_a_limit_of_the_gradients_is_above_zero(max_norm):
    with pytest.raises(ValueError, match='max_norm'):
        adapt(lambda params, x: x.sum(), dict(weight=torch.ones(2)), torch.zeros(1, 2), lr=.1, steps=1,
              max_norm=max_norm)

import copy
import pickle

import pytest
import torch
from torch import nn

from clamp_mmpose.models.layers import EvalCache


class Cached(nn.Module):
    """y = weight ** 2 + offset, kept by the cache; counts how often it is computed."""

    def __init__(self):
        super().__init__()
        self.weight = nn.Parameter(torch.tensor([1.0, 2.0]))
        self.register_buffer('offset', torch.tensor([10.0, 20.0]))
        self.cache = EvalCache()
        self.count = 0

    def compute(self):
        self.count += 1
        return self.weight**2 + self.offset

    def forward(self):
        return self.cache(self.compute, [*self.parameters(), *self.buffers()])


@pytest.fixture
def module():
    return Cached()


def test_it_is_computed_once(module):
    with torch.no_grad():
        values = [module() for _ in range(3)]
    assert module.count == 1
    for value in values:
        torch.testing.assert_close(value, torch.tensor([11.0, 24.0]))


def _optimizer_step(module):
    module.weight.grad = torch.ones(2)
    torch.optim.SGD(module.parameters(), lr=0.5).step()


CHANGES = {
    'optimizer step': _optimizer_step,
    'in-place write': lambda module: module.weight.detach().mul_(3),
    'buffer': lambda module: module.offset.add_(1),
    'load_state_dict': lambda module: module.load_state_dict(dict(weight=torch.zeros(2), offset=torch.zeros(2))),
    'assigned state': lambda module: module.load_state_dict(
        dict(weight=torch.zeros(2), offset=torch.zeros(2)), assign=True),
    'other parameter': lambda module: setattr(module, 'weight', nn.Parameter(torch.zeros(2))),
    'other buffer': lambda module: setattr(module, 'offset', torch.zeros(2)),
    'dtype': lambda module: module.double(),
}


@pytest.mark.parametrize('change', CHANGES)
def test_a_change_of_what_it_depends_on_computes_it_anew(module, change):
    with torch.no_grad():
        module()
        CHANGES[change](module)
        torch.testing.assert_close(module(), module.weight**2 + module.offset, rtol=0, atol=0)
        assert module.count == 2
        module()
    assert module.count == 2


def test_a_tensor_at_the_address_of_one_that_is_gone_is_another():
    cache = EvalCache()
    for value in range(5):
        # A block this large goes back to the system at once, and the next one is put where it was.
        source = torch.full((10_000_000, ), float(value))
        assert cache(lambda source=source: source[:1].clone(), [source]).item() == value
        del source


def test_cleared_after_writes_that_leave_no_trace(module):
    with torch.no_grad():
        module()
        module.weight.data.zero_()
        module.cache.clear()
        torch.testing.assert_close(module(), module.offset)


def test_the_gradient_flows_though_the_value_is_known(module):
    with torch.no_grad():
        module()
    module().sum().backward()
    torch.testing.assert_close(module.weight.grad, 2 * module.weight.detach())
    # The backward pass computes it once, the forward pass not at all.
    assert module.count == 2
    torch.testing.assert_close(module.offset, torch.tensor([10.0, 20.0]))


def test_without_trainable_sources_there_is_no_gradient(module):
    module.weight.requires_grad_(False)
    assert not module().requires_grad


def test_a_value_from_inference_mode_takes_part_in_autograd(module):
    with torch.inference_mode():
        module()
    scale = torch.ones(2, requires_grad=True)
    (module() * scale).sum().backward()
    torch.testing.assert_close(scale.grad, torch.tensor([11.0, 24.0]))


def test_weights_made_under_inference_mode_are_computed_every_time():
    with torch.inference_mode():
        module = Cached()
        module()
        module.weight.mul_(2)
        torch.testing.assert_close(module(), torch.tensor([14.0, 36.0]))


def test_other_weights_through_functional_call_give_their_own_value_and_gradient(module):
    with torch.no_grad():
        module()
        for value in range(20):
            weight = torch.full((2, ), float(value))
            torch.testing.assert_close(
                torch.func.functional_call(module, dict(weight=weight), ()), weight**2 + module.offset)
    weight = torch.tensor([3.0, 4.0], requires_grad=True)
    torch.func.functional_call(module, dict(weight=weight), ()).sum().backward()
    torch.testing.assert_close(weight.grad, torch.tensor([6.0, 8.0]))
    assert module.weight.grad is None


def test_a_gradient_to_weights_that_are_gone_is_an_error_not_silence(module):
    with torch.no_grad():
        module()
    value = module()
    module.weight = nn.Parameter(torch.zeros(2))
    with pytest.raises(RuntimeError, match='appears to not have been used'):
        value.sum().backward()


def test_autocast_does_not_lower_its_precision():
    module = nn.Linear(64, 64)
    cache, x = EvalCache(), torch.randn(3, 64)
    with torch.no_grad(), torch.autocast('cpu', dtype=torch.bfloat16):
        assert module(x).dtype == torch.bfloat16
        value = cache(lambda: module(x), module.parameters())
    torch.testing.assert_close(value, module(x).detach(), rtol=0, atol=0)


@pytest.mark.parametrize('copied', [copy.deepcopy, lambda x: pickle.loads(pickle.dumps(x))], ids=['deepcopy', 'pickle'])
def test_a_copy_has_a_cache_of_its_own(module, copied):
    with torch.no_grad():
        module()
        clone = copied(module)
        clone.weight.zero_()
        torch.testing.assert_close(clone(), torch.tensor([10.0, 20.0]))
        torch.testing.assert_close(module(), torch.tensor([11.0, 24.0]))

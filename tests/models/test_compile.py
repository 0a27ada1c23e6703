"""torch.compile: the same numbers, in one graph where nothing depends on what was computed before."""
import copy

import pytest
import torch
from mmpose.models import build_pose_estimator

from clamp_mmpose.testing import pack_batch, randomize, tiny_clamp_model


def make(kind):
    config = tiny_clamp_model(kind, neck=dict(context_decoder=dict(width=32, dropout=0.0)))
    config['train_cfg'] = dict(compute_acc=False)  # MMPose's accuracy leaves the graph for NumPy
    model = randomize(build_pose_estimator(config))
    torch._dynamo.reset()
    return model, model.data_preprocessor(pack_batch(config['head']['decoder'], 5), True)


def loss_and_gradients(model, run, data):
    losses = run(**copy.deepcopy(data), mode='loss')
    sum(losses.values()).backward()
    return losses, {name: p.grad for name, p in model.named_parameters() if p.grad is not None}


def check_loss(kind, rtol=0.0, atol=0.0, **options):
    (eager, data), (compiled, _) = make(kind), make(kind)
    expected = loss_and_gradients(eager, eager, data)
    actual = loss_and_gradients(compiled, torch.compile(compiled, fullgraph=True, **options), data)
    torch.testing.assert_close(actual, expected, rtol=rtol, atol=atol)


def check_prediction(kind, rtol=0.0, atol=0.0, **options):
    model, data = make(kind)
    model.eval()
    compiled = torch.compile(model, **options)
    with torch.no_grad():
        for value in (0.0, 1.0):
            model.neck.gamma.fill_(value)
            model.neck.prompts.contexts.add_(value)  # a new text: the compiled model must notice
            expected = copy.deepcopy(model)(data['inputs'], None, mode='tensor')
            torch.testing.assert_close(compiled(data['inputs'], None, mode='tensor'), expected, rtol=rtol, atol=atol)


def test_the_compiled_training_loss_is_one_graph_with_the_same_gradients():
    check_loss('vit', backend='eager')


def test_the_compiled_prediction_is_the_same_also_after_the_text_has_changed():
    check_prediction('vit', rtol=1e-5, atol=1e-5, backend='eager')  # attention has a path of its own without autograd


@pytest.mark.slow
@pytest.mark.parametrize('kind', ['vit', 'resnet'])
@pytest.mark.parametrize('backend', ['eager', 'aot_eager', 'inductor'])
def test_every_backend_gives_the_same_numbers(kind, backend):
    tolerance = dict(rtol=1e-3, atol=1e-4) if backend == 'inductor' else dict(rtol=1e-5, atol=1e-5)
    check_loss(kind, backend=backend, **tolerance)
    check_prediction(kind, backend=backend, **tolerance)

"""The text embedding of a whole estimator: computed once in eval mode, never out of date, and fused on demand."""
import copy

import pytest
import torch
from mmengine.runner import load_checkpoint, save_checkpoint
from mmengine.runner.checkpoint import get_state_dict, weights_to_cpu
from mmpose.models import build_pose_estimator

from clamp_mmpose.testing import pack_batch, randomize, tiny_clamp_model

CONFIG = tiny_clamp_model()
BATCH = pack_batch(CONFIG['head']['decoder'], 5)


def make(seed=0, **arguments):
    return randomize(build_pose_estimator(tiny_clamp_model(**arguments)), seed=seed).eval()


def count_text(model):
    """Counts the runs of the text tower from here on."""
    runs = []
    model.neck.prompts.text_encoder.register_forward_hook(lambda *args: runs.append(1))
    return runs


def predict(model):
    batch = model.data_preprocessor(copy.deepcopy(BATCH))
    results = model(**batch, mode='predict')
    return torch.stack([torch.from_numpy(r.pred_instances.keypoint_scores) for r in results])


def heatmaps(model, dtype=None):
    image = model.data_preprocessor(copy.deepcopy(BATCH))['inputs']
    return model(image if dtype is None else image.to(dtype), None, mode='tensor')


def train_step(model, optimizer=None):
    model.train()
    batch = model.data_preprocessor(copy.deepcopy(BATCH), True)
    losses = model(**batch, mode='loss')
    optimizer = optimizer or torch.optim.SGD([p for p in model.parameters() if p.requires_grad], lr=0.1)
    optimizer.zero_grad()
    sum(value for key, value in losses.items() if 'loss' in key).backward()
    optimizer.step()
    model.eval()


def assert_up_to_date(model):
    """The cached embedding is what a copy of the model, which has no cache yet, computes."""
    with torch.no_grad():
        torch.testing.assert_close(model.neck.encode_text(), copy.deepcopy(model).neck.encode_text(), rtol=0, atol=0)


def test_the_text_tower_runs_once_over_predictions_with_flip_test():
    model = make()
    assert model.test_cfg['flip_test']
    runs = count_text(model)
    with torch.no_grad():
        for _ in range(3):
            predict(model)
    assert len(runs) == 1


def test_while_training_the_text_tower_runs_every_time():
    model = make()
    runs = count_text(model)
    train_step(model)
    train_step(model)
    assert len(runs) == 2


def _write_through_data(model):
    """As optimizers of the old style do: PyTorch does not count such writes."""
    model.train()
    for parameter in model.neck.parameters():
        if parameter.requires_grad:
            parameter.data.add_(0.1)
    model.eval()


CHANGES = {
    'optimizer step': train_step,
    'writes through .data': _write_through_data,
    'load_state_dict': lambda model: model.load_state_dict(make(seed=1).state_dict()),
    'other names': lambda model: model.neck.prompts.set_names(['tail', 'left ear', 'right ear', 'chin', 'hoof']),
    'context in place': lambda model: model.neck.prompts.contexts.detach().mul_(-1),
    'prompt encoder in place': lambda model: model.neck.prompt_encoder.ln_final.bias.detach().add_(1),
    'text tower in place': lambda model: model.neck.prompts.text_encoder.tower.ln_final.weight.detach().mul_(2),
}


@pytest.mark.parametrize('change', CHANGES)
def test_a_change_recomputes_the_text(change):
    model = make()
    with torch.no_grad():
        before = model.neck.encode_text().clone()
    CHANGES[change](model)
    assert_up_to_date(model)
    with torch.no_grad():
        assert not torch.allclose(model.neck.encode_text(), before, atol=1e-4)


def test_another_precision_recomputes_the_text():
    model = make()
    with torch.no_grad():
        single = heatmaps(model)
        model.double()
        double = heatmaps(model, torch.float64)
        assert double.dtype == torch.float64
        torch.testing.assert_close(double.float(), single, rtol=1e-3, atol=1e-4)
        assert_up_to_date(model)
        runs = count_text(model)
        torch.testing.assert_close(heatmaps(model.float()), single)
        heatmaps(model.float())
    assert len(runs) == 2  # a model that is moved keeps nothing of what was elsewhere


def test_inference_mode_leaves_a_model_that_trains():
    model = make()
    with torch.inference_mode():
        predict(model)
    output = heatmaps(model)
    output.square().sum().backward()
    assert model.neck.prompts.contexts.grad.any()
    train_step(model)
    assert_up_to_date(model)


def test_the_gradient_in_eval_mode_is_that_of_the_uncached_model():
    grads = []
    for cached in (False, True):
        model = make()
        with torch.no_grad():
            heatmaps(model)
        if not cached:
            model.neck.encode_text = model.neck._encode_text
        heatmaps(model).square().sum().backward()
        grads.append({name: p.grad for name, p in model.neck.named_parameters() if p.requires_grad})
    assert all(grad.any() for grad in grads[0].values())
    torch.testing.assert_close(grads[1], grads[0])


def test_gradient_of_a_functional_call_reaches_the_weights_it_was_given():
    model = make()
    image = model.data_preprocessor(copy.deepcopy(BATCH))['inputs']
    with torch.no_grad():
        expected = model.extract_feat(image).text
    contexts = model.neck.prompts.contexts.detach().clone().requires_grad_()
    feats = model.backbone(image)
    text = torch.func.functional_call(model.neck, {'prompts.contexts': contexts}, (feats, )).text
    torch.testing.assert_close(text, expected)
    text.square().sum().backward()
    assert contexts.grad.any() and model.neck.prompts.contexts.grad is None


def test_fusing_keeps_the_outputs_and_drops_the_tower():
    model = make()
    with torch.no_grad():
        before = heatmaps(model)
        model.neck.fuse_text()
        torch.testing.assert_close(heatmaps(model), before)
    assert not any('text_encoder' in name or 'contexts' in name for name in model.state_dict())
    train_step(model)  # the rest still trains
    assert_up_to_date(model)


def test_switching_to_deploy_fuses():
    model = make()
    model.neck.switch_to_deploy(dict(flip_test=False))
    assert model.neck.prompts.text_encoder is None


def _save(model, path):
    save_checkpoint(dict(meta={}, state_dict=weights_to_cpu(get_state_dict(model))), str(path))
    return str(path)


@pytest.mark.parametrize('source_fused', [False, True])
@pytest.mark.parametrize('target_fused', [False, True])
def test_checkpoints_load_with_and_without_the_tower(source_fused, target_fused, tmp_path):
    source, target = make(seed=1), make(seed=2)
    with torch.no_grad():
        expected = heatmaps(source)
        heatmaps(target)  # fills its cache
    if source_fused:
        source.neck.fuse_text()
    if target_fused:
        target.neck.fuse_text()
    load_checkpoint(target, _save(source, tmp_path / 'weights.pth'), strict=True)
    with torch.no_grad():
        torch.testing.assert_close(heatmaps(target), expected)


def test_the_embedding_of_a_checkpoint_is_that_of_its_weights(tmp_path):
    model = make()
    train_step(model)
    state = torch.load(_save(model, tmp_path / 'weights.pth'), weights_only=True)['state_dict']
    with torch.no_grad():
        torch.testing.assert_close(state['neck.prompts.embedding'], model.neck.prompts()[0], rtol=0, atol=0)


def test_weights_without_any_prompt_leave_the_prompts_alone():
    model = make()
    state = {key: value for key, value in make(seed=1).state_dict().items() if not key.startswith('neck.prompts')}
    missing, unexpected = model.load_state_dict(state, strict=False)
    assert not unexpected and all(key.startswith('neck.prompts') for key in missing)
    assert model.neck.prompts.text_encoder is not None
    assert_up_to_date(model)

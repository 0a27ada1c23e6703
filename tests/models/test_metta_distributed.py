"""MeTTA's meta stage in two processes under gloo, as ``--launcher pytorch`` starts them."""
import copy
import os
import socket

import pytest
import torch
import torch.distributed
import torch.multiprocessing
from mmengine.model import MMDistributedDataParallel
from mmengine.optim import OptimWrapper
from mmengine.registry import init_default_scope
from mmpose.models import build_pose_estimator

import clamp_mmpose  # noqa: F401  (a spawned process registers the parts itself)
from clamp_mmpose.testing import calibrate_norms, pack_batch, randomize, tiny_metta_model

STEPS = 2  # the second one fails where DistributedDataParallel waits for an unused weight


def make(order):
    init_default_scope('mmpose')
    torch.set_num_threads(1)
    config = tiny_metta_model('meta', inner_loop=dict(steps=2, lr=1e-4, order=order, learned_rates=True))
    model = randomize(build_pose_estimator(config)).double().train()
    batch = pack_batch(config['head']['decoder'], 5, batch_size=4)
    for sample in batch['data_samples']:
        sample.gt_fields.heatmaps = sample.gt_fields.heatmaps.double()
    inputs = model.data_preprocessor(copy.deepcopy(batch), True)['inputs']
    with torch.no_grad():
        model.log_rates.fill_(-9)
    calibrate_norms(model, lambda: model.head.adaptation_loss(model.extract_feat(inputs), inputs))
    return model, batch


def steps(model, batch):
    """Trains as MMEngine's loop does and returns the weights."""
    optimizer = torch.optim.SGD([p for p in model.parameters() if p.requires_grad], lr=0.01)
    wrapper = OptimWrapper(optimizer)
    for _ in range(STEPS):
        model.train_step(copy.deepcopy(batch), wrapper)
    return {name.removeprefix('module.'): p.detach().clone() for name, p in model.named_parameters()}


def worker(rank, port, path, order):
    os.environ.update(MASTER_ADDR='127.0.0.1', MASTER_PORT=str(port), RANK=str(rank), WORLD_SIZE='2')
    torch.distributed.init_process_group('gloo', rank=rank, world_size=2)
    try:
        model, batch = make(order)
        half = {key: value[rank::2] for key, value in batch.items()}
        torch.save(steps(MMDistributedDataParallel(model, find_unused_parameters=False), half), path / f'{rank}.pth')
    finally:
        torch.distributed.destroy_process_group()


@pytest.fixture
def free_port():
    with socket.socket() as server:
        server.bind(('127.0.0.1', 0))
        return server.getsockname()[1]


@pytest.mark.parametrize('order', [1, 2])
def test_two_processes_meta_train_as_one_with_the_double_batch(order, free_port, tmp_path):
    torch.multiprocessing.spawn(worker, (free_port, tmp_path, order), nprocs=2)
    first, second = (torch.load(tmp_path / f'{rank}.pth', weights_only=True) for rank in range(2))
    torch.testing.assert_close(first, second, rtol=0, atol=0)

    model, batch = make(order)
    initial = {name: p.detach().clone() for name, p in model.named_parameters()}
    trained = {name for name, p in model.named_parameters() if p.requires_grad}
    expected = steps(model, batch)
    for name, weight in expected.items():
        movement = (weight - initial[name]).abs().max().item()
        assert (movement > 0) == (name in trained), name
        torch.testing.assert_close(first[name], weight, rtol=0, atol=1e-6 * movement + 1e-15, msg=name)

"""Two processes under gloo, as ``--launcher pytorch`` starts them."""
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
from clamp_mmpose.testing import pack_batch, randomize, tiny_clamp_model

STEPS = 2  # the second one fails where DistributedDataParallel waits for an unused weight


def make():
    init_default_scope('mmpose')
    torch.set_num_threads(1)
    # Neither dropout nor statistics of the batch: the halves of a batch must be what the whole is.
    config = tiny_clamp_model('vit', neck=dict(context_decoder=dict(width=32, dropout=0.0)))
    model = randomize(build_pose_estimator(config)).train()
    for module in model.modules():
        if isinstance(module, torch.nn.BatchNorm2d):
            module.eval()
    return model, pack_batch(config['head']['decoder'], 5, batch_size=4)


def steps(model, batch):
    """Trains as MMEngine's loop does and returns the weights."""
    optimizer = torch.optim.SGD([p for p in model.parameters() if p.requires_grad], lr=1.0)
    wrapper = OptimWrapper(optimizer)
    for _ in range(STEPS):
        model.train_step(copy.deepcopy(batch), wrapper)
    return {name.removeprefix('module.'): p.detach().clone() for name, p in model.named_parameters()}


def worker(rank, port, path):
    os.environ.update(MASTER_ADDR='127.0.0.1', MASTER_PORT=str(port), RANK=str(rank), WORLD_SIZE='2')
    torch.distributed.init_process_group('gloo', rank=rank, world_size=2)
    try:
        model, batch = make()
        half = {key: value[rank::2] for key, value in batch.items()}
        weights = steps(MMDistributedDataParallel(model, find_unused_parameters=False), half)
        torch.save(weights, path / f'{rank}.pth')
    finally:
        torch.distributed.destroy_process_group()


@pytest.fixture
def free_port():
    with socket.socket() as server:
        server.bind(('127.0.0.1', 0))
        return server.getsockname()[1]


def test_two_processes_train_as_one_with_the_double_batch(free_port, tmp_path):
    torch.multiprocessing.spawn(worker, (free_port, tmp_path), nprocs=2)
    first, second = (torch.load(tmp_path / f'{rank}.pth', weights_only=True) for rank in range(2))
    torch.testing.assert_close(first, second, rtol=0, atol=0)

    model, batch = make()
    initial = {name: p.detach().clone() for name, p in model.named_parameters()}
    expected = steps(model, batch)
    assert first.keys() == expected.keys()
    for name, weight in expected.items():
        movement = (weight - initial[name]).abs().max().item()
        assert (movement > 0) == ('text_encoder' not in name), name
        torch.testing.assert_close(first[name], weight, rtol=0, atol=1e-3 * movement + 2e-7, msg=name)

"""LOFR in two processes under gloo, as ``--launcher pytorch`` starts them."""
import copy
import os
import socket

import pytest
import torch
import torch.distributed
import torch.multiprocessing
from lofr_models import make, make_batch
from mmengine.model import MMDistributedDataParallel
from mmengine.optim import OptimWrapper

STEPS = 2  # the second one fails where DistributedDataParallel waits for an unused weight
LOCATED = {'free': None, 'mixed': [0, 2, 3], 'one process': [1, 3], 'none': []}  # rows 0 and 2 are the first process's


def prepare(located):
    """In double precision, and without what depends on the other half of a batch: dropout, and its statistics."""
    torch.set_num_threads(1)
    layers = dict(num_layers=2, num_heads=2, feedforward_channels=16, dropout=0.0)
    head = dict(encoder=layers, part_decoder=layers)
    if located is not None:
        head['keypoint_loss'] = dict(type='KeypointMSELoss', use_target_weight=True)
    model, config = make(head)
    model.double().train()
    for module in model.modules():
        if isinstance(module, (torch.nn.BatchNorm1d, torch.nn.BatchNorm2d)):
            module.eval()
    batch = make_batch(config, batch_size=4)
    for index, sample in enumerate(batch['data_samples']):
        sample.gt_fields.heatmaps = sample.gt_fields.heatmaps.double()
        if located is not None and index not in located:
            sample.gt_instance_labels.keypoint_weights.zero_()
            sample.gt_fields.heatmaps.zero_()
    return model, batch


def steps(model, batch):
    """Trains as MMEngine's loop does and returns the weights."""
    wrapper = OptimWrapper(torch.optim.SGD(model.parameters(), lr=0.1))
    for _ in range(STEPS):
        model.train_step(copy.deepcopy(batch), wrapper)
    return {name.removeprefix('module.'): p.detach().clone() for name, p in model.named_parameters()}


def worker(rank, port, path, located):
    os.environ.update(MASTER_ADDR='127.0.0.1', MASTER_PORT=str(port), RANK=str(rank), WORLD_SIZE='2')
    torch.distributed.init_process_group('gloo', rank=rank, world_size=2)
    try:
        for name in located:
            model, batch = prepare(LOCATED[name])
            half = {key: value[rank::2] for key, value in batch.items()}
            torch.save(steps(MMDistributedDataParallel(model, find_unused_parameters=False), half),
                       path / f'{name}-{rank}.pth')
    finally:
        torch.distributed.destroy_process_group()


@pytest.fixture(scope='module')
def trained(tmp_path_factory):
    folder = tmp_path_factory.mktemp('processes')
    with socket.socket() as server:
        server.bind(('127.0.0.1', 0))
        port = server.getsockname()[1]
    torch.multiprocessing.spawn(worker, (port, folder, [*LOCATED]), nprocs=2)
    return folder


@pytest.mark.parametrize('name', LOCATED)
def test_two_processes_train_as_one_with_the_double_batch(name, trained):
    first, second = (torch.load(trained / f'{name}-{rank}.pth', weights_only=True) for rank in range(2))
    torch.testing.assert_close(first, second, rtol=0, atol=0)

    model, batch = prepare(LOCATED[name])
    initial = {key: p.detach().clone() for key, p in model.named_parameters()}
    for key, weight in steps(model, batch).items():
        movement = (weight - initial[key]).abs().max().item()
        assert movement > 0, key
        torch.testing.assert_close(first[key], weight, rtol=0, atol=1e-5 * movement + 1e-12, msg=key)


def test_locations_change_what_is_learnt(trained):
    """Otherwise the comparison above would say nothing of them."""
    free, none, mixed = (torch.load(trained / f'{name}-0.pth', weights_only=True) for name in ('free', 'none', 'mixed'))
    torch.testing.assert_close(free, none, rtol=0, atol=0)
    assert any(not torch.equal(free[key], mixed[key]) for key in free)

"""An interrupted training resumes to the same losses, bit for bit."""
import contextlib
import random
from unittest import mock

import numpy as np
import pytest
import torch
from mmengine.hooks import Hook
from mmengine.model import BaseModel
from mmengine.runner import Runner
from torch import nn

from clamp_mmpose.engine.hooks import EpochSeedHook, epoch_seed_hook


class NoisyNumbers(torch.utils.data.Dataset):
    """Samples with noise from every generator that augmentations use."""

    metainfo = dict(name='numbers')

    def __len__(self):
        return 12

    def __getitem__(self, index):
        noise = [random.random(), np.random.rand(), torch.rand(()).item()]
        return dict(inputs=torch.tensor([index / 12, *noise]), index=index)


class DropoutModel(BaseModel):

    def __init__(self):
        super().__init__()
        self.layers = nn.Sequential(nn.Linear(4, 16), nn.BatchNorm1d(16), nn.Dropout(0.5), nn.Linear(16, 1))

    def forward(self, inputs, index=None, mode='tensor'):
        loss = (self.layers(inputs) - 1).square().mean()
        return dict(loss=loss) if mode == 'loss' else loss


class Record(Hook):
    """Keeps the batches and losses of each epoch, and breaks the training off before epoch ``stop``."""

    def __init__(self, stop):
        self.epochs = {}
        self.stop = stop

    def before_train_epoch(self, runner):
        if runner.epoch == self.stop:
            raise KeyboardInterrupt

    def after_train_iter(self, runner, batch_idx, data_batch=None, outputs=None):
        batch = (data_batch['index'].tolist(), data_batch['inputs'].tolist(), outputs['loss'].item())
        self.epochs.setdefault(runner.epoch, []).append(batch)


def train(work_dir, *, epochs=4, stop=None, resume=False, num_workers=0, seed=0, hooks=(dict(type='EpochSeedHook'), ),
          sampler=None, diff_rank_seed=False, **kwargs):
    """Trains, and returns the runner and the record of the epochs that ran."""
    # A model that is built before the runner is initialized before the runner seeds.
    torch.manual_seed(0)
    record = Record(stop)
    runner = Runner(
        model=DropoutModel(),
        work_dir=str(work_dir),
        train_dataloader=dict(
            dataset=NoisyNumbers(), sampler=sampler or dict(type='DefaultSampler', shuffle=True), batch_size=4,
            num_workers=num_workers, persistent_workers=False, worker_init_fn=dict(type='epoch_worker_init'),
            collate_fn=dict(type='default_collate')),
        train_cfg=dict(by_epoch=True, max_epochs=epochs),
        optim_wrapper=dict(optimizer=dict(type='AdamW', lr=0.01)),
        param_scheduler=[dict(type='CosineAnnealingLR', T_max=4)],
        custom_hooks=[*hooks, record],
        randomness=dict(seed=seed, diff_rank_seed=diff_rank_seed),
        resume=resume,
        default_scope='mmpose',
        experiment_name=f'{work_dir}-{stop}-{resume}', **kwargs)
    with contextlib.suppress(KeyboardInterrupt):
        runner.train()
    return runner, record.epochs


@pytest.mark.parametrize('num_workers', [0, 2])
def test_resumed_training_has_the_same_losses(tmp_path, num_workers):
    whole_runner, whole = train(tmp_path / 'whole', num_workers=num_workers)
    _, begun = train(tmp_path / 'parts', num_workers=num_workers, stop=2)
    runner, rest = train(tmp_path / 'parts', num_workers=num_workers, resume=True)
    assert (list(whole), list(begun), list(rest)) == ([0, 1, 2, 3], [0, 1], [2, 3])
    assert rest == {2: whole[2], 3: whole[3]}
    torch.testing.assert_close(runner.model.state_dict(), whole_runner.model.state_dict(), rtol=0, atol=0)


def test_without_the_hook_the_losses_differ(tmp_path):
    """Otherwise the test above would show nothing."""
    _, whole = train(tmp_path / 'whole', hooks=())
    train(tmp_path / 'parts', hooks=(), stop=2)
    _, rest = train(tmp_path / 'parts', hooks=(), resume=True)
    assert rest[2] != whole[2]


@pytest.mark.parametrize('diff_rank_seed', [False, True])
def test_without_a_configured_seed_too(tmp_path, diff_rank_seed):
    first, _ = train(tmp_path / 'parts', seed=None, diff_rank_seed=diff_rank_seed, stop=2)
    _, rest = train(tmp_path / 'parts', seed=None, diff_rank_seed=diff_rank_seed, resume=True)
    sampler = dict(type='DefaultSampler', shuffle=True, seed=first.train_dataloader.sampler.seed)
    _, whole = train(tmp_path / 'whole', seed=first.seed, diff_rank_seed=diff_rank_seed, sampler=sampler)
    assert rest == {2: whole[2], 3: whole[3]}


def test_seed_of_the_sampler_stays_with_weights_that_are_only_loaded(tmp_path):
    train(tmp_path / 'first', epochs=1, sampler=dict(type='DefaultSampler', shuffle=True, seed=5))
    runner, epochs = train(tmp_path / 'second', epochs=1, load_from=str(tmp_path / 'first/epoch_1.pth'))
    assert runner.train_dataloader.sampler.seed == 0
    assert list(epochs) == [0]


@pytest.mark.parametrize('num_workers', [0, 2])
def test_epochs_and_workers_draw_different_noise(tmp_path, num_workers):
    _, epochs = train(tmp_path, epochs=3, num_workers=num_workers)
    noise = np.array([row[1:] for batches in epochs.values() for _, inputs, _ in batches for row in inputs])
    assert noise.shape == (36, 3)
    for column in noise.T:
        assert len(np.unique(column)) == 36
    # The three generators are not seeded alike.
    assert abs(np.corrcoef(noise.T) - np.eye(3)).max() < 0.6


def test_ranks_draw_different_numbers():
    runner, hook, drawn = mock.Mock(seed=0, epoch=3), EpochSeedHook(), set()
    for rank in range(3):
        with mock.patch.object(epoch_seed_hook, 'get_rank', return_value=rank):
            hook.before_train_epoch(runner)
        drawn |= {random.random(), np.random.rand(), torch.rand(()).item()}
    assert len(drawn) == 9


def test_batch_sampler_of_mmengine_is_seen_through(tmp_path):
    sampler = torch.utils.data.BatchSampler
    dataset = NoisyNumbers()
    inner = mock.Mock(seed=7, spec=['seed'])
    loader = torch.utils.data.DataLoader(dataset, batch_sampler=sampler(inner, 4, False))
    checkpoint = dict(meta={})
    EpochSeedHook().before_save_checkpoint(mock.Mock(train_dataloader=loader), checkpoint)
    assert checkpoint['meta'] == dict(sampler_seed=7)


def warnings_of(loop, loader):
    runner = mock.Mock(train_loop=loop, train_dataloader=loader, epoch=0)
    EpochSeedHook().before_train(runner)
    return [call.args[0] for call in runner.logger.warning.call_args_list]


def test_loaders_and_loops_that_cannot_resume_alike_are_named():
    from mmengine.runner import EpochBasedTrainLoop, IterBasedTrainLoop
    by_epoch, by_iter = mock.Mock(spec=EpochBasedTrainLoop), mock.Mock(spec=IterBasedTrainLoop)
    plain = torch.utils.data.DataLoader(NoisyNumbers())
    persistent = torch.utils.data.DataLoader(NoisyNumbers(), num_workers=1, persistent_workers=True)
    assert warnings_of(by_epoch, plain) == []
    assert 'persistent_workers=True' in warnings_of(by_epoch, persistent)[0]
    assert 'iterations' in warnings_of(by_iter, plain)[0]

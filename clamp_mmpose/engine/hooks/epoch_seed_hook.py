from __future__ import annotations

import random

import numpy as np
import torch
from mmengine.dist import get_rank
from mmengine.hooks import Hook
from mmengine.registry import FUNCTIONS
from mmengine.runner import EpochBasedTrainLoop, Runner
from mmpose.registry import HOOKS
from torch.utils.data import DataLoader

SAMPLER_SEED = 'sampler_seed'


@HOOKS.register_module()
class EpochSeedHook(Hook):
    """Draws each epoch's random numbers from (seed, epoch, rank), so that a resumed training sees the same ones.

    MMEngine restores the weights, the optimizer and the schedules of an interrupted training, but not the random state
    of augmentations and dropout, nor, where no seed was configured, the order of the samples. With this hook the losses
    after ``--resume`` are those of the training that was never interrupted. The data loader needs
    ``persistent_workers=False``, because workers that live on keep a state of their own, and
    ``worker_init_fn=dict(type='epoch_worker_init')``, because MMEngine's own gives workers the same numbers every
    epoch. Only for training by epochs, from whose ends MMEngine resumes.
    """

    # Before whatever else draws random numbers at the start of an epoch.
    priority = 'VERY_HIGH'

    def __init__(self) -> None:
        self._sampler_seed: int | None = None

    def before_save_checkpoint(self, runner: Runner, checkpoint: dict) -> None:
        sampler = _sampler(runner.train_dataloader)
        if hasattr(sampler, 'seed'):
            checkpoint['meta'][SAMPLER_SEED] = sampler.seed

    def after_load_checkpoint(self, runner: Runner, checkpoint: dict) -> None:
        meta = checkpoint.get('meta') if isinstance(checkpoint, dict) else None
        self._sampler_seed = (meta or {}).get(SAMPLER_SEED)

    def before_train(self, runner: Runner) -> None:
        if not isinstance(runner.train_loop, EpochBasedTrainLoop):
            runner.logger.warning('EpochSeedHook seeds epochs; a training by iterations resumes to other losses.')
        elif getattr(runner.train_dataloader, 'persistent_workers', False):
            runner.logger.warning('train_dataloader has persistent_workers=True: a resumed training will augment '
                                  'differently. Set it to False for the same losses.')
        sampler = _sampler(runner.train_dataloader)
        # Weights that were only loaded to start from leave the epoch at 0.
        if runner.epoch > 0 and self._sampler_seed is not None and hasattr(sampler, 'seed'):
            sampler.seed = self._sampler_seed

    def before_train_epoch(self, runner: Runner) -> None:
        seed_everything([runner.seed, runner.epoch, get_rank()])


# In the root registry, where MMEngine looks for it under any default scope.
@FUNCTIONS.register_module()
def epoch_worker_init(worker_id: int) -> None:
    """Seeds a worker of the data loader from the main process, whose random state ``EpochSeedHook`` sets."""
    # The loader has drawn it in the main process and added the number of the worker.
    seed_everything([torch.initial_seed()])


def seed_everything(entropy: list[int]) -> None:
    """Seeds ``random``, NumPy and torch (all devices) with different numbers drawn from ``entropy`` (each >= 0)."""
    seeds = np.random.SeedSequence(entropy).generate_state(3)
    random.seed(int(seeds[0]))
    np.random.seed(seeds[1])
    torch.manual_seed(int(seeds[2]))


def _sampler(loader: DataLoader):
    """The sampler of a loader, inside its batch sampler where it was built with one."""
    return getattr(loader.batch_sampler, 'sampler', loader.sampler)

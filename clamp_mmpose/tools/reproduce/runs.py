"""One training and its test, in a folder of its own from which it goes on where it stopped."""

from __future__ import annotations

import contextlib
import copy
import datetime
import fcntl
import hashlib
import json
import os
import re
import time
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

from ..commands import call, find_config, last_checkpoint
from ..config_variant import load_variant, relocate, shorten
from .data import Needs, digests, local_weights, needs_of
from .rows import METRICS

NOT_RUN, STARTED, DONE, CHANGED, FAILED = 'not run', 'started', 'done', 'changed', 'failed'


class Setting(NamedTuple):
    """What holds for all runs of one call."""

    work_dir: Path
    data_root: Path  # the folder of ap10k/, animalpose/, coco/ or toyanimals/
    gpus: int | None = None
    animals: int | None = None  # how many animals a toy training sees; None trains as long as the config says
    options: dict = {}  # further changes to every config
    clip_weights: Path | None = None  # a folder of OpenAI's archives; None as the config says


class Run:
    """A config and a seed, in ``<work_dir>/<config>/seed<S>``.

    ``run.json`` there says what it was trained with and, once it is done, what came out. A seed also draws the split
    where one is drawn.
    """

    def __init__(self, config: Path, seed: int, setting: Setting) -> None:
        self.config, self.seed, self.setting = config, seed, setting
        self.folder = setting.work_dir.resolve() / config.stem / f'seed{seed}'
        self.state_file = self.folder / 'run.json'

    @property
    def state(self) -> dict:
        """What ``run.json`` says; {} before the first start."""
        return json.loads(self.state_file.read_text()) if self.state_file.exists() else {}

    @property
    def needs(self) -> Needs:
        return needs_of(self._variant()[1])

    def status(self) -> str:
        """One of NOT_RUN, STARTED, DONE, CHANGED and FAILED."""
        state = self.state
        if not state:
            return NOT_RUN
        if self.changes():
            return CHANGED
        return DONE if state.get('results') else FAILED if state.get('failed') else STARTED

    def changes(self) -> list[str]:
        """What differs from the config and the data that the run was started with; data that is gone does not."""
        state = self.state
        if not state:
            return []
        recipe, cfg = self._variant()
        now = digests(needs_of(cfg).files)
        changed = [name for name, digest in now.items() if state['data'].get(name, digest) != digest]
        # The length of a toy training is counted off its annotations.
        if recipe is not None and _digest(recipe) != state['recipe']:
            changed.insert(0, 'the config')
        return changed

    def progress(self) -> str:
        """'epoch 120 of 210'."""
        return f'epoch {self._epoch() or 0} of {self.state.get("epochs", "?")}'

    def make(self, log: Path) -> None:
        """Makes the splits. CalledProcessError where make-splits refuses.

        Of one that is there make-splits says whether its sources still give it; without them it is taken as it is.
        """
        splits = self.needs.splits
        for split in dict.fromkeys(splits.values()):
            made = all(path.exists() for path, other in splits.items() if other == split)
            if not made or all(source.exists() for source in split.sources):
                call(*split.command, log=log)

    def go_on(self, origin: dict) -> dict:
        """Trains and tests, or what is left of it; returns the new state. ``origin``: commit and device."""
        recipe, cfg = self._variant()
        if not self.state:
            self._write({'config': self.config.as_posix(), 'seed': self.seed, 'recipe': _digest(recipe),
                         'data': digests(needs_of(cfg).files), 'epochs': cfg.train_cfg.max_epochs, 'minutes': 0.0})
        state, started = self.state, time.time()
        state['commits'] = list(dict.fromkeys([*state.get('commits', []), origin['commit']]))
        state['device'], state['date'] = origin['device'], str(datetime.date.today())
        state.pop('failed', None)
        self._write(state)
        variant = self.folder.with_suffix('.py')  # beside the folder: MMEngine writes one of its name into it
        cfg.dump(variant)
        try:
            if (self._epoch() or 0) < state['epochs']:
                self._train(variant)
            state['results'] = self._test_best_and_last(variant)
        except Exception as error:
            state['failed'] = str(error).splitlines()[0]
            raise
        finally:
            state['minutes'] += (time.time() - started) / 60
            self._write(state)
        return state

    def set_aside(self) -> Path:
        """Renames the folder of a run that is not to go on; returns the new name."""
        number = next(n for n in range(1, 1000) if not self.folder.with_name(f'{self.folder.name}_old{n}').exists())
        return self.folder.rename(self.folder.with_name(f'{self.folder.name}_old{number}'))

    @contextlib.contextmanager
    def locked(self) -> Iterator[bool]:
        """Holds the run against other processes; gives False where one has it.

        The commands hold it too: where this process is killed, its training may live on.
        """
        self.folder.parent.mkdir(parents=True, exist_ok=True)
        with self.folder.with_suffix('.lock').open('w') as file:
            os.set_inheritable(file.fileno(), True)
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except OSError:
                yield False
            else:
                yield True

    def _variant(self) -> tuple:
        """(config without places, config as it is run); without places None where a toy's data is not there yet."""
        options = {'randomness.seed': self.seed, **self.setting.options}
        cfg = load_variant(find_config(self.config), options)
        key = 'train_dataloader.dataset.ann_file'
        file = re.sub(r'-seed\d+\.json$', f'-seed{self.seed}.json', cfg.train_dataloader.dataset.ann_file)
        cfg.merge_from_dict({key: file})
        data_root = self.setting.data_root.resolve() / Path(cfg.data_root).name
        recipe = copy.deepcopy(cfg)
        if self.setting.animals:
            annotations = data_root / file
            if annotations.exists():
                count = len(json.loads(annotations.read_text())['annotations'])
                recipe.merge_from_dict(shorten(max(1, round(self.setting.animals / count))))
            cfg = copy.deepcopy(recipe)
            recipe = recipe if annotations.exists() else None
        cfg.merge_from_dict(relocate(cfg, data_root))
        # A checkpoint takes about a gigabyte. Two, as MMEngine removes the oldest before it has written the newest.
        cfg.default_hooks.checkpoint.setdefault('max_keep_ckpts', 2)
        if self.setting.clip_weights:
            cfg.merge_from_dict(local_weights(cfg.model, self.setting.clip_weights.resolve()))
        return recipe, cfg

    def _train(self, variant: Path) -> None:
        words = ['mim', 'train', 'mmpose', variant, '--work-dir', self.folder, '--auto-scale-lr']
        if (self.setting.gpus or 1) > 1:
            words += ['--launcher', 'pytorch', '--gpus', self.setting.gpus]
        if self._epoch():  # named, as the folder may have moved since
            words += ['--resume', self.folder / last_checkpoint(self.folder).name]
        call(*words, log=self.folder / 'commands.log')

    def _test_best_and_last(self, variant: Path) -> dict:
        """'best' and 'last' -> epoch and metrics in %.

        A training that was resumed has forgotten the validation after its checkpoint, so there may be several that it
        called best, and its last epoch may never have been compared: all are tested.
        """
        last = self.folder / last_checkpoint(self.folder).name
        checkpoints = {_epoch_of(path): path for path in (last, *self.folder.glob('best_*.pth'))}
        results = {epoch: self._test(variant, checkpoints[epoch]) for epoch in sorted(checkpoints)}
        best = max(results.values(), key=lambda result: result['AP'])
        return {'best': best, 'last': results[_epoch_of(last)]}

    def _test(self, variant: Path, checkpoint: Path) -> dict:
        epoch = _epoch_of(checkpoint)
        metrics = self.folder / f'test_epoch_{epoch}' / 'metrics.json'
        call('mim', 'test', 'mmpose', variant, '--checkpoint', checkpoint, '--work-dir', metrics.parent, '--out',
             metrics, log=self.folder / 'commands.log')
        found = json.loads(metrics.read_text())
        if found.get('coco/AP', -1) < 0:
            raise ValueError(f'{metrics} has no AP: is anything annotated in the test file?')
        return {'epoch': epoch, **{
            # -1 where no animal is of that size
            short: round(100 * found[key], 3) for key, short in METRICS.items() if found.get(key, -1) >= 0}}

    def _epoch(self) -> int | None:
        """The last epoch that a training can go on from."""
        try:
            checkpoint = self.folder / last_checkpoint(self.folder).name
        except FileNotFoundError:
            return None
        return _epoch_of(checkpoint) if checkpoint.exists() else None

    def _write(self, state: dict) -> None:
        """An interrupted write leaves the old file."""
        self.folder.mkdir(parents=True, exist_ok=True)
        draft = self.state_file.with_suffix('.tmp')
        draft.write_text(json.dumps(state, indent=1))
        draft.replace(self.state_file)


def _epoch_of(checkpoint: Path) -> int:
    return int(re.search(r'epoch_(\d+)\.pth$', checkpoint.name).group(1))


def _digest(recipe: dict) -> str:
    text = json.dumps(recipe.to_dict(), sort_keys=True, default=str)
    return hashlib.sha256(text.encode()).hexdigest()

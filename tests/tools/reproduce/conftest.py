"""A data folder with a few annotations, and commands that take no time."""
import argparse
import json
import re
import signal
import subprocess
from pathlib import Path

import pytest
from mmengine.config import Config

from clamp_mmpose.tools import reproduce
from clamp_mmpose.tools.reproduce import campaign, runs


def write(path, content):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(content))
    return path


def annotations(count):
    return {'annotations': [{'id': number} for number in range(count)]}


@pytest.fixture
def ap10k(tmp_path):
    """A data root with AP-10K's files, without pictures."""
    root = tmp_path / 'my data'
    (root / 'ap10k' / 'data').mkdir(parents=True)
    for part, count in (('train', 7), ('val', 3)):
        write(root / 'ap10k' / 'annotations' / f'ap10k-{part}-split1.json', annotations(count))
    return root


class FakeCommands:
    """Stands for ``call``: leaves behind what the real commands leave, and remembers what was asked.

    ``ap`` gives (best, last) AP of a config and seed, ``ap_at`` that of an epoch; ``interrupt`` is the epoch at which a
    training is stopped, ``signal`` what stops it; ``broken`` are words of commands that fail.
    """

    def __init__(self):
        self.calls, self.ap, self.interrupt, self.broken = [], lambda config, seed: (0.7, 0.6), None, ()
        self.ap_at, self.signal = {}, signal.SIGINT

    def __call__(self, *command, log=None):
        words = [str(word) for word in command]
        self.calls.append(words)
        if log is not None:
            log.parent.mkdir(parents=True, exist_ok=True)
            log.write_text('the end of the log\n')
        if any(word in ' '.join(words) for word in self.broken):
            raise subprocess.CalledProcessError(3, words)
        {'train': self._train, 'test': self._test, 'make-splits': self._split}.get(words[1], print)(words)

    def of(self, subcommand):
        return [words for words in self.calls if words[1] == subcommand]

    def _train(self, words):
        folder, epochs = Path(words[words.index('--work-dir') + 1]), Config.fromfile(words[3]).train_cfg.max_epochs
        last = self.interrupt or epochs
        (folder / f'epoch_{last}.pth').touch()
        (folder / 'last_checkpoint').write_text(f'/elsewhere/epoch_{last}.pth')
        if self.interrupt:
            self.interrupt = None
            signal.raise_signal(self.signal)
        (folder / f'best_coco_AP_epoch_{max(1, epochs - 10)}.pth').touch()

    def _test(self, words):
        checkpoint, config = Path(words[words.index('--checkpoint') + 1]), Path(words[3])
        best, last = self.ap(config.parent.name, int(config.stem[4:]))
        ap = self.ap_at.get(int(checkpoint.stem.split('_')[-1]), best if checkpoint.name.startswith('best') else last)
        write(Path(words[words.index('--out') + 1]), {'coco/AP': ap, 'coco/AR': ap + 0.1, 'coco/AP (M)': -1.0})

    def _split(self, words):
        options = dict(zip(words[3::2], words[4::2]))
        folder = Path(options['--data-root']) / 'annotations' if '--data-root' in options else None
        if words[2] == 'few-shot':
            name = f'ap10k-train-split1_{options["--shots"]}shot-seed{options["--seed"]}.json'
            write(folder / name, annotations(5 + int(options['--seed'])))
        elif words[2] == 'family':
            write(folder / f'ap10k-train-split1_{options["--train"].lower()}.json', annotations(4))
            write(folder / f'ap10k-{options["--test-images"]}-split1_{options["--test"].lower()}.json', annotations(2))
        else:
            source = Path(options['--ann'])
            name = f'{source.stem}_{options["--percent"]}pct-seed{options["--seeds"]}.json'
            write(source.with_name(name), annotations(6))


@pytest.fixture
def commands(monkeypatch):
    fake = FakeCommands()
    monkeypatch.setattr(runs, 'call', fake)
    monkeypatch.setattr(campaign, 'call', fake)
    monkeypatch.setattr(campaign, 'describe_device', lambda gpus: 'a machine')
    monkeypatch.setattr(campaign, 'code_version', lambda: 'abc1234')
    return fake


@pytest.fixture
def launch(tmp_path, ap10k):
    """Runs `reproduce clamp` with arguments; returns the exit status."""

    def run(*argv, toy=False):
        parser = argparse.ArgumentParser()
        reproduce.add_arguments(parser)
        places = ['--work-dir', str(tmp_path / 'work'), *(['--toy'] if toy else ['--data-root', str(ap10k)])]
        return reproduce.run(parser.parse_args(['clamp', *places, *argv]))

    return run


@pytest.fixture
def table(tmp_path):
    """(table, row) -> its cells by their headers, as the Markdown page has them."""

    def read(path=tmp_path / 'work' / 'table.md'):
        rows = [[cell.strip() for cell in re.split(r'(?<!\\)\|', line)[1:-1]] for line in path.read_text().splitlines()
                if line.startswith('|')]
        return {(row[0], row[1]): dict(zip(rows[0], row)) for row in rows[2:]}

    return read

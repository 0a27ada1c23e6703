"""All rows that one call of `reproduce` is about: what they need, their runs one after another, and the table."""

from __future__ import annotations

import argparse
import datetime
import json
import os
import subprocess
import sys
from pathlib import Path

from ..commands import call, find_config
from ..config_variant import load_variant
from .origin import code_version, describe_device
from .report import TOY, Report
from .rows import OPERATIONS, PARAMETERS, Row, read_rows, read_toy_rows, select
from .runs import CHANGED, DONE, FAILED, NOT_RUN, Run, Setting

LOG_LINES = 15  # of a command that failed


class Campaign:
    """ValueError where the arguments ask for what there is not."""

    def __init__(self, args: argparse.Namespace) -> None:
        _check(args)
        self.args = args
        self.work_dir = args.work_dir or Path('work_dirs', 'reproduce_toy' if args.toy else 'reproduce')
        self.out = args.out or self.work_dir / 'table.md'
        self.setting = Setting(
            self.work_dir, self.work_dir / f'data_{args.pictures}' if args.toy else args.data_root, args.gpus,
            args.animals if args.toy else None, _parse_options(args.cfg_options), args.clip_weights)
        paper = read_rows(args.method)
        rows = read_toy_rows() if args.toy else paper
        self.chosen = select(rows, args.table, args.row)
        self.report = Report(rows, self._finished, self._cost, paper=paper, words=_words(args),
                             toy=TOY.format(pictures=args.pictures, animals=args.animals) if args.toy else '')

    def show(self) -> None:
        """Prints each row: the paper's value, the state of its seeds, its config, and the data that it needs."""
        for row in self.chosen:
            runs = self._runs(row)
            paper = ', '.join(f'{metric} {"not given" if value is None else value}'
                              for metric, value in row.paper.items())
            print(f'\n{row.key}' + (f': paper {paper}' if not self.args.toy else ''))
            print(f'  config   {row.config}')
            print(f'  seeds    {self._describe_states(runs)}')
            if row.has_cost:
                print(f'  ready    {PARAMETERS} and {OPERATIONS}, which need no data')
            for line in _describe_needs(runs, drawn=self.args.toy):
                print(f'  {line}')

    def run(self) -> int:
        """Runs what is not done. Returns the exit status."""
        if self.args.toy:
            call('clamp-mmpose', 'make-toy-data', self.setting.data_root / 'toyanimals', '--train', self.args.pictures,
                 '--val', max(1, self.args.pictures // 4))
        runs = {(run.config, run.seed): run for row in self.chosen for run in self._runs(row)}
        names = {}
        for row in self.chosen:
            names.setdefault(row.config, row.key)
        done, failed, skipped = self._measure_costs(), [], {}
        for number, run in enumerate(runs.values(), 1):
            name = f'{names[run.config]}, seed {run.seed}'
            print(f'\n[{number} of {len(runs)}] {name}', flush=True)
            with run.locked() as mine:
                reason = self._reason_to_skip(run, mine)
                if reason:
                    skipped[name] = reason
                    print(f'skipped: {reason}')
                elif self._run_one(run):
                    done += 1
                else:
                    failed.append(name)
            self.report.write(self.out)
        return self._summarise(done, failed, skipped)

    def _reason_to_skip(self, run: Run, mine: bool) -> str:
        if not mine:
            return f'another process is at {_shown(run.folder)}'
        missing = [] if run.status() == DONE else run.needs.missing()
        return f'there is no {", ".join(map(_shown, missing))}' if missing else ''

    def _run_one(self, run: Run) -> bool:
        status = run.status()
        if status == DONE:
            print(f'done before: {_shown(run.folder)}')
            return True
        if status == CHANGED and not self.args.restart:
            print(f'not run: {", ".join(run.changes())} changed since this run was started in '
                  f'{_shown(run.folder)}; --restart sets that aside and trains anew')
            return False
        if status == CHANGED:
            print(f'set aside: {_shown(run.set_aside())}')
        log = run.folder / 'commands.log'
        try:
            run.make(log)
            state = run.go_on({'commit': code_version(), 'device': describe_device(self.args.gpus)})
        except subprocess.CalledProcessError as error:
            print(f'failed with status {error.returncode}; the end of {_shown(log)}:')
            print('\n'.join(log.read_text(errors='replace').splitlines()[-LOG_LINES:]))
            return False
        except Exception as error:  # whatever it is, the other rows can do without this one
            print(f'failed: {type(error).__name__}: {error}')
            return False
        best, last = (state['results'][which] for which in ('best', 'last'))
        print(f'AP {best["AP"]:.1f} at epoch {best["epoch"]}, {last["AP"]:.1f} after the last, '
              f'in {state["minutes"]:.1f} minutes')
        return True

    def _summarise(self, done: int, failed: list[str], skipped: dict[str, str]) -> int:
        print(f'\n{done} done, {len(failed)} failed or changed, {len(skipped)} skipped')
        for name in failed:
            print(f'failed: {name}', file=sys.stderr)
        if not done and not failed:
            print('reproduce: error: nothing could be run:', file=sys.stderr)
            for name, reason in skipped.items():
                print(f'  {name}: {reason}', file=sys.stderr)
            return 2
        print(f'written: {self.out}, {self.out.with_suffix(".csv")}')
        return 1 if failed else 0

    def _runs(self, row: Row) -> list[Run]:
        return [Run(row.config, seed, self.setting) for seed in dict.fromkeys(self.args.seeds)]

    def _finished(self, row: Row) -> list[Run]:
        """The runs of a row that are done, of any seed, but those that were something else."""
        seeds = sorted(int(path.parent.name[4:]) for path in (self.work_dir / row.config.stem).glob('seed*/run.json')
                       if path.parent.name[4:].isdigit())
        runs = [Run(row.config, seed, self.setting) for seed in seeds]
        return [run for run in runs if run.status() == DONE]

    def _measure_costs(self) -> int:
        """Parameters and operations of the rows that have them; returns how many."""
        rows = {row.config: row for row in self.chosen if row.has_cost}
        for config in rows:
            from .size_and_cost import size_and_cost
            parameters, operations = size_and_cost(load_variant(find_config(config), self.setting.options))
            cost = {PARAMETERS: round(parameters / 1e6, 3), OPERATIONS: round(operations / 1e9, 3),
                    'commits': [code_version()], 'device': '-', 'date': str(datetime.date.today())}
            path = self._cost_file(config)
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(json.dumps(cost, indent=1))
            print(f'{config.stem}: {cost[PARAMETERS]:.1f} M parameters, {cost[OPERATIONS]:.1f} GFLOPs')
        return len(rows)

    def _cost(self, row: Row) -> dict:
        path = self._cost_file(row.config)
        return json.loads(path.read_text()) if path.exists() else {}

    def _cost_file(self, config: Path) -> Path:
        return self.work_dir / config.stem / 'size_and_cost.json'

    def _describe_states(self, runs: list[Run]) -> str:
        status = {run: run.status() for run in runs}
        done = sum(value == DONE for value in status.values())
        seeds = ' '.join(str(run.seed) for run in runs)
        if done == len(runs):
            return f'{seeds}: done'
        if set(status.values()) == {NOT_RUN}:
            return f'{seeds}: not run'
        others = [f'seed {run.seed} {_describe(run, value)}' for run, value in status.items()
                  if value not in (DONE, NOT_RUN)]
        return f'{seeds}: {"; ".join([f"{done} of {len(runs)} done", *others])}'


def _describe(run: Run, status: str) -> str:
    with run.locked() as mine:
        if not mine:
            return f'is running, {run.progress()}'
    if status == CHANGED:
        return f'was started before a change of {", ".join(run.changes())}'
    return f'failed at {run.progress()}' if status == FAILED else f'was stopped at {run.progress()}'


def _shown(path: Path) -> str:
    """From the working directory where it is in there."""
    relative = os.path.relpath(path)
    return str(path) if relative.startswith('..') else relative


def _describe_needs(runs: list[Run], *, drawn: bool) -> list[str]:
    """Lines on the files of all seeds: present, to be made or drawn, or missing."""
    lines = {}
    for run in runs:
        needs = run.needs
        missing = needs.missing()
        for path in (*needs.files, *needs.folders, *needs.archives):
            if path.exists():
                lines[f'present  {_shown(path)}'] = None
            elif path in needs.splits:
                sources = ', '.join(_shown(source) for source in needs.splits[path].sources)
                lines[f'to make  {_shown(path)} from {sources}'] = None
        lines.update((f'{"to draw" if drawn else "missing"}  {_shown(path)}', None) for path in missing)
        lines.update((f'weights  {name}', None) for name in needs.weights)
    return list(lines)


def _check(args: argparse.Namespace) -> None:
    for name, least in (('gpus', 1), ('pictures', 1), ('animals', 1)):
        value = getattr(args, name)
        if value is not None and value < least:
            raise ValueError(f'--{name} {value} must be {least} or more')
    if min(args.seeds) < 0:
        raise ValueError(f'--seeds {" ".join(map(str, args.seeds))}: a seed is 0 or more')
    if args.out is not None and args.out.suffix == '.csv':
        raise ValueError(f'--out {args.out}: names the Markdown page, and the .csv is written beside it')
    if args.clip_weights is not None and not args.clip_weights.is_dir():
        raise ValueError(f'--clip-weights {args.clip_weights}: there is no such folder')


def _words(args: argparse.Namespace) -> list[str]:
    """The command without rows and seeds: what makes other numbers, not where things lie."""
    words = ['clamp-mmpose', 'reproduce', args.method]
    if args.toy:
        words += ['--toy', '--pictures', str(args.pictures), '--animals', str(args.animals)]
    return words + (['--cfg-options', *args.cfg_options] if args.cfg_options else [])


def _parse_options(words: list[str] | None) -> dict:
    """--cfg-options as `mim train` reads them."""
    from mmengine.config import DictAction
    for word in words or ():
        if '=' not in word:
            raise ValueError(f'--cfg-options {word}: must be KEY=VALUE')
    parser = argparse.ArgumentParser()
    parser.add_argument('--cfg-options', nargs='+', action=DictAction)
    return parser.parse_args(['--cfg-options', *words]).cfg_options if words else {}

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from ...apis import Input, PoseInferencer, PoseResult, WholeImage
from ...apis.frames import count_frames
from .coco_writer import CocoWriter
from .deeplabcut_writer import DeepLabCutWriter
from .picture_writer import PictureWriter
from .table_writer import TableWriter


class Session:
    """One run over all inputs: writes each result as it comes, and tells at the end what was done."""

    def __init__(self, inferencer: PoseInferencer, inputs: list[Input], args: argparse.Namespace) -> None:
        self._inputs, self._every = inputs, args.every
        self._results = inferencer(inputs, every=args.every)
        source, meta = inferencer.boxes, inferencer.output_meta
        make = dict(
            coco=lambda: CocoWriter(args.out, source.categories, source.next_image_id, meta),
            csv=lambda: TableWriter(args.out, source.categories, args.kpt_thr),
            dlc=lambda: DeepLabCutWriter(args.out, Path(args.config).stem))
        self._writers = [make[name]() for name in dict.fromkeys(args.format)]
        if args.draw:
            self._writers.append(
                PictureWriter(
                    args.out, meta, kpt_thr=args.kpt_thr, with_boxes=not isinstance(source, WholeImage),
                    with_names=meta['dataset_name'] == 'prompts'))
        self._images = self._frames = self._instances = self._empty = 0
        self._skipped: dict[str, int] = {}  # what and why -> in how many frames

    def run(self) -> int:
        """Returns the exit status. Whatever happens, what was written is complete in itself."""
        status, trouble = 0, ''
        try:
            with _progress(count_frames(self._inputs, every=self._every)) as advance:
                for result in self._results:
                    self._take(result)
                    advance()
        except KeyboardInterrupt:
            status, trouble = 130, 'interrupted; what was done so far is written'
        except (OSError, RuntimeError, ValueError) as error:  # such as a full disk, or a GPU without enough memory
            status, trouble = 1, f'error: {" ".join(str(error).split())}'
        written = []
        for writer in self._writers:
            try:
                written += writer.close()
            except OSError as error:
                status, trouble = 1, f'error: {error}'
        self._tell(written)
        if trouble:
            print(f'infer: {trouble}', file=sys.stderr)
        return status or int(bool(self._skipped))

    def _take(self, result: PoseResult) -> None:
        for writer in self._writers:
            try:
                writer.add(result)
            except ValueError as error:  # a picture that cannot be drawn stops no other
                self._skip(f'drawing {result.path}: {error}')
        if result.error is not None:
            self._skip(f'{result.path}: {result.error}')
            return
        self._images += result.frame.index is None
        self._frames += result.frame.index is not None
        self._instances += len(result)
        self._empty += not len(result)

    def _skip(self, what: str) -> None:
        self._skipped[what] = self._skipped.get(what, 0) + 1

    def _tell(self, written: list[Path]) -> None:
        for path in written:
            print(f'written: {path}')
        counts = ((self._images, 'images'), (self._frames, 'video frames'))
        done = [f'{count} {what}' for count, what in counts if count]
        print(f'{" and ".join(done) or "nothing"} done: {self._instances} instances; none found in {self._empty}; '
              f'{len(self._skipped)} skipped')
        for what, count in self._skipped.items():
            print(f'skipped {what}' + (f' ({count} frames)' if count > 1 else ''), file=sys.stderr)


@contextmanager
def _progress(total: int) -> Iterator:
    console = Console(stderr=True)
    columns = (TextColumn('frames'), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    with Progress(*columns, console=console, disable=not console.is_terminal) as progress:
        task = progress.add_task('', total=total)
        yield lambda: progress.advance(task)

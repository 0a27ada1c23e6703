from __future__ import annotations

import argparse

HELP = 'evaluate on the keypoints that two datasets share'


def add_arguments(parser: argparse.ArgumentParser) -> None:
    pass


def run(args: argparse.Namespace) -> None:
    raise ValueError('not yet')

"""`clamp-mmpose doctor`: what is installed, what does not work together, and the command that mends it.

Standard library only, and no import of clamp_mmpose: this package must run in the broken stack it describes.
"""

from __future__ import annotations

import argparse
import json
import sys

from .checks import diagnose
from .finding import BROKEN, Finding
from .stack import examine

HELP = 'show the versions of the whole stack, what is broken in it, and the command that mends it'


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument('--json', action='store_true', help='print everything found as one JSON object')


def run(args: argparse.Namespace) -> int:
    """Prints the report. Returns 1 if something is broken, 0 if all is well or there are only warnings."""
    print('Trying the imports ...', file=sys.stderr, flush=True)
    stack = examine()
    findings = diagnose(stack)
    if args.json:
        print(json.dumps({**stack, 'findings': [finding._asdict() for finding in findings]}, indent=2))
    else:
        print(report(stack, findings))
    return int(any(finding.level == BROKEN for finding in findings))


def report(stack: dict, findings: list[Finding]) -> str:
    """The report as text: versions, imports, and one paragraph per finding."""
    versions = {'python': stack['python'], **stack['versions']}
    notes = details(stack)
    width = max(map(len, versions))
    lines = [
        f'{name:<{width}}  {version or "-":<12}  {notes.get(name, "")}'.rstrip() for name, version in versions.items()
    ]

    imports = stack['imports']
    failing = {name: result['error'] for name, result in imports.items() if not result['ok']}
    lines += ['', f'{len(imports) - len(failing)} of {len(imports)} imports work.']
    lines += [f'  import {name} fails: {error}' for name, error in failing.items()]

    for finding in findings:
        lines += ['', f'{finding.level.upper()}: {finding.title}', f'  {finding.why}', f'  Mend: {finding.mend}']
    broken = sum(finding.level == BROKEN for finding in findings)
    count = f'{broken} broken, {len(findings) - broken} to know about. Mend from the top, then run this again.'
    return '\n'.join([*lines, '', count if findings else 'All of it works together.'])


def details(stack: dict) -> dict:
    """What the imports told about a distribution beyond its version."""
    notes = {'python': stack['executable']}
    torch, ops = stack['imports'].get('torch', {}), stack['imports'].get('mmcv.ops', {})
    if 'version' in torch:
        build = f'CUDA {torch["cuda"]}' if torch['cuda'] else 'no CUDA'
        notes['torch'] = f'{torch["version"]}, {build}, {"GPU found" if torch["gpu"] else "no GPU found"}'
    if 'cuda' in ops:
        notes['mmcv'] = f'with operators, CUDA {ops["cuda"]}'
    return notes

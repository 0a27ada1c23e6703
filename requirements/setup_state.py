"""What bootstrap.py remembers in `.venv/setup.json`, what `.venv` really holds, and what a failing log means."""

import json
import os
import re
import subprocess
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
VENV = ROOT / '.venv'
PYTHON = VENV / 'bin' / 'python'
LOG = VENV / 'setup.log'
STATE = VENV / 'setup.json'

# What the log of a failing step may say: (pattern, why, what to do).
REASONS = (
    (r'No space left on device', 'The disk is full.', 'Free some space (8 GB in all), then run the command again.'),
    (
        r'NewConnectionError|NameResolutionError|name resolution|Network is unreachable|Connection refused|'
        r'ConnectTimeout|Read timed out|ProxyError',
        'The package index could not be reached.',
        'Check the network and the proxy (HTTPS_PROXY, PIP_INDEX_URL), then run the command again.',
    ),
    (
        r'CERTIFICATE_VERIFY_FAILED|SSLError',
        'The certificate of the package index is not trusted.',
        'Let PIP_CERT name the certificate file of your network, then run the command again.',
    ),
    (r'Python\.h: No such file', "Python's header files are missing.", 'On Debian: apt-get install python3-dev'),
    (
        r'Killed signal|signal terminated program|[Oo]ut of memory|Cannot allocate memory',
        'The compiler ran out of memory.',
        'Run the command again with MAX_JOBS=1 before it.',
    ),
    (
        r'No matching distribution found|Could not find a version|ResolutionImpossible',
        'The package index does not answer, or has no such version for this Python and this kind of machine.',
        'The pins are for Python 3.11 and 3.12 on Linux; elsewhere follow "In an existing environment" in README.md.',
    ),
)


def read_state():
    """{'home': where .venv was made, 'done': {step: key}, 'installed': [name-version]}; empty before the first run."""
    try:
        return json.loads(STATE.read_text())
    except (OSError, ValueError):
        return {}


def write_state(state):
    VENV.mkdir(exist_ok=True)
    temporary = STATE.with_suffix('.new')
    temporary.write_text(json.dumps(state, indent=1))
    os.replace(str(temporary), str(STATE))


def installed():
    """What is installed in .venv, as name-version: the names of the metadata folders."""
    return sorted(path.name[: -len('.dist-info')] for path in VENV.glob('lib/python*/site-packages/*.dist-info'))


def venv_python():
    """(major, minor) of .venv's Python; None if there is none that starts."""
    code = 'import sys; print(*sys.version_info[:2])'
    try:
        output = subprocess.check_output([str(PYTHON), '-I', '-c', code], stderr=subprocess.DEVNULL)
        return tuple(int(number) for number in output.split())
    except (OSError, ValueError, subprocess.CalledProcessError):
        return None


def log_size():
    return LOG.stat().st_size if LOG.exists() else 0


def explain(offset):
    """Why a step failed, for the user: the end of what it logged after `offset`, and the cause where it is known."""
    with open(str(LOG), 'rb') as log:
        log.seek(offset)
        text = log.read().decode(errors='replace')
    lines = [line for line in text.splitlines() if line.strip()]
    words = ['', *('    ' + line for line in lines[-25:]), '']
    for pattern, why, cure in REASONS:
        if re.search(pattern, text):
            words += [f'Why: {why}', f'What to do: {cure}']
            break
    else:
        words.append('What to do: read the lines above; the same command then goes on from this step.')
    return '\n'.join([*words, f'The whole log: {LOG}'])

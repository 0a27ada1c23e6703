"""The `clamp-mmpose` command, startable where `import clamp_mmpose` fails.

Importing clamp_mmpose imports MMPose and all below it, and `clamp-mmpose doctor` exists for the day when that
breaks. So the folder clamp_mmpose/tools is mounted here as a package of its own, and the standard-library modules
of it run from there.
"""

import importlib.machinery
import importlib.util
import sys
from pathlib import Path

TOOLS = 'clamp_mmpose_tools'


def mount_tools():
    """Makes clamp_mmpose/tools importable as `clamp_mmpose_tools`, without importing clamp_mmpose."""
    package = importlib.util.find_spec('clamp_mmpose')
    spec = importlib.machinery.ModuleSpec(TOOLS, loader=None, is_package=True)
    spec.submodule_search_locations = [str(Path(next(iter(package.submodule_search_locations)), 'tools'))]
    sys.modules[TOOLS] = importlib.util.module_from_spec(spec)


def main(argv=None):
    """Runs the command line (sys.argv unless given); returns the exit status."""
    mount_tools()
    return importlib.import_module(f'{TOOLS}.cli').main(argv)


if __name__ == '__main__':
    sys.exit(main())

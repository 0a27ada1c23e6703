"""What `mim train clamp_mmpose NAME` and `mim test clamp_mmpose NAME` start: MMPose's script of that name.

mim looks for `train.py` and `test.py` in the `.mim/tools` folder of the package it is given. setup.py puts this
file there under both names; the name it runs under says which script of MMPose is meant.
"""

import importlib.util
import runpy
import sys
from pathlib import Path

if __name__ == '__main__':
    mmpose = importlib.util.find_spec('mmpose')
    if mmpose is None:
        sys.exit('MMPose is not installed in this Python; run `clamp-mmpose doctor`.')
    script = Path(mmpose.origin).parent / '.mim' / 'tools' / Path(__file__).name
    sys.argv[0] = str(script)
    runpy.run_path(str(script), run_name='__main__')

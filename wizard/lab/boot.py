"""Runs a module of this very package, whatever the current directory holds: boot.py MODULE [ARG…].

By path, because `-m` would need the package on a path that every program in the laboratory then inherits.
"""

import runpy
import sys
from pathlib import Path

ROOT = str(Path(__file__).resolve().parents[2])

if __name__ == "__main__":
    if ROOT not in sys.path:
        sys.path.insert(0, ROOT)
    sys.argv.pop(0)
    runpy.run_module(sys.argv[0], run_name="__main__", alter_sys=True)

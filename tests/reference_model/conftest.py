"""Make ``golden.py`` importable from every test of this folder, whatever pytest's import mode.

The folder has no ``__init__.py`` on purpose: as a package it would be called ``reference_model`` and hide the
package under test.
"""

import os
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent))


def pytest_terminal_summary(terminalreporter):
    """With ``T2AV_GOLDEN_REPORT=1``: print the largest fraction of its tolerance that each golden case used."""
    if not os.environ.get("T2AV_GOLDEN_REPORT"):
        return
    from golden import USED

    worst: dict[str, tuple[float, str]] = {}
    for (case, name), fraction in USED.items():
        worst[case] = max(worst.get(case, (0.0, "")), (fraction, name))
    terminalreporter.section("golden tolerance used")
    for case, (fraction, name) in sorted(worst.items()):
        terminalreporter.write_line(f"{case:28s} {fraction:7.4f}  {name}")

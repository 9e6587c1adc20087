"""What this machine is, as far as commands care: its cores, its system, and the user's folders."""

import os
import subprocess
import sys
from pathlib import Path


def cores() -> int:
    """Cores that this process may use; all of them where the system does not say (macOS)."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def unsupported() -> str | None:
    """Why nothing can run here, where that is so: worker processes need signals and process groups."""
    if sys.platform == "win32":
        return "t2av-bench does not run on Windows itself; it runs in WSL 2 (wsl --install), with the same commands"
    return None


def user_cache() -> Path:
    """The user's cache of this program: built benchmarks, digests, and runs without a folder of their own."""
    import platformdirs

    return platformdirs.user_cache_path("t2av-bench", appauthor=False)


def user_data() -> Path:
    """The user's data of this program: weights."""
    import platformdirs

    return platformdirs.user_data_path("t2av-bench", appauthor=False)


def revision() -> str | None:
    """The git commit of this checkout, with ``-dirty`` where files differ; None for an installed package."""
    root = Path(__file__).resolve().parents[2]
    if not (root / ".git").exists():
        return None
    try:
        described = subprocess.run(
            ["git", "-C", str(root), "describe", "--always", "--dirty", "--abbrev=40", "--exclude=*"],
            capture_output=True, text=True, timeout=10, check=True,
        )  # fmt: skip
    except (OSError, subprocess.SubprocessError):
        return None
    return described.stdout.strip()

"""What an artifact was made with: versions, commit, CPU capability, threads."""

import platform
import re
import subprocess
import sys
from collections.abc import Mapping
from importlib.metadata import version
from pathlib import Path
from typing import Any

import torch

PACKAGES = ("lunar-offline", "torch", "numpy", "gymnasium", "minari", "h5py", "box2d")


def versions() -> dict[str, str]:
    """Return the versions that results depend on."""
    return {"python": platform.python_version()} | {name: version(name) for name in PACKAGES}


def commit() -> str | None:
    """Return the source checkout's commit, with `-dirty` for changes; None when installed."""
    root = Path(__file__).resolve().parents[2]
    if not (root / ".git").exists():
        return None
    try:
        described = subprocess.run(
            ["git", "describe", "--always", "--dirty", "--abbrev=12", "--exclude=*"],
            cwd=root,
            capture_output=True,
            text=True,
            timeout=10,
            check=True,
        )
    except (OSError, subprocess.SubprocessError):
        return None
    return described.stdout.strip()


def cpu_vendor() -> str:
    """Return who made the CPU: MKL sums in another order on AMD than on Intel, both AVX512."""
    try:
        text = Path("/proc/cpuinfo").read_text()
    except OSError:  # no Linux
        return platform.processor()
    found = re.search(r"^(?:vendor_id|CPU implementer)\s*:\s*(\S+)", text, re.MULTILINE)
    return found[1] if found else platform.processor()


def machine() -> dict[str, Any]:
    """Return what bit-exactness is promised for: the same platform, CPU and threads."""
    return {
        "platform": f"{sys.platform}-{platform.machine()}",
        "cpu_vendor": cpu_vendor(),
        "cpu_capability": torch.backends.cpu.get_cpu_capability(),
        "threads": torch.get_num_threads(),
    }


def platform_line() -> str:
    """Return in a few words what bit-exactness depends on, as recipes give it."""
    here = machine()
    cpu = f"{here['cpu_vendor']}, {here['cpu_capability']}"
    return f"{here['platform']}, {cpu}, torch {version('torch').split('+')[0]}"


def provenance() -> dict[str, Any]:
    """Return versions, commit and machine."""
    return {"versions": versions(), "commit": commit(), "machine": machine()}


def differences(recorded: Mapping[str, Any], *, precision: str) -> str:
    """Say what bit-exactness depends on and is not as recorded; empty when all of it is.

    Args:
        recorded: as in a run's provenance.json.
        precision: that of the run from here on.
    """
    then, now = {}, versions() | machine() | {"precision": precision}
    for table in (recorded.get("versions"), recorded.get("machine"), recorded):
        then |= table if isinstance(table, dict) else {}
    names = [name for name in now if now[name] != then.get(name, now[name])]
    return ", ".join(f"{name} {then[name]!s:.40} (here {now[name]})" for name in names)

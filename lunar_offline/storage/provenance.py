"""The provenance of an artifact: versions, commit, CPU capability, threads."""

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
    """Return the versions of Python and of the packages that results depend on, by name."""
    return {"python": platform.python_version()} | {name: version(name) for name in PACKAGES}


def commit() -> str | None:
    """Return the commit of the source checkout, None if there is no checkout.

    The suffix `-dirty` marks uncommitted changes.
    """
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
    """Return the vendor of the CPU: with AVX512, MKL's order of sums differs on AMD and Intel."""
    try:
        text = Path("/proc/cpuinfo").read_text()
    except OSError:  # not Linux
        return platform.processor()
    found = re.search(r"^(?:vendor_id|CPU implementer)\s*:\s*(\S+)", text, re.MULTILINE)
    return found[1] if found else platform.processor()


def platform_name() -> str:
    """Return the operating system and the architecture, such as `linux-x86_64`."""
    return f"{sys.platform}-{platform.machine()}"


def machine() -> dict[str, Any]:
    """Return the platform, CPU and thread count; results are bit-exact only if these are equal."""
    return {
        "platform": platform_name(),
        "cpu_vendor": cpu_vendor(),
        "cpu_capability": torch.backends.cpu.get_cpu_capability(),
        "threads": torch.get_num_threads(),
    }


def platform_line() -> str:
    """Return a short text with the platform, CPU and torch version, as recipes state it."""
    here = machine()
    cpu = f"{here['cpu_vendor']}, {here['cpu_capability']}"
    return f"{here['platform']}, {cpu}, torch {version('torch').split('+')[0]}"


def provenance() -> dict[str, Any]:
    """Return versions, commit and machine as plain JSON values."""
    return {"versions": versions(), "commit": commit(), "machine": machine()}


def differences(recorded: Mapping[str, Any], *, precision: str) -> str:
    """Describe the recorded values that differ here and affect bit-exactness; empty if none do.

    Args:
        recorded: the content of a run's provenance.json.
        precision: the precision with which the run continues.
    """
    then, now = {}, versions() | machine() | {"precision": precision}
    for table in (recorded.get("versions"), recorded.get("machine"), recorded):
        then |= table if isinstance(table, dict) else {}
    names = [name for name in now if now[name] != then.get(name, now[name])]
    return ", ".join(f"{name} {then[name]!s:.40} (here {now[name]})" for name in names)

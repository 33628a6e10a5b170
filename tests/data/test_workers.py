"""Processes that die, and what their caller hears."""

import os
import subprocess
import sys

import pytest

from lunar_offline.data.workers import map_in_processes
from lunar_offline.errors import LunarOfflineError


def test_an_exception_comes_back() -> None:
    with pytest.raises(ValueError, match="invalid literal"):
        list(map_in_processes(int, ["1", "x"], workers=2))


def test_a_dead_process_is_named_with_its_exit_code() -> None:
    with pytest.raises(LunarOfflineError, match=r"died \(exit code 3\)"):
        list(map_in_processes(os._exit, [3], workers=1))


def test_a_script_without_a_main_guard_is_told_so(tmp_path) -> None:
    script = tmp_path / "script.py"
    script.write_text(
        "from lunar_offline.data.workers import map_in_processes\n"
        "print(list(map_in_processes(int, ['1', '2', '3'], workers=2)))\n"
    )
    done = subprocess.run([sys.executable, script], capture_output=True, text=True, check=False)
    assert done.returncode == 1
    assert "needs its `if __name__ == '__main__':`" in done.stderr.splitlines()[-1]

"""Processes that share work, and how one that fails is reported."""

import multiprocessing
import os
import subprocess
import sys
import time
from collections.abc import Iterator

import pytest

from lunar_offline.errors import LunarOfflineError
from lunar_offline.process_pool import in_order, share


def elsewhere() -> bool:
    """Return whether this is another process; the first one waits a little to let others begin."""
    if multiprocessing.parent_process():
        return True
    time.sleep(0.02)
    return False


def squares(items: Iterator[int]) -> Iterator[tuple[int, tuple[int, bool]]]:
    for item in items:
        yield item, (item * item, elsewhere())


def fails(items: Iterator[int]) -> Iterator[int]:
    for item in items:
        yield int("x") if elsewhere() else item


def dies(items: Iterator[int]) -> Iterator[int]:
    for item in items:
        if elsewhere():
            os._exit(3)
        yield item


def test_values_come_in_order() -> None:
    pairs = [(2, "c"), (0, "a"), (1, "b"), (4, "e"), (3, "d")]
    assert list(in_order(pairs)) == ["a", "b", "c", "d", "e"]


@pytest.mark.parametrize("workers", [1, 2, 3])
def test_each_item_is_worked_on_once_here_or_elsewhere(workers: int) -> None:
    n = 3000 if workers > 1 else 3
    found = list(in_order(share(squares, range(n), workers=workers, ahead=5)))
    assert [square for square, _ in found] == [item * item for item in range(n)]
    assert {there for _, there in found} == ({False, True} if workers > 1 else {False})


def test_no_item_is_no_result() -> None:
    assert not list(share(squares, [], workers=2, ahead=2))


def test_an_exception_comes_back() -> None:
    with pytest.raises(ValueError, match="invalid literal"):
        list(share(fails, range(3000), workers=2, ahead=2))


def test_a_dead_process_is_named_with_its_exit_code() -> None:
    with pytest.raises(LunarOfflineError, match=r"died \(exit code 3\)"):
        list(share(dies, range(3000), workers=2, ahead=2))


def test_a_script_without_a_main_guard_gets_a_hint(tmp_path) -> None:
    script = tmp_path / "script.py"
    script.write_text(
        "import time\n"
        "from lunar_offline.process_pool import share\n"
        "def slow(items):\n"
        "    for item in items:\n"
        "        time.sleep(0.02)\n"
        "        yield item\n"
        "print(list(share(slow, range(3000), workers=2, ahead=2)))\n"
    )
    done = subprocess.run([sys.executable, script], capture_output=True, text=True, check=False)
    assert done.returncode == 1
    assert "needs the guard `if __name__ == '__main__':`" in done.stderr.splitlines()[-1]

"""A finished run with one checkpoint, and commands that must refuse a file of it."""

import sys
import time
import tracemalloc
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hostile_paths import tree
from lunar_offline_cli.app import main
from small_runs import TINY

from lunar_offline.training.resolve_config import resolve
from lunar_offline.training.start_or_resume import start


@pytest.fixture(scope="session")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A finished run with one checkpoint; never to be changed."""
    run = tmp_path_factory.mktemp("hostile") / "run"
    start(resolve(discrete=True, file=TINY, options={}), run).train()
    (newest, *older) = sorted((run / "checkpoints").iterdir(), reverse=True)
    for path in older:
        path.unlink()
    assert newest.stat().st_size > 1_000
    return run


@pytest.fixture
def refused(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> Callable[..., str]:
    """Run a command that must end with code 3 and one line, soon and in little memory."""

    def run(*arguments: Any) -> str:
        monkeypatch.setattr(sys, "argv", ["lunar-offline", *map(str, arguments)])
        before = tree(Path.cwd())
        tracemalloc.start()
        began = time.process_time()
        with pytest.raises(SystemExit) as stop:
            main()
        took, (_, peak) = time.process_time() - began, tracemalloc.get_traced_memory()
        tracemalloc.stop()
        printed = capsys.readouterr()
        assert (stop.value.code, printed.out) == (3, ""), printed
        assert printed.err.count("\n") == 1
        assert printed.err.rstrip("\n").isprintable()
        assert len(printed.err) < 700
        assert took < 2.0
        assert peak < 64 << 20
        assert tree(Path.cwd()) == before
        return printed.err

    return run

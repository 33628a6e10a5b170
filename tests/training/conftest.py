"""A finished run, and commands that must fail."""

import sys
import time
from pathlib import Path
from typing import Any

import pytest
from hostile_paths import tree
from lunar_offline_cli.app import main
from small_runs import TINY

from lunar_offline.training.resolve_config import resolve
from lunar_offline.training.start_or_resume import finish, start


@pytest.fixture(scope="session")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A finished, evaluated run; never to be changed."""
    run = tmp_path_factory.mktemp("runs") / "run"
    training = start(resolve(discrete=True, file=TINY, options={}), run)
    training.train()
    finish(training.run)
    return run


@pytest.fixture
def call(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]):
    """Run a command that must fail at once with one line; return its exit code and the line."""

    def run(*arguments: Any) -> tuple[int, str]:
        monkeypatch.setattr(sys, "argv", ["lunar-offline", *map(str, arguments)])
        before, began = tree(Path.cwd()), time.process_time()
        with pytest.raises(SystemExit) as stop:
            main()
        printed = capsys.readouterr()
        assert printed.out == ""
        assert printed.err.count("\n") == 1, printed.err
        assert printed.err.rstrip("\n").isprintable()
        assert len(printed.err) < 700
        assert time.process_time() - began < 2.0
        assert tree(Path.cwd()) == before
        return int(stop.value.code or 0), printed.err

    return run

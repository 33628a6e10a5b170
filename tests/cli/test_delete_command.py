"""The command that deletes a dataset asks first."""

import io
import json
from collections.abc import Callable

import pytest

from lunar_offline.datasets.ids import local_ids

Run = Callable[..., tuple[int, str, str]]


def test_the_command_needs_yes_without_a_terminal(run: Run, random_dataset: str) -> None:
    code, _, err = run("dataset", "delete", random_dataset)
    assert (code, err.count("\n")) == (2, 1)
    assert "--yes" in err
    code, out, _ = run("dataset", "delete", random_dataset, "--yes", "--json")
    assert code == 0
    assert json.loads(out)["dataset_id"] == random_dataset
    assert local_ids() == []


@pytest.mark.parametrize(("answer", "code"), [("y\n", 0), ("n\n", 1), ("\n", 1)])
def test_the_command_asks_on_a_terminal(
    run: Run, random_dataset: str, monkeypatch: pytest.MonkeyPatch, answer: str, code: int
) -> None:
    terminal = io.StringIO(answer)
    monkeypatch.setattr(terminal, "isatty", lambda: True)
    monkeypatch.setattr("sys.stdin", terminal)
    assert run("dataset", "delete", random_dataset)[0] == code
    assert local_ids() == ([random_dataset] if code else [])

"""trackio, for which a stub stands in: the real one needs another Pillow than the tests."""

from collections.abc import Callable
from pathlib import Path

import pytest
from stub_trackio import received


@pytest.mark.usefixtures("stub")
def test_a_run_is_resumed_by_its_name(run: Path, mirror: Callable[..., None]) -> None:
    mirror(run, "trackio")
    mirror(run, "trackio")
    first, again = [line for line in received(run) if "project" in line]
    assert (first["project"], first["name"], first["resume"]) == (
        "lunar-offline",
        "my-run",
        "never",
    )
    assert again == first | {"resume": "must"}


@pytest.mark.usefixtures("stub")
def test_another_run_of_that_name_is_not_continued(
    run: Path,
    mirror: Callable[..., None],
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    mirror(run, "trackio")
    before = len([line for line in received(run) if "step" in line])
    monkeypatch.setenv("STUB", "other run")
    mirror(run, "trackio")
    assert "another run named my-run has started since" in capsys.readouterr().err
    assert len([line for line in received(run) if "step" in line]) == before


@pytest.mark.usefixtures("stub")
def test_the_users_folder_is_used(
    run: Path, mirror: Callable[..., None], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TRACKIO_DIR", str(tmp_path / "all-runs"))
    mirror(run, "trackio")
    assert (tmp_path / "all-runs" / "received.jsonl").exists()
    assert not (run / "trackio").exists()

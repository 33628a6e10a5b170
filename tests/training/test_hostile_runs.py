"""Run directories that are damaged, in use, of another machine, or from an unknown source."""

import json
import os
import shutil
from pathlib import Path
from typing import Any

import pytest
from hostile_paths import Make, link, sparse, text
from small_runs import TINY

from lunar_offline.datasets.dataset import read_dataset
from lunar_offline.errors import RefusedError, UsageError
from lunar_offline.evaluation.evaluation_file import read_evaluation
from lunar_offline.training.metrics import IntervalRecord
from lunar_offline.training.resolve_config import resolve
from lunar_offline.training.run_folder import RunFolder
from lunar_offline.training.start_or_resume import finish, resume, start

INTERVAL = '{"kind": "interval", "update_step": 1, "env_step": 0, "updates_per_s": 1.0, "x": %s}'
DAMAGE: list[tuple[str, Make | None, str]] = [
    ("provenance.json", None, "provenance.json: missing"),
    ("provenance.json", text(""), "Expecting value"),
    ("provenance.json", text("[]"), "not a JSON object"),
    ("provenance.json", text('{"a": NaN}'), "NaN is not valid JSON"),
    ("provenance.json", text('{"a": 1, "a": 2}'), "duplicate key 'a'"),
    ("provenance.json", text("[" * 100_000), "nested too deep"),
    ("provenance.json", text('{"dataset": {"id": "x-v0"}}'), "changed since the run started"),
    ("provenance.json", sparse(1 << 40), "1,099,511,627,776 bytes; at most"),
    ("provenance.json", os.mkfifo, "not a regular file"),
    ("provenance.json", link("/dev/zero"), "a symbolic link"),
    ("metrics.jsonl", text("x" * 10_000), "metrics.jsonl: line 1: Expecting value"),
    ("metrics.jsonl", text('{"update_step": NaN}' + " " * 10_000), "NaN is not valid JSON"),
    ("metrics.jsonl", text("[1]" + " " * 10_000), "metrics.jsonl: line 1: is not a JSON object"),
    ("metrics.jsonl", text('{"update_step": 1}' + " " * 10_000), "line 1: env_step is None"),
    ("metrics.jsonl", text(INTERVAL % "1e999" + " " * 10_000), "line 1: x is inf, not a finite"),
    ("metrics.jsonl", text(INTERVAL % "[]" + " " * 10_000), "line 1: x is [], not a finite"),
    ("metrics.jsonl", None, "the counter metrics_size is"),
    ("metrics.jsonl", sparse(1 << 40), "bytes; at most"),
    ("metrics.jsonl", Path.mkdir, "not a regular file"),
    ("checkpoints", link("/etc"), "not a folder of this run"),
    ("checkpoints", text("no folder"), "not a folder of this run"),
    ("tensorboard", link("/tmp"), "not a folder of this run"),
]


@pytest.mark.parametrize(("name", "make", "reason"), DAMAGE)
def test_a_damaged_run_is_not_continued(
    call,
    trained: Path,
    tmp_path: Path,
    name: str,
    make: Make | None,
    reason: str,
) -> None:
    shutil.copytree(trained, tmp_path / "run")
    path = tmp_path / "run" / name
    shutil.rmtree(path) if path.is_dir() else path.unlink()
    if make:
        make(path)
    code, printed = call("train", "--resume", "run")
    assert code == 3
    assert reason in printed


EVALUATION = {
    **{"episodes": 1, "mean": 1.0, "iqm": 1.0, "sd": 0.0, "min": 1.0, "frames": 9.0},
    **{"outcomes": {"landed": 1}, "returns": [1.0], "seeds": [0]},
}


def changed(**values) -> str:
    """Return an evaluation.json with other values of the last policy."""
    return json.dumps({"last": EVALUATION | values})


def test_the_evaluation_that_is_damaged_below_is_valid() -> None:
    Path("evaluation.json").write_text(changed())
    assert read_evaluation(Path("evaluation.json")).headline.mean == 1.0


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        ("{", "Expecting property name"),
        ("{}", "evaluate the run again"),
        ('{"last": []}', "evaluate the run again"),
        ('{"last": {}}', "evaluate the run again"),
        ('{"mean": 1.0, "returns": [1.0]}', "evaluate the run again"),
        (changed(mean=None), "evaluate the run again"),
        (changed(mean=[1.0]), "evaluate the run again"),
        (changed(episodes=2), "evaluate the run again"),
        (changed(returns=[]), "evaluate the run again"),
        (changed(returns=["high"]), "evaluate the run again"),
        (changed(returns=[10**300]), "evaluate the run again"),
        (changed(returns=[1.0]).replace("1.0", "1e999"), "evaluate the run again"),
        (changed(seeds=[-1]), "evaluate the run again"),
        (changed(seeds=["x"]), "evaluate the run again"),
        (changed(outcomes=[]), "evaluate the run again"),
        (changed(outcomes={"landed": -1}), "evaluate the run again"),
        (changed(fuel="much"), "evaluate the run again"),
        (changed(regret_parts={"x": []}), "evaluate the run again"),
        (changed(min_window_100="x"), "evaluate the run again"),
        ("[" * 100_000, "nested too deep"),
    ],
)
def test_a_damaged_evaluation_is_refused(
    call, trained: Path, tmp_path: Path, content: str, reason: str
) -> None:
    shutil.copytree(trained, tmp_path / "run")
    (tmp_path / "run" / "evaluation.json").write_text(content)
    for command in ("video", "stats"):
        code, printed = call(command, "run")
        assert code == 3
        assert reason in printed


def test_nothing_is_written_through_a_link(trained: Path, tmp_path: Path) -> None:
    shutil.copytree(trained, tmp_path / "run")
    precious = tmp_path / "precious"
    precious.write_text("mine")
    for name in ("training.png", "evaluation.png", "last.safetensors", "evaluation.json"):
        (tmp_path / "run" / name).unlink()
        (tmp_path / "run" / name).symlink_to(precious)
    again = resume(tmp_path / "run")
    again.train()
    finish(again.run)
    assert precious.read_text() == "mine"
    assert (tmp_path / "run" / "training.png").read_bytes().startswith(b"\x89PNG")
    metrics = tmp_path / "run" / "metrics.jsonl"
    metrics.unlink()
    metrics.symlink_to(precious)
    with pytest.raises(RefusedError):
        resume(tmp_path / "run")
    with pytest.raises(OSError, match="symbolic links"):
        again.run.log(IntervalRecord(1, 0, {}, 1.0))
    assert precious.read_text() == "mine"


def test_a_start_that_was_killed_can_be_given_again(tmp_path: Path) -> None:
    config = resolve(discrete=True, file=TINY, options={})
    half = tmp_path / ".run.unfinished"
    (half / "checkpoints").mkdir(parents=True)
    (half / "provenance.json").write_text("{")
    assert start(config, tmp_path / "run").run.provenance()["precision"] == "fp32"
    assert not half.exists()


def test_two_processes_do_not_train_one_run(trained: Path, tmp_path: Path) -> None:
    shutil.copytree(trained, tmp_path / "run")
    training = resume(tmp_path / "run")
    with (
        RunFolder.open(tmp_path / "run").writing(0),
        pytest.raises(RefusedError, match="is being trained by another process"),
    ):
        training.train()


def test_another_machine_is_noted(trained: Path, tmp_path: Path) -> None:
    shutil.copytree(trained, tmp_path / "run")
    assert resume(tmp_path / "run").notes == []
    path = tmp_path / "run" / "provenance.json"
    recorded = json.loads(path.read_text())
    recorded["versions"]["torch"] = "0.0\x1b"
    recorded["machine"] |= {
        "threads": 7,
        "cpu_vendor": "Transmeta",
        "cpu_capability": "ALTIVEC",
    }
    recorded["precision"] = "bf16"
    path.write_text(json.dumps(recorded))
    (note,) = resume(tmp_path / "run").notes
    for expected in (
        "the run started with torch 0.0",
        "cpu_vendor Transmeta (here ",
        "cpu_capability ALTIVEC (here ",
        "threads 7 (here 1)",
        "precision bf16 (here fp32)",
    ):
        assert expected in note


def test_a_pinned_dataset_must_be_that_one(random_dataset: str, tmp_path: Path) -> None:
    found = read_dataset(random_dataset).sha256
    options: dict[str, Any] = {"dataset": random_dataset, "rho": 0.6}
    for pinned, taken in ((found, True), ("0" * 64, False)):
        file = TINY | {"dataset_sha256": pinned}
        config = resolve(discrete=None, file=file, options=options)
        if taken:
            start(config, tmp_path / pinned)
            assert resume(tmp_path / pinned).config.dataset_sha256 == found
            continue
        with pytest.raises(RefusedError, match=f"its sha256 is {found}.* is {pinned}"):
            start(config, tmp_path / pinned)
        assert not (tmp_path / pinned).exists()
    with pytest.raises(UsageError, match="dataset_sha256 needs a dataset"):
        resolve(discrete=True, file=TINY | {"dataset_sha256": found}, options={})

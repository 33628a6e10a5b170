"""Trackers and training: nothing that a tracker does reaches the training."""

import json
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from small_runs import begin, policy_bytes
from stub_trackio import points, received

from lunar_offline.envs.rollout import EpisodeRecorder
from lunar_offline.errors import RefusedError, UsageError
from lunar_offline.training.loop import Training
from lunar_offline.training.run_folder import RunFolder
from lunar_offline.training.start_or_resume import finish, resume, train_and_finish
from lunar_offline.training.trackers import run_trackers
from lunar_offline.training.trackers.run_trackers import recorded_trackers


def stub_run(out: Path, dataset: str) -> Training:
    return begin(out, ("tensorboard", "trackio"), dataset=dataset, evaluation_episodes=2)


def numbers(run: Path) -> list[dict[str, Any]]:
    """Return the numbers of metrics.jsonl, as trackers get them."""
    lines = [record.to_dict() for record in RunFolder.open(run).metrics()]
    return [{k: v for k, v in line.items() if not isinstance(v, str)} for line in lines]


def steps(values: list[dict[str, Any]]) -> list[tuple[Any, Any, Any]]:
    """Return what tells the points of a run apart."""
    return [(v.get("update_step", v.get("step")), v["env_step"], v.get("length")) for v in values]


@pytest.mark.usefixtures("stub")
def test_a_tracker_changes_no_byte_and_gets_every_number(
    random_dataset: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    plain = begin(tmp_path / "plain", (), dataset=random_dataset, evaluation_episodes=2)
    train_and_finish(plain)
    assert not (tmp_path / "plain" / "tensorboard").exists()
    assert not (tmp_path / "plain" / "trackers").exists()
    train_and_finish(stub_run(tmp_path / "run", random_dataset))
    assert policy_bytes(tmp_path / "run") == policy_bytes(tmp_path / "plain")
    for name in ("config.toml", "evaluation.json"):
        assert (tmp_path / "run" / name).read_bytes() == (tmp_path / "plain" / name).read_bytes()

    first, *found, evaluation, last = received(tmp_path / "run")
    assert (first["project"], first["name"], first["resume"]) == ("lunar-offline", "run", "never")
    assert first["config"]["dataset"] == random_dataset
    assert first["config"]["agent.hidden"] == "[16, 16]"
    assert last == {"finish": "stub-id"}
    lines = numbers(tmp_path / "run")
    assert len(found) == len(lines) >= 5
    assert [{**point, "update_step": point["step"]} for point in found] == [
        {**line, "step": line["update_step"]} for line in lines
    ]
    mean = json.loads((tmp_path / "run" / "evaluation.json").read_text())["last"]["mean"]
    assert evaluation["evaluation_last_mean"] == mean
    assert evaluation["step"] == lines[-1]["update_step"]
    assert recorded_trackers(tmp_path / "run") == ("tensorboard", "trackio")

    # a second resume of the finished run repeats nothing
    train_and_finish(resume(tmp_path / "run"))
    assert len(points(tmp_path / "run")) == len(lines) + 1
    assert received(tmp_path / "run")[-2]["resume"] == "must"


@pytest.mark.usefixtures("stub")
def test_a_resumed_run_appends_without_duplicates(
    random_dataset: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Stop(Exception):
        pass

    run_episode = Training._run_episode

    def stop(self: Training, recorder: EpisodeRecorder):
        if self.episode == 1:  # its record is newer than the checkpoint
            raise Stop
        return run_episode(self, recorder)

    run = tmp_path / "run"
    with monkeypatch.context() as patch:
        patch.setattr(Training, "_run_episode", stop)
        with pytest.raises(Stop):
            train_and_finish(stub_run(run, random_dataset))
    before = len(points(run))
    assert before == 2
    assert received(run)[-1] == {"finish": "stub-id"}
    training = resume(run)
    assert training.run.metrics_size() > training._metrics_size  # a record will be repeated
    train_and_finish(training)
    *found, evaluation = points(run)
    assert steps(found) == steps(numbers(run))
    assert "evaluation_last_mean" in evaluation
    assert [line["resume"] for line in received(run) if "resume" in line] == ["never", "must"]


@pytest.mark.usefixtures("stub")
@pytest.mark.parametrize(
    ("how", "reason"),
    [
        ("init fails", "no network (details in "),
        ("log fails", "No space left for the tracker (details in "),
        ("dies", "it ended with exit code -6"),
        ("init hangs", "not done after 1 s"),
        ("finish hangs", "not done after 1 s"),
    ],
)
def test_a_failing_tracker_is_dropped_with_one_line(
    run: Path,
    mirror: Callable[..., None],
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    how: str,
    reason: str,
) -> None:
    with monkeypatch.context() as patch:
        patch.setenv("STUB", how)
        if how.endswith("hangs"):
            patch.setattr(run_trackers, "FINISH_S", 1.0)
        mirror(run, "trackio")
    printed = capsys.readouterr()
    assert printed.out == ""
    assert printed.err.count("\n") == 1
    assert printed.err.startswith(f"tracker trackio: {reason}")
    assert printed.err.endswith("; it is dropped, and metrics.jsonl has every record\n")
    mirror(run)  # goes on with the tracker, and makes up for what it lacks
    assert capsys.readouterr().err == ""
    *found, evaluation = points(run)
    assert steps(found) == steps(numbers(run))
    assert "evaluation_last_mean" in evaluation


@pytest.mark.usefixtures("stub")
def test_a_tracker_that_fails_in_a_run_is_dropped_there(
    random_dataset: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setenv("STUB", "init fails")
    training = stub_run(tmp_path / "run", random_dataset)
    run_episode = Training._run_episode

    def wait(self: Training, recorder: EpisodeRecorder):
        (mirror,) = self.run.trackers._mirrors or (None,)
        if mirror is not None:
            mirror._process.wait(30)
        return run_episode(self, recorder)

    with monkeypatch.context() as patch:
        patch.setattr(Training, "_run_episode", wait)
        training.train()
    assert capsys.readouterr().err.count("tracker trackio: no network (details in ") == 1


def test_a_full_tensorboard_is_dropped(
    run: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    (run / "tensorboard").write_text("in the way")
    trackers = RunFolder.open(run).trackers
    with trackers.open():
        trackers.start([])
        for record in RunFolder.open(run).metrics():
            trackers.log(record)
    assert capsys.readouterr().err.count("tracker tensorboard: ") == 1


def test_tensorboard_gets_the_records_of_a_run_that_had_none(run: Path) -> None:
    records = RunFolder.open(run).metrics()
    for _ in range(2):  # nothing is new at the second time
        trackers = RunFolder.open(run).trackers
        with trackers.open():
            trackers.start(records)
        (path,) = (run / "tensorboard").iterdir()
        assert path.read_bytes().count(b"episode_return") == 1


def test_the_evaluation_reaches_tensorboard(run: Path) -> None:
    (run / "evaluation.json").unlink()
    finish(RunFolder.open(run))
    (path,) = (run / "tensorboard").iterdir()
    assert b"evaluation_last_mean" in path.read_bytes()


def test_a_missing_extra_is_reported_before_any_work(
    run: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "wandb", None)
    with pytest.raises(UsageError, match=r"lunar-offline\[wandb\]"):
        begin(tmp_path / "new", ("wandb",), rho=0.0, pretrain_updates=0)
    assert not (tmp_path / "new").exists()
    with pytest.raises(UsageError, match=r"lunar-offline\[wandb\]"):
        resume(run, trackers=("wandb",))
    assert not (run / "trackers.json").exists()


@pytest.mark.parametrize("content", ["{}", '{"trackers": "wandb"}', '{"trackers": ["os"]}', "["])
def test_a_damaged_list_of_trackers_is_refused(run: Path, content: str) -> None:
    (run / "trackers.json").write_text(content)
    with pytest.raises(RefusedError, match=r"trackers\.json"):
        resume(run)

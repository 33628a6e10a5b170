import json
from pathlib import Path
from typing import Any

import pytest
import torch

from lunar_offline.errors import RefusedError
from lunar_offline.training.metrics import (
    EpisodeRecord,
    IntervalMeans,
    IntervalRecord,
    Record,
    ValidationRecord,
    read_metrics,
)

EPISODE = EpisodeRecord(
    update_step=12, env_step=340, episode=3, episode_return=-81.25, length=97, outcome="crashed"
)
VALIDATION = ValidationRecord(
    update_step=12, env_step=340, episode=4, mean=-12.5, min=-300.0, frames=88.5, crash_rate=0.75
)
INTERVAL = IntervalRecord(
    update_step=1_000, env_step=0, metrics={"td_loss": 0.5, "q_mean": -3.0}, updates_per_s=812.5
)
NO_CRASHES = ValidationRecord(
    update_step=0, env_step=0, episode=0, mean=-1_200.0, min=-1_600.0, frames=200.0
)
RECORDS: list[Record] = [INTERVAL, NO_CRASHES, EPISODE, VALIDATION]


def write(path: Path, *lines: Any) -> Path:
    path.write_text("".join(json.dumps(line) + "\n" for line in lines))
    return path


def scalars(**values: float) -> dict[str, torch.Tensor]:
    return {name: torch.tensor(value) for name, value in values.items()}


def test_a_metric_is_averaged_over_the_updates_that_have_it() -> None:
    means = IntervalMeans()
    means.add(scalars(td_loss=1.0))
    means.add(scalars(td_loss=3.0, cloning_loss=4.0))
    means.add(scalars(td_loss=5.0))
    means.add(scalars(td_loss=7.0))
    assert means.take() == {"td_loss": 4.0, "cloning_loss": 4.0}
    assert means.take() == {}
    means.add(scalars(td_loss=2.0))
    assert means.take() == {"td_loss": 2.0}


def test_adding_does_not_change_what_was_added() -> None:
    means, metrics = IntervalMeans(), scalars(td_loss=1.0)
    for _ in range(3):
        means.add(metrics)
    assert float(metrics["td_loss"]) == 1.0
    assert means.take() == {"td_loss": 1.0}


def test_interrupted_means_continue_from_their_state() -> None:
    whole, broken = IntervalMeans(), IntervalMeans()
    before = [scalars(td_loss=1 / 3), scalars(td_loss=0.1, cloning_loss=4.0)]
    after = [scalars(td_loss=0.7, forward_kl=2.0), scalars(td_loss=-5.0, cloning_loss=0.3)]
    for metrics in before:
        whole.add(metrics)
        broken.add(metrics)
    state = broken.state()
    assert broken.state() == state  # asking for it changes nothing
    stored = json.loads(json.dumps(state))
    assert stored["counts"] == {"td_loss": 2, "cloning_loss": 1}
    continued = IntervalMeans.of_state(stored)
    assert continued.state() == state
    for metrics in after:
        whole.add(metrics)
        continued.add(metrics)
    assert continued.take() == whole.take()
    assert IntervalMeans.of_state(IntervalMeans().state()).take() == {}


@pytest.mark.parametrize("record", RECORDS, ids=lambda record: record.to_dict()["kind"])
def test_a_record_round_trips(tmp_path: Path, record: Record) -> None:
    (found,) = read_metrics(write(tmp_path / "m", record.to_dict()), None)
    assert type(found) is type(record)
    assert found == record


def test_every_kind_has_its_line() -> None:
    assert EPISODE.to_dict() == {
        "kind": "episode",
        "update_step": 12,
        "env_step": 340,
        "episode": 3,
        "episode_return": -81.25,
        "length": 97,
        "outcome": "crashed",
    }
    assert VALIDATION.to_dict() == {
        "kind": "validation",
        "update_step": 12,
        "env_step": 340,
        "episode": 4,
        "validation_mean": -12.5,
        "validation_min": -300.0,
        "validation_frames": 88.5,
        "validation_crash_rate": 0.75,
    }
    assert INTERVAL.to_dict() == {
        "kind": "interval",
        "update_step": 1_000,
        "env_step": 0,
        "td_loss": 0.5,
        "q_mean": -3.0,
        "updates_per_s": 812.5,
    }
    assert "validation_crash_rate" not in NO_CRASHES.to_dict()


def test_records_come_in_the_order_of_the_file(tmp_path: Path) -> None:
    path = write(tmp_path / "m", *[record.to_dict() for record in RECORDS])
    assert read_metrics(path, None) == RECORDS
    # only the first bytes count
    size = len("".join(json.dumps(record.to_dict()) + "\n" for record in RECORDS[:2]))
    assert read_metrics(path, size) == RECORDS[:2]
    assert read_metrics(path, 0) == []


def test_no_file_and_an_empty_one_have_no_record(tmp_path: Path) -> None:
    assert read_metrics(tmp_path / "none", None) == []
    assert read_metrics(write(tmp_path / "empty"), None) == []


def changed(record: Record, **values: Any) -> dict[str, Any]:
    return record.to_dict() | values


def without(record: Record, name: str) -> dict[str, Any]:
    return {key: value for key, value in record.to_dict().items() if key != name}


DAMAGE: list[tuple[Any, str]] = [
    ([], "is not a JSON object"),
    ([EPISODE.to_dict()], "is not a JSON object"),
    (5, "is not a JSON object"),
    (None, "is not a JSON object"),
    ("episode", "is not a JSON object"),
    ({}, "update_step is None, not a count"),
    (without(EPISODE, "kind"), "is not a record of metrics"),
    (changed(EPISODE, kind="epoch"), "is not a record of metrics"),
    (changed(EPISODE, kind=["episode"]), "is not a record of metrics"),
    (changed(EPISODE, kind="validation"), "validation_mean is None, not a finite number"),
    (changed(EPISODE, reward=1.0), "has an unknown key 'reward'"),
    (changed(VALIDATION, sd=1.0), "has an unknown key 'sd'"),
    (changed(EPISODE, **{"x" * 90: 1.0}), "has an unknown key 'xxx"),
    (without(EPISODE, "update_step"), "update_step is None, not a count"),
    (without(INTERVAL, "env_step"), "env_step is None, not a count"),
    (without(EPISODE, "episode"), "episode is None, not a count"),
    (without(VALIDATION, "episode"), "episode is None, not a count"),
    (without(EPISODE, "length"), "length is None, not a count"),
    (without(EPISODE, "outcome"), "has no outcome"),
    (changed(EPISODE, outcome=1), "has no outcome"),
    (without(EPISODE, "episode_return"), "episode_return is None, not a finite number"),
    (without(VALIDATION, "validation_min"), "validation_min is None, not a finite number"),
    (without(INTERVAL, "updates_per_s"), "updates_per_s is None, not a finite number"),
    (changed(EPISODE, episode_return=float("nan")), "NaN is not valid JSON"),
    (changed(INTERVAL, q_mean=float("-inf")), "-Infinity is not valid JSON"),
    (changed(EPISODE, env_step=-1), "env_step is -1, not a count"),
    (changed(INTERVAL, update_step=-1_000), "update_step is -1000, not a count"),
    (changed(EPISODE, episode=-1), "episode is -1, not a count"),
    (changed(EPISODE, length=97.0), "length is 97.0, not a count"),
    (changed(EPISODE, episode=True), "episode is True, not a count"),
    (changed(EPISODE, env_step=2**53), "env_step is 9007199254740992, not a count"),
    (changed(EPISODE, episode_return="high"), "episode_return is 'high', not a finite number"),
    (changed(VALIDATION, validation_crash_rate=None), "validation_crash_rate is None, not a"),
    (changed(INTERVAL, q_mean=True), "q_mean is True, not a finite number"),
    (changed(INTERVAL, q_mean=[1.0]), "q_mean is [1.0], not a finite number"),
    (changed(INTERVAL, q_mean=None), "q_mean is None, not a finite number"),
]


@pytest.mark.parametrize(("line", "reason"), DAMAGE)
def test_a_damaged_line_is_refused_by_its_number(tmp_path: Path, line: Any, reason: str) -> None:
    path = write(tmp_path / "m", INTERVAL.to_dict(), line, EPISODE.to_dict())
    with pytest.raises(RefusedError) as refused:
        read_metrics(path, None)
    assert str(refused.value).startswith(f"{path}: line 2: ")
    assert reason in str(refused.value)
    assert len(str(refused.value)) < len(str(path)) + 120


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("", "Expecting value"),
        ('{"kind": "episode"', "Expecting ',' delimiter"),
        ('{"kind": "interval", "kind": "interval"}', "duplicate key 'kind'"),
        (json.dumps(INTERVAL.to_dict()).replace("-3.0", "1e999"), "q_mean is inf, not a finite"),
        (json.dumps(INTERVAL.to_dict()).replace("-3.0", "9" * 1_001), "a number has 1,001 digits"),
        ("\udcff", "can't decode byte"),
        (json.dumps(INTERVAL.to_dict()).replace("-3.0", "9" * 400), "q_mean is 999"),
    ],
)
def test_a_line_that_is_no_json_is_refused_by_its_number(
    tmp_path: Path, text: str, reason: str
) -> None:
    path = tmp_path / "m"
    lines = [json.dumps(EPISODE.to_dict()), text, json.dumps(EPISODE.to_dict())]
    path.write_bytes("".join(f"{line}\n" for line in lines).encode(errors="surrogateescape"))
    with pytest.raises(RefusedError, match="line 2: ") as refused:
        read_metrics(path, None)
    assert reason in str(refused.value)


def test_a_file_that_is_none_of_ours_is_refused(tmp_path: Path) -> None:
    (tmp_path / "m").mkdir()
    with pytest.raises(RefusedError, match="not a regular file"):
        read_metrics(tmp_path / "m", None)
    (tmp_path / "link").symlink_to(write(tmp_path / "own", EPISODE.to_dict()))
    with pytest.raises(RefusedError, match="a symbolic link"):
        read_metrics(tmp_path / "link", None)

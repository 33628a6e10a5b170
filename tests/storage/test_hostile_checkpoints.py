"""Damaged checkpoints, and checkpoints from unknown sources: refused at once, with the reason."""

import os
import random
import shutil
import struct
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hostile_files import Draft
from hostile_tensors import ANY, Case, counter, edit, mutated, names, replace, rewrite

from lunar_offline.errors import RefusedError
from lunar_offline.training.make_learner import checkpoint_spec, learner_of
from lunar_offline.training.start_or_resume import resume

MUTATIONS = int(os.environ.get("MUTATIONS", "300"))
NAN, TWO = struct.pack("<f", float("nan")), b"\2"
SUMS, INFINITE = r"\"sums\": {", r"\"sums\": {\"a\": 1e999"


def checkpoint_of(run: Path) -> Path:
    (path,) = (run / "checkpoints").iterdir()
    return path


def interval(sums: dict[str, Any], counts: dict[str, Any]) -> dict[str, Any]:
    return {"sums": sums, "counts": counts}


CHECKPOINT: list[Case] = [
    ("NaN weights", edit(lambda d: d.overwrite("critic.members.flat", NAN)), "is not finite"),
    ("NaN moments", edit(lambda d: d.overwrite("optimizer.policy.exp_avg", NAN)), "is not finite"),
    ("missing", edit(lambda d: d.entries.pop("log_temperature")), "log_temperature is missing"),
    ("negative", counter(update_step=-1), "the counter update_step is -1, not 0 .. "),
    ("huge", counter(env_step=10**30), "the counter env_step is 1000000"),
    ("a float", counter(episode=1.0), "the counter episode is 1.0, not 0 .. 1"),
    ("a bool", counter(episode=True), "the counter episode is True"),
    ("beyond the run", counter(episode=2), "the counter episode is 2, not 0 .. 1"),
    ("cursor outside", counter(cursor=64), "the counter cursor is 64, not 0 .. 63"),
    ("metrics to come", counter(metrics_size=10**6), "the counter metrics_size is 1000000"),
    ("another's", counter(update_step=3), "its counters are those of another checkpoint"),
    ("no flag", counter(stopped_early=0), "the counter stopped_early is 0"),
    ("best", counter(best_validation="high"), "the counter best_validation is 'high'"),
    ("no interval", counter(interval=None), "the counter interval is damaged"),
    ("a list of sums", counter(interval={"sums": [], "counts": {}}), "interval is damaged"),
    ("no counts", counter(interval={"sums": {}}), "interval is damaged"),
    ("a word more", counter(interval=interval({}, {}) | {"n": 1}), "interval is damaged"),
    ("a sum alone", counter(interval=interval({"a": 1.0}, {})), "interval is damaged"),
    ("a count alone", counter(interval=interval({}, {"a": 1})), "interval is damaged"),
    ("an odd name", counter(interval=interval({"a\x1b": 1.0}, {"a\x1b": 1})), "is damaged"),
    ("a long name", counter(interval=interval({"a" * 41: 1.0}, {"a" * 41: 1})), "is damaged"),
    ("an integer sum", counter(interval=interval({"a": 1}, {"a": 1})), "interval is damaged"),
    ("an infinite sum", rewrite(lambda h: h.replace(SUMS, INFINITE)), "interval is damaged"),
    ("a count of 0", counter(interval=interval({"a": 1.0}, {"a": 0})), "interval is damaged"),
    ("a count of 2.0", counter(interval=interval({"a": 1.0}, {"a": 2.0})), "is damaged"),
    ("a true count", counter(interval=interval({"a": 1.0}, {"a": True})), "is damaged"),
    ("a huge count", counter(interval=interval({"a": 1.0}, {"a": 2**53 + 1})), "is damaged"),
    ("one too many", counter(**{"x" * 90: 1}), "is missing or unknown"),
    ("one too few", edit(lambda d: d.about.pop("cursor")), "the counter 'cursor' is missing"),
    ("an end flag", edit(lambda d: d.overwrite("replay.offline", TWO)), "other than 0 and 1"),
    ("NaN in the replay", edit(lambda d: d.overwrite("replay.records", NAN)), "not finite"),
    (
        "an action",
        edit(lambda d: d.overwrite("replay.records", b"\0" * 64 + b"\x09")),
        "an action that the env does not accept",
    ),
]


@pytest.mark.parametrize(
    ("_name", "change", "reason"), ANY + CHECKPOINT, ids=names(ANY + CHECKPOINT)
)
def test_a_hostile_checkpoint_is_refused(
    _name: str,
    change: Callable[[Path], None],
    reason: str,
    refused: Callable[..., str],
    trained: Path,
    tmp_path: Path,
) -> None:
    shutil.copytree(trained, tmp_path / "run")
    path = checkpoint_of(tmp_path / "run")
    change(path)
    assert reason in refused("train", "--resume", "run")


def test_no_mutation_of_a_checkpoint_is_silent(trained: Path, tmp_path: Path) -> None:
    shutil.copytree(trained, tmp_path / "run")
    run = resume(tmp_path / "run").run
    config, path, choose = run.config(), checkpoint_of(run.path), random.Random(1)
    spec, content = checkpoint_spec(config, learner_of(config)), path.read_bytes()
    assert run.load_checkpoint(config, spec) is not None
    for _ in range(MUTATIONS):
        changed = mutated(content, choose)
        path.write_bytes(changed)
        if changed == content:
            continue
        with pytest.raises(RefusedError, match="no checkpoint can be read"):
            run.load_checkpoint(config, spec)


def test_a_damaged_checkpoint_is_skipped_with_a_note(trained: Path, tmp_path: Path) -> None:
    shutil.copytree(trained, tmp_path / "run")
    newest = checkpoint_of(tmp_path / "run")
    older = newest.with_name("000000001-000000001.safetensors")
    draft = Draft(newest.read_bytes())
    draft.about.update(update_step=1, env_step=1)
    older.write_bytes(draft.sealed())
    replace(lambda c: c[:-1])(newest)
    again = resume(tmp_path / "run")
    assert again.learner.update_step == 1
    (note,) = again.notes
    assert "bytes of tensors" in note
    assert "continuing from the previous checkpoint" in note

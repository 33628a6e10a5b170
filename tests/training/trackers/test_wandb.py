"""Weights & Biases for real, in its offline mode."""

import json
import os
import struct
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from lunar_offline.training.run_folder import RunFolder

pytest.importorskip("wandb")

BLOCK = 32_768


def chunks(content: bytes) -> Iterator[bytes]:
    """Yield the records of a .wandb file, which has the format of LevelDB's logs."""
    at, whole = 7, b""
    while at + 7 <= len(content):
        if BLOCK - at % BLOCK < 7:
            at += BLOCK - at % BLOCK
            continue
        _, size, kind = struct.unpack_from("<IHB", content, at)
        whole += content[at + 7 : at + 7 + size]
        at += 7 + size
        if kind in (1, 4):  # complete, or its last part
            yield whole
            whole = b""


def stored(run: Path) -> tuple[list[Any], list[dict[str, Any]]]:
    """Return the runs and the rows in the offline files of a run directory."""
    from wandb.proto import wandb_internal_pb2

    proto: Any = wandb_internal_pb2
    runs, rows = [], []
    for path in sorted(run.glob("wandb/offline-run-*/*.wandb")):
        for chunk in chunks(path.read_bytes()):
            record = proto.Record()
            record.ParseFromString(chunk)
            if record.WhichOneof("record_type") == "run":
                runs.append(record.run)
            elif record.WhichOneof("record_type") == "history":
                items = record.history.item
                rows.append({i.key or i.nested_key[0]: json.loads(i.value_json) for i in items})
    return runs, rows


def processes() -> list[str]:
    """Return the command lines of W&B's processes on this machine."""
    lines = [path.read_bytes() for path in Path("/proc").glob("[0-9]*/cmdline") if path.exists()]
    return [line.decode(errors="replace") for line in lines if b"wandb-core" in line]


def test_a_run_is_stored_offline_and_resumed(
    run: Path, mirror: Callable[..., None], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("WANDB_MODE", "offline")
    records = RunFolder.open(run).metrics()
    before = processes()
    mirror(run, "wandb")
    mirror(run, "wandb")
    assert [line for line in processes() if line not in before] == []
    state = json.loads((run / "trackers" / "wandb.json").read_text())
    assert state == {"run_id": state["run_id"], "lines": len(records), "evaluated": True}
    runs, rows = stored(run)
    assert [found.run_id for found in runs] == [state["run_id"]] * 2
    assert {found.display_name for found in runs} == {"my-run"}
    assert {found.project for found in runs} == {"lunar-offline"}
    config = {item.key: json.loads(item.value_json) for item in runs[0].config.update}
    assert config["online_episodes"] == 1
    *lines, evaluation = rows
    assert [row["_step"] for row in rows] == list(range(len(records) + 1))
    for row, record in zip(lines, records, strict=True):
        numbers = {k: v for k, v in record.to_dict().items() if not isinstance(v, str)}
        assert {name: row[name] for name in numbers} == numbers
    summary = json.loads((run / "evaluation.json").read_text())
    assert evaluation["evaluation_last_mean"] == summary["last"]["mean"]
    assert evaluation["evaluation_last_mean"] == summary["last"]["mean"]
    assert evaluation["update_step"] == records[-1].update_step
    assert not os.path.lexists("wandb")  # the working directory

"""A run on disk: config, provenance, metrics, checkpoints, policies, evaluation."""

import fcntl
import hashlib
import os
import re
import shutil
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Self

import tomli_w
from torch import Tensor

from lunar_offline.agents.nn.device import to_arrays, to_tensors
from lunar_offline.envs.env_info import EnvInfo
from lunar_offline.errors import RefusedError, UsageError
from lunar_offline.evaluation.evaluate import RunPolicies
from lunar_offline.policies.behavior import policy_of_file
from lunar_offline.storage.atomic_write import sync_directory, write_atomic
from lunar_offline.storage.strict_json import read_json, write_json
from lunar_offline.storage.strict_toml import MAX_TOML_BYTES, read_toml
from lunar_offline.storage.tensor_file import Spec, read_tensors, write_tensors
from lunar_offline.storage.untrusted_files import read_regular
from lunar_offline.training.checkpoint import FORMAT, Checkpoint, Counters
from lunar_offline.training.config import TrainConfig
from lunar_offline.training.metrics import Record, read_metrics
from lunar_offline.training.trackers.json_lines import JSONLines
from lunar_offline.training.trackers.registry import DEFAULT, TRACKERS
from lunar_offline.training.trackers.run_trackers import RunTrackers

KEEP_CHECKPOINTS = 3
CHECKPOINT_NAME = re.compile(r"\d{9,16}-\d{9,16}\.safetensors")
MAX_TRIED = 10


class RunFolder:
    """A run directory.

    Args:
        path: an existing run directory; see `create` and `open`.
        trackers: of a training that follows; see `parse_trackers`.

    Attributes:
        trackers: the mirrors of metrics.jsonl.
    """

    def __init__(self, path: Path, trackers: Sequence[str] = DEFAULT) -> None:
        self.path = path
        self._lines = JSONLines(path / "metrics.jsonl")
        self.trackers = RunTrackers(path, trackers)

    @classmethod
    def create(cls, path: Path, config: TrainConfig, provenance: Mapping[str, Any]) -> Self:
        """Make a new run directory; after a crash it is either complete or absent.

        Args:
            path: the directory to make.
            config: the resolved config.
            provenance: plain JSON values.

        Raises:
            RefusedError: `path` already exists.
            UsageError: the directory cannot be made.
        """
        cls.check_free(path)
        text = tomli_w.dumps(config.to_dict()).encode()
        made_with = {**provenance, "config_sha256": hashlib.sha256(text).hexdigest()}
        unfinished = path.with_name(f".{path.name}.unfinished")
        shutil.rmtree(unfinished, ignore_errors=True)
        try:
            (unfinished / "checkpoints").mkdir(parents=True)
        except OSError as error:
            raise UsageError(f"{path}: {error.strerror}") from None
        try:
            write_json(unfinished / "provenance.json", made_with)
            write_atomic(unfinished / "config.toml", text)
            unfinished.rename(path)
        except BaseException:
            shutil.rmtree(unfinished, ignore_errors=True)
            raise
        sync_directory(path.parent)
        return cls(path)

    @staticmethod
    def check_free(path: Path) -> None:
        """Raise RefusedError if `path` already exists."""
        if os.path.lexists(path / "config.toml"):
            raise RefusedError(
                f"{path} already exists; continue it with --resume {path}, or choose another --out"
            )
        if os.path.lexists(path):
            raise RefusedError(
                f"{path} already exists and is not a run directory; choose another --out"
            )

    @classmethod
    def open(cls, path: Path, trackers: Sequence[str] = DEFAULT) -> Self:
        """Open an existing run directory. Raises UsageError if `path` is not one."""
        if not os.path.lexists(path / "config.toml"):
            raise UsageError(f"{path} is not a run directory (no config.toml in it)")
        return cls(path, trackers)

    def config(self) -> TrainConfig:
        """Read the resolved config. Raises RefusedError if it is damaged."""
        source = self.path / "config.toml"
        try:
            return TrainConfig.from_dict(read_toml(source), source=str(source))
        except UsageError as error:
            reason = str(error).removeprefix(f"{source}: ")
            raise RefusedError(f"{source}: {reason}") from None

    def policies(self, *, env: EnvInfo | None = None, stochastic: bool = False) -> RunPolicies:
        """Load the best policy and, of a finished run, the last policy.

        Args:
            env: the env that the user named; None accepts any registered env.
            stochastic: whether the policies sample their actions.

        Raises:
            UsageError: there is no policy yet.
            RefusedError: a file is not a complete policy.
        """
        best = policy_of_file(self.path / "policy.safetensors", stochastic=stochastic, env=env)
        last = self.path / "last.safetensors"
        if not last.is_file():
            return RunPolicies(best, None)
        end = policy_of_file(last, stochastic=stochastic, env=env)
        return RunPolicies(best, end)

    def check_config(self, recorded: Mapping[str, Any]) -> None:
        """Raise RefusedError if config.toml does not match the run's provenance."""
        source = self.path / "config.toml"
        found = hashlib.sha256(read_regular(source, MAX_TOML_BYTES)).hexdigest()
        if recorded.get("config_sha256", found) != found:
            raise RefusedError(f"{source}: changed since the run started")

    def provenance(self) -> dict[str, Any]:
        """Read provenance.json. Raises RefusedError if it is missing or not a JSON object."""
        return read_json(self.path / "provenance.json")

    @contextmanager
    def writing(self, metrics_size: int) -> Iterator[None]:
        """Lock the run against other processes, and drop records that are newer than a checkpoint.

        Args:
            metrics_size: number of bytes of metrics.jsonl to keep.

        Raises:
            RefusedError: another process trains the run, or one of its folders is a symbolic link.
        """
        self._check_folders()
        descriptor = os.open(self.path, os.O_RDONLY)
        try:
            try:
                fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                raise RefusedError(f"{self.path} is being trained by another process") from None
            checkpoints = self.path / "checkpoints"
            checkpoints.mkdir(exist_ok=True)
            for leftover in (*self.path.glob(".*.tmp"), *checkpoints.glob(".*.tmp")):
                leftover.unlink()
            self._lines.truncate(metrics_size)
            with self.trackers.open():
                self.trackers.start(self.metrics())
                yield
        finally:
            os.close(descriptor)

    def _check_folders(self) -> None:
        for name in ("checkpoints", "trackers", *TRACKERS):
            folder = self.path / name
            if folder.is_symlink() or (folder.exists() and not folder.is_dir()):
                raise RefusedError(f"{folder}: not a folder of this run")

    def log(self, record: Record) -> None:
        """Append a record to metrics.jsonl, and pass it to the trackers."""
        self._lines.log(record)
        self.trackers.log(record)

    def metrics(self, size: int | None = None) -> list[Record]:
        """Read metrics.jsonl.

        Args:
            size: number of bytes to read; None reads the complete file.

        Raises:
            RefusedError: a line is damaged.
        """
        return read_metrics(self.path / "metrics.jsonl", size)

    def metrics_size(self) -> int:
        """Return the size of metrics.jsonl in bytes; 0 if it does not exist."""
        return self._lines.size()

    def save_checkpoint(self, tensors: Mapping[str, Tensor], counters: Counters) -> None:
        """Write a checkpoint, then remove all but the newest three."""
        if counters.metrics_size:  # the checkpoint relies on these bytes
            self._lines.sync()
        path = self.path / "checkpoints" / _checkpoint_name(counters)
        write_tensors(path, FORMAT, counters.to_dict(), to_arrays(tensors))
        for old in self._checkpoints()[KEEP_CHECKPOINTS:]:
            old.unlink()

    def _checkpoints(self) -> list[Path]:
        folder = self.path / "checkpoints"
        there = folder.iterdir() if folder.is_dir() else ()
        return sorted((p for p in there if CHECKPOINT_NAME.fullmatch(p.name)), reverse=True)

    def load_checkpoint(self, config: TrainConfig, spec: Spec) -> Checkpoint | None:
        """Read the newest undamaged checkpoint; return None if the run has no checkpoint yet.

        Args:
            config: the config of the run.
            spec: the expected tensors.

        Raises:
            RefusedError: there are checkpoints, but none can be read.
        """
        self._check_folders()
        damaged: list[str] = []
        for path in self._checkpoints()[:MAX_TRIED]:
            try:
                tensors, counters = self._read_checkpoint(path, config, spec)
            except RefusedError as error:
                damaged.append(str(error))
                continue
            notes = [f"{reason}; continuing from the previous checkpoint" for reason in damaged]
            return Checkpoint(tensors, counters, notes)
        if damaged:
            others = f" ({len(damaged) - 1} others cannot either)" if len(damaged) > 1 else ""
            raise RefusedError(f"no checkpoint can be read{others}: {damaged[0]}")
        return None

    def _read_checkpoint(
        self, path: Path, config: TrainConfig, spec: Spec
    ) -> tuple[dict[str, Tensor], Counters]:
        metrics_size = self.metrics_size()

        def expect(about: dict[str, Any]) -> Spec:
            counters = Counters.checked(about, config, metrics_size)
            if path.name != _checkpoint_name(counters):
                raise ValueError("its counters are those of another checkpoint")
            return spec

        found = read_tensors(path, FORMAT, expect)
        return to_tensors(found.tensors), Counters(**found.about)


def _checkpoint_name(counters: Counters) -> str:
    return f"{counters.update_step:09d}-{counters.env_step:09d}.safetensors"

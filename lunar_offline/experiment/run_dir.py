"""A run on disk: config, provenance, metrics, checkpoints, policies, evaluation."""

import fcntl
import hashlib
import json
import os
import re
import shutil
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any, BinaryIO, Self

import tomli_w
from torch import Tensor

from lunar_offline.errors import RefusedError, UsageError
from lunar_offline.experiment.board import Board
from lunar_offline.experiment.checkpoint import FORMAT, Checkpoint, Counters
from lunar_offline.experiment.config import MAX_TOML_BYTES, TrainConfig, read_toml
from lunar_offline.experiment.records import read_json, read_metrics, write_json
from lunar_offline.experiment.tensor_file import Spec, read_tensors, write_tensors
from lunar_offline.files import (
    named_errors,
    read_regular,
    sync_directory,
    write_atomic,
)

KEEP_CHECKPOINTS = 3
CHECKPOINT_NAME = re.compile(r"\d{9,16}-\d{9,16}\.safetensors")
MAX_TRIED = 10


class RunDir:
    """A run directory with the layout of the command line's contract.

    Args:
        path: an existing run directory; see `create` and `open`.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self._board: Board | None = None

    @classmethod
    def create(cls, path: Path, config: TrainConfig, provenance: Mapping[str, Any]) -> Self:
        """Make a new run directory; a crash leaves all of it or nothing under its name.

        Raises:
            RefusedError: something stands at `path` already.
            UsageError: no directory can be made there.
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
        """Raise RefusedError when something stands at `path` already."""
        if os.path.lexists(path / "config.toml"):
            raise RefusedError(
                f"{path} exists already; continue it with --resume {path}, or choose another --out"
            )
        if os.path.lexists(path):
            raise RefusedError(f"{path} exists already, and is no run; choose another --out")

    @classmethod
    def open(cls, path: Path) -> Self:
        """Open an existing run directory. Raises UsageError when it is none."""
        if not os.path.lexists(path / "config.toml"):
            raise UsageError(f"{path} is not a run directory (no config.toml in it)")
        return cls(path)

    def config(self) -> TrainConfig:
        """Read the resolved config. Raises RefusedError when it is damaged."""
        source = self.path / "config.toml"
        try:
            return TrainConfig.from_dict(read_toml(source), source=str(source))
        except UsageError as error:
            said = str(error).removeprefix(f"{source}: ")
            raise RefusedError(f"{source}: {said}") from None

    def check_config(self, recorded: Mapping[str, Any]) -> None:
        """Raise RefusedError when config.toml is not the one of the run's provenance."""
        source = self.path / "config.toml"
        found = hashlib.sha256(read_regular(source, MAX_TOML_BYTES)).hexdigest()
        if recorded.get("config_sha256", found) != found:
            raise RefusedError(f"{source}: not the one that the run began with")

    def provenance(self) -> dict[str, Any]:
        """Read provenance.json. Raises RefusedError when it is missing or no JSON object."""
        return read_json(self.path / "provenance.json")

    @contextmanager
    def writing(self, metrics_size: int) -> Iterator[None]:
        """Keep other processes out, and drop what was written after a checkpoint.

        Args:
            metrics_size: bytes of metrics.jsonl that stay.

        Raises:
            RefusedError: another process trains the run, or its folders are links to elsewhere.
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
            if os.path.lexists(self.path / "metrics.jsonl"):
                with self._appending() as file:
                    file.truncate(metrics_size)
            yield
        finally:
            if self._board is not None:
                self._board.close()
                self._board = None
            os.close(descriptor)

    def _check_folders(self) -> None:
        for name in ("checkpoints", "tensorboard"):
            folder = self.path / name
            if folder.is_symlink() or (folder.exists() and not folder.is_dir()):
                raise RefusedError(f"{folder}: not a folder of this run")

    @contextmanager
    def _appending(self) -> Iterator[BinaryIO]:
        path = self.path / "metrics.jsonl"
        flags = os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_NOFOLLOW | os.O_NONBLOCK
        with (
            named_errors(path),
            os.fdopen(os.open(path, flags | os.O_CLOEXEC, 0o666), "ab", buffering=0) as file,
        ):
            yield file

    def append_metrics(self, line: Mapping[str, Any]) -> None:
        """Add one line to metrics.jsonl."""
        with self._appending() as file:
            text = json.dumps(line, allow_nan=False).encode() + b"\n"
            while text:  # a disk that fills takes a part first, and says why at the next
                text = text[file.write(text) :]
        if self._board is None:
            self._board = Board(self.path / "tensorboard", line["update_step"])
        self._board.add(
            line["update_step"],
            {k: v for k, v in line.items() if not isinstance(v, str) and k != "update_step"},
        )

    def metrics(self, size: int | None = None) -> list[dict[str, Any]]:
        """Read metrics.jsonl.

        Args:
            size: its first bytes that count; None is all.

        Raises:
            RefusedError: a line of it is damaged.
        """
        return read_metrics(self.path / "metrics.jsonl", size)

    def metrics_size(self) -> int:
        """Return the length of metrics.jsonl in bytes, 0 when there is none."""
        path = self.path / "metrics.jsonl"
        return path.lstat().st_size if os.path.lexists(path) else 0

    def save_checkpoint(self, tensors: Mapping[str, Tensor], counters: Counters) -> None:
        """Write a checkpoint, then drop all but the newest few."""
        if counters.metrics_size:  # it counts on them
            with self._appending() as file:
                os.fsync(file.fileno())
        path = self.path / "checkpoints" / _checkpoint_name(counters)
        write_tensors(path, FORMAT, counters.to_dict(), tensors)
        for old in self._checkpoints()[KEEP_CHECKPOINTS:]:
            old.unlink()

    def _checkpoints(self) -> list[Path]:
        folder = self.path / "checkpoints"
        there = folder.iterdir() if folder.is_dir() else ()
        return sorted((p for p in there if CHECKPOINT_NAME.fullmatch(p.name)), reverse=True)

    def load_checkpoint(self, config: TrainConfig, spec: Spec) -> Checkpoint | None:
        """Read the newest checkpoint that is whole; None when the run has none yet.

        Args:
            config: of the run.
            spec: what its tensors must be.

        Raises:
            RefusedError: there are checkpoints, and none can be read.
        """
        self._check_folders()
        damaged: list[str] = []
        for path in self._checkpoints()[:MAX_TRIED]:
            try:
                tensors, counters = self._read_checkpoint(path, config, spec)
            except RefusedError as error:
                damaged.append(str(error))
                continue
            notes = [f"{reason}; going on from the checkpoint before" for reason in damaged]
            return Checkpoint(tensors, counters, notes)
        if damaged:
            others = f" (nor any of {len(damaged) - 1} more)" if len(damaged) > 1 else ""
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
        return found.tensors, Counters(**found.about)


def _checkpoint_name(counters: Counters) -> str:
    return f"{counters.update_step:09d}-{counters.env_step:09d}.safetensors"

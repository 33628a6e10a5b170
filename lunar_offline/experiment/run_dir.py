"""A run on disk: config, provenance, metrics, checkpoints, policies, evaluation."""

import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Self

import tomli_w
import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save

from lunar_offline.errors import RefusedError, UsageError
from lunar_offline.experiment.config import TrainConfig, read_toml
from lunar_offline.files import write_atomic

KEEP_CHECKPOINTS = 3


class RunDir:
    """A run directory with the layout of the command line's contract.

    Args:
        path: an existing run directory; see `create` and `open`.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self._board: Any = None

    @classmethod
    def create(cls, path: Path, config: TrainConfig, provenance: Mapping[str, Any]) -> Self:
        """Make a new run directory.

        Raises:
            RefusedError: something stands at `path` already.
        """
        cls.check_free(path)
        try:
            (path / "checkpoints").mkdir(parents=True)
        except OSError as error:
            raise UsageError(f"{path}: {error.strerror}") from None
        write_json(path / "provenance.json", provenance)
        write_atomic(path / "config.toml", tomli_w.dumps(config.to_dict()).encode())
        return cls(path)

    @staticmethod
    def check_free(path: Path) -> None:
        """Raise RefusedError when something stands at `path` already."""
        if path.exists():
            raise RefusedError(
                f"{path} exists already; continue it with --resume {path}, or choose another --out"
            )

    @classmethod
    def open(cls, path: Path) -> Self:
        """Open an existing run directory. Raises UsageError when it is none."""
        if not (path / "config.toml").is_file():
            raise UsageError(f"{path} is not a run directory (no config.toml in it)")
        return cls(path)

    def config(self) -> TrainConfig:
        """Read the resolved config."""
        source = self.path / "config.toml"
        return TrainConfig.from_dict(read_toml(source), source=str(source))

    def provenance(self) -> dict[str, Any]:
        """Read provenance.json. Raises RefusedError when it is missing or no JSON object."""
        path = self.path / "provenance.json"
        try:
            value = json.loads(path.read_text(encoding="utf-8"))
        except (OSError, ValueError) as error:
            raise RefusedError(f"{path}: {error}") from None
        if not isinstance(value, dict):
            raise RefusedError(f"{path}: not a JSON object")
        return value

    def append_metrics(self, line: Mapping[str, Any]) -> None:
        """Add one line to metrics.jsonl."""
        with (self.path / "metrics.jsonl").open("a", encoding="utf-8") as file:
            file.write(json.dumps(line, allow_nan=False) + "\n")
        if self._board is None:
            from torch.utils.tensorboard.writer import SummaryWriter  # slow import

            # on resume, what stood after the checkpoint is dropped from the curves
            self._board = SummaryWriter(
                str(self.path / "tensorboard"), purge_step=line["update_step"]
            )
        for name, value in line.items():
            if isinstance(value, int | float) and name != "update_step":
                self._board.add_scalar(name, value, line["update_step"])

    def close(self) -> None:
        """Flush what TensorBoard reads."""
        if self._board is not None:
            self._board.close()
            self._board = None

    def metrics(self) -> list[dict[str, Any]]:
        """Read metrics.jsonl."""
        path = self.path / "metrics.jsonl"
        if not path.is_file():
            return []
        return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]

    def metrics_size(self) -> int:
        """Return the length of metrics.jsonl in bytes, 0 when there is none."""
        path = self.path / "metrics.jsonl"
        return path.stat().st_size if path.is_file() else 0

    def truncate_metrics(self, size: int) -> None:
        """Drop the lines that were written after a checkpoint."""
        path = self.path / "metrics.jsonl"
        if path.is_file():
            os.truncate(path, size)

    def save_checkpoint(
        self, tensors: Mapping[str, torch.Tensor], counters: Mapping[str, Any]
    ) -> None:
        """Write a checkpoint, then drop all but the newest few."""
        meta = {"counters": json.dumps(dict(counters), sort_keys=True)}
        contiguous = {name: value.detach().cpu().contiguous() for name, value in tensors.items()}
        name = f"{counters['update_step']:09d}-{counters['env_step']:09d}.safetensors"
        write_atomic(self.path / "checkpoints" / name, save(contiguous, meta))
        for old in self._checkpoints()[KEEP_CHECKPOINTS:]:
            old.unlink()

    def _checkpoints(self) -> list[Path]:
        return sorted((self.path / "checkpoints").glob("[0-9]*.safetensors"), reverse=True)

    def load_checkpoint(self) -> tuple[dict[str, torch.Tensor], dict[str, Any]] | None:
        """Read the newest checkpoint that is whole; None when the run has none yet.

        Raises:
            RefusedError: there are checkpoints, and none can be read.
        """
        damaged: list[str] = []
        for path in self._checkpoints():
            try:
                with safe_open(path, framework="pt") as file:
                    counters = json.loads((file.metadata() or {})["counters"])
                    tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
                return tensors, counters | {"damaged": damaged}
            except (SafetensorError, OSError, KeyError, ValueError):
                damaged.append(path.name)
        if damaged:
            raise RefusedError(f"{self.path}: no checkpoint can be read ({', '.join(damaged)})")
        return None


def write_json(path: Path, value: Any) -> None:
    """Write strict JSON atomically."""
    write_atomic(path, (json.dumps(value, indent=2, allow_nan=False) + "\n").encode())

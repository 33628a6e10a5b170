"""A run directory as the public API shows it."""

import os
from functools import cached_property
from pathlib import Path

from lunar_offline.errors import UsageError
from lunar_offline.evaluation.evaluation_file import Evaluations, read_evaluation
from lunar_offline.training.config import TrainConfig
from lunar_offline.training.metrics import Record
from lunar_offline.training.run_folder import RunFolder


class Run:
    """A training run, finished or not, in its directory.

    It is a path too, so that every function and command that takes a run directory takes it.

    Example:
        >>> import lunar_offline as lo
        >>> run = lo.Run("runs/example")
        >>> run.config.rho, len(run.metrics())
        (1.0, 1)

    Args:
        path: the run directory.

    Raises:
        UsageError: `path` is not a run directory.
    """

    def __init__(self, path: str | os.PathLike[str]) -> None:
        self._folder = RunFolder.open(Path(path))

    def __fspath__(self) -> str:
        return os.fspath(self.path)

    def __repr__(self) -> str:
        return f"Run({os.fspath(self.path)!r})"

    @property
    def path(self) -> Path:
        """The run directory."""
        return self._folder.path

    @cached_property
    def config(self) -> TrainConfig:
        """All options of the run, resolved. Raises RefusedError if config.toml is damaged."""
        return self._folder.config()

    @property
    def is_finished(self) -> bool:
        """Whether the training has ended."""
        return (self.path / "last.safetensors").is_file()

    @property
    def is_evaluated(self) -> bool:
        """Whether the run has an evaluation.json."""
        return os.path.lexists(self.path / "evaluation.json")

    def metrics(self) -> list[Record]:
        """Return the records of metrics.jsonl, in the order in which they were written.

        Raises:
            RefusedError: a line is damaged.
        """
        return self._folder.metrics()

    def evaluations(self) -> Evaluations:
        """Return the evaluations of the run's policies, `last` and `best`.

        Raises:
            UsageError: the run has not been evaluated.
            RefusedError: evaluation.json is damaged.
        """
        if not self.is_evaluated:
            raise UsageError(
                f"{self.path} has no evaluation.json; first run: lunar-offline evaluate {self.path}"
            )
        return read_evaluation(self.path / "evaluation.json")

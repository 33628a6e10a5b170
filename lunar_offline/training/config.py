"""TrainConfig: all options of a training run in one frozen dataclass."""

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Self

from lunar_offline.agents.learner_config import LearnerConfig
from lunar_offline.agents.registry import find_algorithm
from lunar_offline.datasets.ids import parse_id
from lunar_offline.envs import DEFAULT_ENV
from lunar_offline.envs.env_kwargs import PlainValue, checked_kwargs
from lunar_offline.errors import UsageError
from lunar_offline.options import (
    PRESETS,
    RunKind,
    check_ranges,
    check_sha256,
    option,
    option_table,
    typed_values,
)
from lunar_offline.seeding import check_seed
from lunar_offline.training.rho import buffer_mode_episodes, split_batch

if TYPE_CHECKING:
    from lunar_offline.envs.env_info import EnvInfo

RHO_MODES = ("batch", "buffer")
PRECISIONS = ("auto", "fp32", "bf16")
DEVICES = ("auto", "cpu", "cuda")
MANY, ROWS = 10**12, 10_000_000
DATA, LEARNING, RUN = "Data and mix", "Learning", "The run"


@dataclass(frozen=True)
class TrainConfig:
    """The resolved configuration of a training run, as stored in `config.toml`.

    Example:
        >>> import lunar_offline as lo
        >>> lo.TrainConfig(dataset="lunar-random-v0", rho=0.5).batch_size
        256

    Raises:
        UsageError: an option is out of range, or contradicts another one.
    """

    dataset: str = option(
        "", "Minari dataset id; none at rho 0.", swept=True, panel=DATA, completes="datasets"
    )
    dataset_sha256: str = option(
        "", "Required sha256 of the dataset's data; empty accepts any.", panel=DATA
    )
    env: str = option(
        DEFAULT_ENV,
        "Gymnasium id of the env, if no dataset states it, or to name one that is not registered.",
        swept=True,
        panel=DATA,
        completes="envs",
    )
    discrete: bool = option(True, "Action space of the env.", panel=DATA)
    env_kwargs: Mapping[str, PlainValue] = option_table(
        "Settings of the env, such as enable_wind=true,gravity=-8.", main=True, panel=DATA
    )
    rho: float = option(
        0.6,
        "Offline fraction of every batch: 0 is online SAC, 1 makes no env.",
        at_least=0.0,
        at_most=1.0,
        swept=True,
        panel=DATA,
    )
    rho_mode: str = option(
        "batch",
        "batch: rho is the exact fraction of every batch; buffer: rho is the fraction of all "
        "episodes, in one shared buffer.",
        choices=RHO_MODES,
        main=True,
        panel=DATA,
    )
    algorithm: str = option("cql-sac", "Learning algorithm.", swept=True, completes="algorithms")
    pretrain_updates: int = option(
        15_000,
        "Offline updates before the first online episode.",
        at_least=0,
        at_most=MANY,
        main=True,
        only="online",
        best=lambda run: 0 if run.online else 8_000 if run.discrete else 5_000,
        paper=0,
    )
    updates: int = option(
        30_000,
        "Updates of a run at rho 1.",
        at_least=1,
        at_most=MANY,
        main=True,
        only="offline",
        best=10_000,
    )
    online_episodes: int = option(
        200,
        "Online training episodes.",
        at_least=0,
        at_most=ROWS,
        main=True,
        only="online",
    )
    batch_size: int = option(256, "Rows per batch.", at_least=1, at_most=65_536, unit="rows")
    buffer_size: int = option(
        500_000,
        "Capacity of the replay buffer.",
        at_least=1,
        at_most=ROWS,
        unit="transitions",
        paper=100_000,
    )
    invariant_shaping: bool = option(
        False,
        "Learn from rewards whose shaping does not change the optimal policy under the discount "
        "(Ng et al. 1999); an env with unknown shaping keeps its rewards.",
    )
    balanced: bool = option(
        False,
        "Prefer rows of the dataset that resemble online rows (balanced replay, Lee et al. 2021); "
        "rho stays exact.",
    )
    utd_ratio: float = option(
        1.0,
        "Updates per env step.",
        at_least=0.0,
        at_most=1024.0,
        best=lambda run: 0.5 if run.online else 2.0,
    )
    random_steps: int = option(
        0,
        "Env steps with uniform random actions at the start.",
        at_least=0,
        at_most=MANY,
        unit="env steps",
        best=lambda run: 5_000 if run.online else 0,
        # the paper's code: 10,000 for SAC and 1,000 for CQL-SAC
        paper=lambda run: 10_000 if run.online else 1_000,
    )
    warmup_steps: int = option(
        1_000,
        "Env steps before the first online update.",
        at_least=0,
        at_most=MANY,
        unit="env steps",
        best=lambda run: 5_000 if run.online else 1_000,
    )
    seed: int = option(0, "Seed of all random numbers.", main=True, panel=RUN)
    validate_every: int = option(
        10,
        "Online episodes between validations; a run at rho 1 has none.",
        at_least=1,
        at_most=MANY,
        unit="episodes",
        best=20,
    )
    validation_episodes: int = option(
        50,
        "Episodes per validation, on separate seeds; their mean return selects the best policy.",
        at_least=0,
        at_most=ROWS,
        # with 50 episodes, the standard error is 3 points, as large as the differences of interest
        best=200,
    )
    evaluation_episodes: int = option(
        1_000,
        "Held-out episodes of the evaluation after training; 0 evaluates none.",
        at_least=0,
        at_most=ROWS,
        main=True,
        panel=RUN,
        # a run at rho 1 makes no env, so a separate command evaluates it
        best=lambda run: 0 if run.offline else 1_000,
        paper=lambda run: 0 if run.offline else 1_000,
    )
    stop_return: float = option(
        0.0,
        "Stop once a validation mean reaches this return; 0 never stops early.",
        main=True,
        only="online",
    )
    threads: int = option(1, "Torch threads.", at_least=1, at_most=1024, main=True, panel=RUN)
    precision: str = option(
        "auto", "fp32 or bf16; auto is bf16 with AMX.", choices=PRECISIONS, main=True, panel=RUN
    )
    device: str = option("auto", "cpu or cuda; auto is cpu.", choices=DEVICES, main=True, panel=RUN)
    record: str = option(
        "", "Publish the online episodes as a dataset with this id.", main=True, panel=RUN
    )
    preset: str = option(
        "best",
        "Source of the defaults: best (tuned values), or paper (section 2.8 of the paper).",
        choices=PRESETS,
        main=True,
    )
    agent: LearnerConfig = field(
        default_factory=lambda: find_algorithm(TrainConfig.algorithm).config()
    )

    def __post_init__(self) -> None:
        check_seed(self.seed)
        algorithm = find_algorithm(self.algorithm)
        if type(self.agent) is not algorithm.config:
            raise UsageError(f"the type of agent is not the config of algorithm {self.algorithm}")
        check_sha256("dataset_sha256", self.dataset_sha256)
        checked_kwargs(self.env, self.env_kwargs, None)
        check_ranges(self)
        check_ranges(self.agent, "agent.")
        if self.buffer_size < self.batch_size:
            raise UsageError(
                f"buffer_size {self.buffer_size} is below {self.batch_size}, the batch_size"
            )
        if self.rho_mode == "buffer":
            buffer_mode_episodes(self.rho, self.online_episodes)
        else:
            split_batch(self.rho, self.batch_size)
        self._check_dataset()
        if self.record:
            parse_id(self.record)
        if self.record and not (self.uses_env and self.online_episodes):
            raise UsageError("--record needs online episodes: lower --rho, or leave out --record")
        if self.balanced and (self.rho_mode == "buffer" or not self.kind.mixed):
            raise UsageError("balanced replay needs 0 < rho < 1 and rho_mode batch")
        self.agent.check(self.kind)

    def _check_dataset(self) -> None:
        if self.rho == 0.0 and self.pretrain_updates:
            raise UsageError("rho 0 has no dataset to pretrain on: set pretrain_updates to 0")
        if self.rho == 0.0 and self.dataset:
            raise UsageError("rho 0 uses no dataset: leave out --dataset, or raise --rho")
        if self.rho > 0.0 and not self.dataset:
            raise UsageError(f"rho {self.rho} needs a dataset: --dataset ID, or --rho 0")
        if self.dataset_sha256 and not self.dataset:
            raise UsageError("dataset_sha256 needs a dataset, and rho 0 uses none")

    @property
    def kind(self) -> RunKind:
        """The properties of the run that presets and algorithms may depend on."""
        return RunKind(self.discrete, self.rho, self.rho_mode)

    @property
    def uses_env(self) -> bool:
        """Whether the run makes an env, which is so unless rho is 1."""
        return not self.kind.offline

    def env_info(self) -> "EnvInfo":
        """Return the record of the env. Raises RefusedError as `known_env`."""
        from lunar_offline.envs.registry import known_env  # the import of gymnasium is slow

        return known_env(self.env, discrete=self.discrete, settings=self.env_kwargs)

    def to_dict(self) -> dict[str, object]:
        """Return plain values, as `from_dict` accepts them."""
        values = dataclasses.asdict(self)
        values["agent"]["hidden"] = list(self.agent.hidden)
        values["env_kwargs"] = dict(self.env_kwargs)
        return values

    @classmethod
    def from_dict(cls, values: Mapping[str, object], *, source: str = "config") -> Self:
        """Return the config of plain values.

        Args:
            values: by option name; the options of the algorithm are the table `agent`.
            source: name of their source, for messages.

        Raises:
            UsageError: a key is unknown, or a value is invalid.
        """
        plain = typed_values(cls, values, source)
        table = plain.pop("agent", {})
        if not isinstance(table, Mapping):
            raise UsageError(f"{source}: agent is not a table")
        config = find_algorithm(plain.get("algorithm", cls.algorithm)).config
        return cls(**plain, agent=config(**typed_values(config, table, f"{source} [agent]")))

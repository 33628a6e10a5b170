"""Everything that a run depends on, as one frozen dataclass, validated; see also `presets`."""

import dataclasses
import difflib
import re
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Self

from lunar_offline.data.ids import parse_id
from lunar_offline.data.mixing import buffer_mode_episodes, check_rho, split_batch
from lunar_offline.envs import EnvInfo, lander, named_env
from lunar_offline.errors import RefusedError, UsageError
from lunar_offline.experiment.presets import PRESETS
from lunar_offline.experiment.ranges import HIDDEN_RULE, check_ranges, plausible_hidden
from lunar_offline.files import read_regular
from lunar_offline.learn.algorithms import ALGORITHMS
from lunar_offline.learn.learner import AgentConfig
from lunar_offline.learn.penalties import PENALTIES
from lunar_offline.learn.precision import PRECISIONS
from lunar_offline.seeding import check_seed

RHO_MODES = ("batch", "buffer")
PENALISED_ROWS = ("offline", "all")
MAX_TOML_BYTES = 1 << 17
MAX_TOML_DOTS = 100  # on a line: what tomllib needs for a dotted key grows with their square
MAX_TOML_DEPTH = 16
MAX_TOML_BITS = 10_000  # of an integer: Python writes no much longer ones in decimals


@dataclass(frozen=True)
class TrainConfig:
    """A training run, resolved.

    Attributes:
        dataset: Minari dataset id; empty for rho 0.
        dataset_sha256: what the sha256 of the dataset's main_data.hdf5 must be; empty takes any.
        env: id of an env that the user names; empty is the lander.
        discrete: action space of the env.
        rho: offline fraction of every batch (`rho_mode` batch) or of all episodes (buffer).
        rho_mode: `batch`, exact per batch; `buffer`, the paper's shared uniform buffer.
        algorithm: `cql-sac`, `sac` (no penalty), `bc` or `cql-qr`; see `learn.algorithms`.
        penalty: `cql-h`, `cql-rho`, `eq1` or `none`; see `learn.penalties`.
        penalty_weight: of the CQL penalty while pretraining, and for rho 1.
        online_penalty_weight: the same once online.
        anneal_episodes: online episodes over which that falls to 0, linearly; 0 keeps it.
        penalised_rows: `offline` or `all` rows of a batch take part in the penalty.
        pretrain_updates: update steps on the dataset alone before the first online episode.
        updates: update steps of a run at rho 1.
        online_episodes: training episodes flown.
        batch_size: rows per update.
        buffer_size: capacity of the replay buffer, in transitions.
        invariant_shaping: learn from `envs.invariant_rewards`; other envs than the lander have no
            potential that is known, and keep their rewards.
        balanced: online, draw the dataset's rows by how close they are to online ones (balanced
            replay); rho stays exact.
        utd_ratio: update steps per env step.
        random_steps: env steps with uniform random actions, at the start.
        warmup_steps: env steps before the first online update.
        seed: of everything in the run.
        validate_every: online episodes (or 1,000 updates at rho 1) between validations.
        validation_episodes: episodes per validation, on seeds kept for that; chooses the best
            policy.
        evaluation_episodes: held-out episodes at the end; 0 for none.
        stop_return: stop once a validation mean reaches this; 0 never stops early.
        threads: of torch.
        precision: `auto`, `fp32` or `bf16`; see `learn.precision`.
        device: `cpu`, `cuda`, or `auto`: the CPU, until a GPU is shown to pay.
        record: dataset id under which the online episodes are published; empty for none.
        preset: where the defaults came from.
        agent: hyperparameters of the update.
    """

    dataset: str = ""
    dataset_sha256: str = ""
    env: str = ""
    discrete: bool = True
    rho: float = 0.6
    rho_mode: str = "batch"
    algorithm: str = "cql-sac"
    penalty: str = "cql-h"
    penalty_weight: float = 1.0
    online_penalty_weight: float = 0.1
    anneal_episodes: int = 0
    penalised_rows: str = "offline"
    pretrain_updates: int = 15_000
    updates: int = 30_000
    online_episodes: int = 200
    batch_size: int = 256
    buffer_size: int = 500_000
    invariant_shaping: bool = False
    balanced: bool = False
    utd_ratio: float = 1.0
    random_steps: int = 0
    warmup_steps: int = 1_000
    seed: int = 0
    validate_every: int = 10
    validation_episodes: int = 50
    evaluation_episodes: int = 1_000
    stop_return: float = 0.0
    threads: int = 1
    precision: str = "auto"
    device: str = "auto"
    record: str = ""
    preset: str = "best"
    agent: AgentConfig = field(default_factory=AgentConfig)

    def __post_init__(self) -> None:
        check_rho(self.rho)
        check_seed(self.seed)
        for name, value, choices in (
            ("algorithm", self.algorithm, ALGORITHMS),
            ("penalty", self.penalty, PENALTIES),
            ("rho_mode", self.rho_mode, RHO_MODES),
            ("penalised_rows", self.penalised_rows, PENALISED_ROWS),
            ("preset", self.preset, PRESETS),
            ("precision", self.precision, PRECISIONS),
            ("device", self.device, ("auto", "cpu", "cuda")),
        ):
            if value not in choices:
                raise UsageError(f"{name} {value!r} is not one of {', '.join(choices)}")
        check_sha256("dataset_sha256", self.dataset_sha256)
        check_ranges(self)
        if self.rho_mode == "buffer":
            buffer_mode_episodes(self.rho, self.online_episodes)
        else:
            split_batch(self.rho, self.batch_size)
        if self.rho == 0.0 and self.pretrain_updates:
            raise UsageError("rho 0 has no dataset to pretrain on: set pretrain_updates to 0")
        if self.rho == 0.0 and self.dataset:
            raise UsageError("rho 0 uses no dataset: leave out --dataset, or raise --rho")
        if self.rho > 0.0 and not self.dataset:
            raise UsageError(f"rho {self.rho} needs a dataset: --dataset ID, or --rho 0")
        if self.dataset_sha256 and not self.dataset:
            raise UsageError("dataset_sha256 without a dataset: rho 0 uses none")
        if self.record:
            parse_id(self.record)
        if self.record and not (self.touches_env and self.online_episodes):
            raise UsageError("--record without an online episode: lower --rho, or leave it out")
        self._check_algorithm()

    def _check_algorithm(self) -> None:
        agent = self.agent
        if self.algorithm == "bc" and self.rho == 0.0:
            raise UsageError("algorithm bc learns from a dataset: --rho must be above 0")
        if self.algorithm == "cql-qr" and not self.discrete:
            raise UsageError("algorithm cql-qr has a value per action: it takes discrete ones only")
        if self.algorithm == "cql-qr" and agent.layer_norm:
            raise UsageError("algorithm cql-qr: set agent.layer_norm to false")
        if self.algorithm == "cql-qr" and self.penalty not in ("cql-h", "none"):
            raise UsageError(f"algorithm cql-qr has no policy to weigh {self.penalty} by")
        if agent.calibrated and (self.rho_mode == "buffer" or self.penalty == "eq1"):
            raise UsageError("agent.calibrated needs rho_mode batch and a penalty with a data term")
        if self.balanced and (self.rho_mode == "buffer" or self.rho in (0.0, 1.0)):
            raise UsageError("balanced replay mixes: 0 < rho < 1, and rho_mode batch")
        if agent.forward_kl and not self.discrete:
            raise UsageError("agent.forward_kl sums over all actions: it takes discrete ones only")
        if not 0 <= agent.target_subset <= agent.n_critics:
            raise UsageError(f"agent.target_subset {agent.target_subset}: 0 .. agent.n_critics")

    def env_info(self) -> EnvInfo:
        """Return the env. Raises UsageError when it is not registered here; see `named_env`."""
        return named_env(self.env) if self.env else lander(discrete=self.discrete)

    @property
    def touches_env(self) -> bool:
        """Rho 1 never makes an env while it trains."""
        return self.rho < 1.0

    def weight(self, episode: int | None) -> float:
        """Return the penalty's weight offline (None) or in an online episode; 0 for plain SAC."""
        if self.algorithm == "sac" or self.penalty == "none" or self.rho == 0.0:
            return 0.0
        if episode is None:
            return self.penalty_weight
        if not self.anneal_episodes:
            return self.online_penalty_weight
        return self.online_penalty_weight * max(0.0, 1.0 - episode / self.anneal_episodes)

    def to_dict(self) -> dict[str, Any]:
        """Return plain values, as `from_dict` takes them."""
        values = dataclasses.asdict(self)
        values["agent"]["hidden"] = list(self.agent.hidden)
        return values

    @classmethod
    def from_dict(cls, values: Mapping[str, Any], *, source: str = "config") -> Self:
        """Build from plain values. Raises UsageError for unknown keys and wrong types."""
        plain = check_types(cls, values, source)
        agent = plain.pop("agent", {})
        if not isinstance(agent, Mapping):
            raise UsageError(f"{source}: agent is not a table")
        agent = check_types(AgentConfig, agent, f"{source} [agent]")
        if "hidden" in agent:
            agent["hidden"] = tuple(agent["hidden"])
        return cls(**plain, agent=AgentConfig(**agent))


def check_sha256(name: str, value: str) -> None:
    """Raise UsageError unless a value is a sha256 as this project writes it, or empty."""
    if value and not re.fullmatch("[0-9a-f]{64}", value):
        raise UsageError(f"{name} is not 64 hexadecimal digits, in lower case")


def check_types(cls: type, values: Mapping[str, Any], source: str) -> dict[str, Any]:
    """Check keys and value types against a dataclass; integers pass where floats are wanted."""
    fields = {f.name: f for f in dataclasses.fields(cls)}
    for key in values:
        if key not in fields:
            near = difflib.get_close_matches(key[:80], fields, n=1)
            hint = f"; did you mean {near[0]!r}?" if near else ""
            raise UsageError(f"{source}: unknown key {key!r:.80}{hint}")
    checked: dict[str, Any] = {}
    for key, value in values.items():
        wanted = fields[key].type
        if wanted is float and type(value) is int and abs(value) < 2**1000:
            value = float(value)
        if key == "hidden":
            if not plausible_hidden(value):
                raise UsageError(f"{source}: hidden is not {HIDDEN_RULE}")
        elif isinstance(wanted, type) and wanted is not AgentConfig and type(value) is not wanted:
            raise UsageError(f"{source}: {key} is not of type {wanted.__name__}: {value!r:.80}")
        checked[key] = value
    return checked


def read_toml(path: Path) -> dict[str, Any]:
    """Read a TOML file.

    Raises:
        UsageError: it is missing, no regular file, too large, or not TOML.
    """
    try:
        text = read_regular(path, MAX_TOML_BYTES).decode()
        if any(line.count(".") > MAX_TOML_DOTS for line in text.split("\n")):
            raise ValueError(f"a line of more than {MAX_TOML_DOTS} dots")
        values = tomllib.loads(text)
        _check_plain(values)
        return values
    except FileNotFoundError:
        raise UsageError(f"{path}: no such file") from None
    except RefusedError as error:
        raise UsageError(str(error)) from None
    except RecursionError:
        raise UsageError(f"{path}: TOML nested too deep") from None
    except ValueError as error:  # not UTF-8, not TOML, or an integer of too many digits
        raise UsageError(f"{path}: {error}") from None


def _check_plain(values: dict[str, Any]) -> None:
    """Raise ValueError for what could not even be printed."""
    waiting: list[tuple[Any, int]] = [(values, 0)]
    while waiting:
        value, depth = waiting.pop()
        if depth > MAX_TOML_DEPTH:
            raise ValueError("TOML nested too deep")
        if type(value) is int and value.bit_length() > MAX_TOML_BITS:
            raise ValueError(f"an integer of more than {MAX_TOML_BITS:,} bits")
        if isinstance(value, dict | list):
            inside = value.values() if isinstance(value, dict) else value
            waiting += [(member, depth + 1) for member in inside]


def merge(base: Mapping[str, Any], over: Mapping[str, Any]) -> dict[str, Any]:
    """Lay `over` on `base`, tables by table."""
    merged = dict(base)
    for key, value in over.items():
        if isinstance(value, Mapping) and isinstance(merged.get(key), Mapping):
            merged[key] = merge(merged[key], value)
        else:
            merged[key] = value
    return merged

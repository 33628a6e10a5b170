"""The options of `train` as keywords."""

from collections.abc import Mapping
from typing import TypedDict

from lunar_offline.envs.env_kwargs import PlainValue


class TrainOptions(TypedDict, total=False):
    """Options of a run by name, as on the command line; see docs/reference.md.

    `agent` holds options of the algorithm that are not listed here, such as
    `{"discount": 0.99, "hidden": (64, 64)}`.
    """

    dataset_sha256: str
    env: str
    discrete: bool
    env_kwargs: Mapping[str, PlainValue]
    rho: float
    rho_mode: str
    algorithm: str
    pretrain_updates: int
    updates: int
    online_episodes: int
    batch_size: int
    buffer_size: int
    invariant_shaping: bool
    balanced: bool
    utd_ratio: float
    random_steps: int
    warmup_steps: int
    seed: int
    validate_every: int
    validation_episodes: int
    evaluation_episodes: int
    stop_return: float
    threads: int
    precision: str
    device: str
    record: str
    preset: str
    penalty: str
    penalty_weight: float
    online_penalty_weight: float
    penalized_rows: str
    lagrange_threshold: float
    agent: Mapping[str, PlainValue | tuple[int, ...]]

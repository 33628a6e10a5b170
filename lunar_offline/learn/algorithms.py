"""The algorithms by name, assembled."""

from lunar_offline.learn.agent import Agent
from lunar_offline.learn.cloning import BehaviorCloning
from lunar_offline.learn.learner import AgentConfig, Learner
from lunar_offline.learn.penalties import make_penalty
from lunar_offline.learn.policies import ActionSpec
from lunar_offline.learn.quantile import QuantileAgent

ALGORITHMS = ("cql-sac", "sac", "bc", "cql-qr")


def make_learner(
    algorithm: str,
    penalty: str,
    config: AgentConfig,
    spec: ActionSpec,
    observation_size: int,
    seed: int,
    device: str = "cpu",
    *,
    bf16: bool = False,
) -> Learner:
    """Assemble an algorithm.

    Args:
        algorithm: one of ALGORITHMS.
        penalty: one of PENALTIES; `sac` and `bc` have none.
        config: hyperparameters.
        spec: the action space.
        observation_size: D.
        seed: of the run.
        device: where the tensors live.
        bf16: see `bf16_products`; `cql-sac` and `sac` alone make use of it.

    Raises:
        KeyError: another name.
        ValueError: see QuantileAgent.
    """
    chosen = None if algorithm == "sac" else make_penalty(penalty, config.penalty_temperature)
    if algorithm == "bc":
        return BehaviorCloning(config, spec, observation_size, seed, device)
    if algorithm == "cql-qr":
        return QuantileAgent(config, spec, observation_size, seed, device, penalty=chosen)
    return Agent(config, spec, observation_size, seed, device, penalty=chosen, bf16=bf16)

"""The learner of a config, and what its checkpoints must hold."""

from lunar_offline.experiment.config import TrainConfig
from lunar_offline.experiment.feed import state_spec
from lunar_offline.experiment.tensor_file import Spec, spec_of
from lunar_offline.learn.algorithms import make_learner
from lunar_offline.learn.learner import Learner
from lunar_offline.learn.policies import ActionSpec


def checkpoint_spec(config: TrainConfig, learner: Learner) -> Spec:
    """Return what the tensors of a run's checkpoints must be."""
    return {**spec_of(learner.state_tensors()), **state_spec(config, config.env_info())}


def learner_of(config: TrainConfig, device: str = "cpu", *, bf16: bool = False) -> Learner:
    """Assemble the learner that a config asks for, at its initialisation."""
    env = config.env_info()
    return make_learner(
        config.algorithm,
        config.penalty,
        config.agent,
        ActionSpec(env.discrete, env.action_size),
        env.observation_size,
        config.seed,
        device,
        bf16=bf16,
    )

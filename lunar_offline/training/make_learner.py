"""The learner of a config, and the spec of its checkpoints."""

from lunar_offline.agents.learner import Learner
from lunar_offline.agents.nn.action_spec import ActionSpec
from lunar_offline.agents.nn.device import to_arrays
from lunar_offline.agents.registry import make_learner
from lunar_offline.storage.tensor_file import Spec, spec_of
from lunar_offline.training.batches import state_spec
from lunar_offline.training.config import TrainConfig


def learner_of(config: TrainConfig, device: str = "cpu", *, bf16: bool = False) -> Learner:
    """Return the newly initialized learner of a config.

    Args:
        config: the config of the run.
        device: `cpu` or `cuda`.
        bf16: use bfloat16 for the matrix products.
    """
    env = config.env_info()
    return make_learner(
        config.algorithm,
        config.agent,
        ActionSpec(env.discrete, env.action_size),
        env.observation_size,
        config.seed,
        device,
        bf16=bf16,
    )


def checkpoint_spec(config: TrainConfig, learner: Learner) -> Spec:
    """Return the dtypes and shapes of the tensors in a run's checkpoints."""
    return {**spec_of(to_arrays(learner.state_tensors())), **state_spec(config, config.env_info())}

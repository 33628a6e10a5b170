"""What a run's options are where the user says nothing."""

from typing import Any

from lunar_offline.errors import UsageError

PRESETS = ("best", "paper")


def preset_values(
    preset: str, *, discrete: bool, rho: float, algorithm: str = "cql-sac"
) -> dict[str, Any]:
    """Return what a preset says; every option and config file goes over it.

    `paper` is section 2.8 of the paper, with its code's clip of the critic gradient and its random
    start (10,000 steps for SAC, 1,000 for CQL-SAC). Two of its code's bugs are left out: the data
    term, and a discrete target entropy that cannot be reached (0.3 ln 4 here).
    """
    if preset not in PRESETS:
        raise UsageError(f"preset {preset!r} is not one of {', '.join(PRESETS)}")
    values = _preset_values(preset, discrete=discrete, rho=rho)
    if algorithm == "cql-qr":  # its policy is its critic, and policies have no LayerNorm
        values["agent"]["layer_norm"] = False
    return values


def _preset_values(preset: str, *, discrete: bool, rho: float) -> dict[str, Any]:
    online_sac = rho == 0.0
    values: dict[str, Any] = {"preset": preset, "discrete": discrete, "rho": rho}
    if preset == "paper":
        return values | {
            "evaluation_episodes": 0 if rho == 1.0 else 1_000,
            "penalty_weight": 1.0,
            "online_penalty_weight": 1.0,
            "penalised_rows": "all",
            "pretrain_updates": 0,
            "buffer_size": 100_000,
            "random_steps": 10_000 if online_sac else 1_000,
            "agent": {
                "layer_norm": False,
                "learning_rate": 5e-4,
                "tau": 0.01,
                "max_grad_norm": 1.0,
            },
        }
    values |= {
        # rho 1 makes no env, so it is evaluated by a command of its own
        "evaluation_episodes": 0 if rho == 1.0 else 1_000,
        "random_steps": 5_000 if online_sac else 0,
        "warmup_steps": 5_000 if online_sac else 1_000,
    }
    # A policy saturates where Q differs by much more than the temperature, and then no longer
    # follows Q: it starts soft, with temperature 1, and a discrete one keeps more of its entropy.
    values |= {
        "pretrain_updates": 0 if online_sac else 8_000 if discrete else 5_000,
        "updates": 10_000,
        "utd_ratio": 0.5 if online_sac else 2.0,
        "validate_every": 20,
        # the best of eleven is chosen, by a mean whose standard error is that of a return over its
        # root: 50 episodes would leave it at 3 points, which is what is to be told apart
        "validation_episodes": 200,
        "penalty_weight": 5.0,
        "online_penalty_weight": 0.0,
        "agent": {
            "hidden": [128, 128],
            "learning_rate": 1e-3 if discrete else 7e-4,
            "entropy_fraction": 0.3 if rho in (0.0, 1.0) else 0.2,
            "entropy_per_dimension": -0.5,
            "initial_temperature": 1.0,
            "n_proposals": 2,
            "tau": 0.01,
        },
    }
    if not online_sac:
        # Values must travel 250 steps back from the landing: a longer horizon, faster targets and
        # many updates are worth 12 points. With that many, the penalty online only holds the policy
        # back, and an average of policies takes the noise of single ones away. A continuous policy
        # of less entropy touches down without a margin, and crashes; a discrete one of 0.2 ln 4
        # learns less from data alone than with 0.3, and as much in the end.
        values["agent"] |= {"discount": 0.995, "policy_tau": 0.001}
        # the penalty spreads values so far that some seeds are sure of wrong actions, and crash
        values["agent"]["forward_kl"] = discrete
    if rho == 1.0 and not discrete:
        # without it a continuous policy leaves the data's actions; online that is worth something
        values["agent"]["cloning_weight"] = 5.0
    return values

"""The same episodes on other CPUs, whose matrix products end in other bits."""

import os
import subprocess
import sys

import pytest

from lunar_offline.evaluation.held_out_seeds import held_out_episodes
from lunar_offline.policies.behavior import behavior_policy

RUN = """
import sys
from lunar_offline.policies.behavior import behavior_policy
from lunar_offline.evaluation.held_out_seeds import held_out_episodes
policy = behavior_policy("expert", discrete=False, stochastic=sys.argv[1] == "stochastic")
for episode in held_out_episodes(policy.env, policy.act, 4):
    sys.stdout.buffer.write(episode.actions.tobytes() + episode.observations.tobytes())
"""

# MKL's and torch's kernels for the plainest of CPUs
PLAIN = {"MKL_CBWR": "COMPATIBLE", "ATEN_CPU_CAPABILITY": "default"}


@pytest.mark.parametrize("kind", ["stochastic", "deterministic"])
def test_a_policy_acts_the_same_with_other_kernels(kind: str) -> None:
    policy = behavior_policy("expert", discrete=False, stochastic=kind == "stochastic")
    episodes = held_out_episodes(policy.env, policy.act, 4)
    there = subprocess.run(
        [sys.executable, "-c", RUN, kind],
        env={**os.environ, **PLAIN},
        capture_output=True,
        check=True,
    )
    expected = b"".join(e.actions.tobytes() + e.observations.tobytes() for e in episodes)
    assert there.stdout == expected

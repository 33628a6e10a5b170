"""The same episodes on other CPUs, whose matrix products end in other bits."""

import os
import subprocess
import sys

import pytest

from lunar_offline.experiment.behavior import behavior_policy
from lunar_offline.experiment.evaluate import fly

FLY = """
import sys
from lunar_offline.experiment.behavior import behavior_policy
from lunar_offline.experiment.evaluate import fly
policy = behavior_policy("expert", discrete=False, stochastic=sys.argv[1] == "stochastic")
for episode in fly(policy.env, policy.act, 4):
    sys.stdout.buffer.write(episode.actions.tobytes() + episode.observations.tobytes())
"""

# MKL's and torch's kernels for the plainest of CPUs
PLAIN = {"MKL_CBWR": "COMPATIBLE", "ATEN_CPU_CAPABILITY": "default"}


@pytest.mark.parametrize("kind", ["stochastic", "deterministic"])
def test_a_policy_flies_the_same_with_other_kernels(kind: str) -> None:
    policy = behavior_policy("expert", discrete=False, stochastic=kind == "stochastic")
    flown = fly(policy.env, policy.act, 4)
    there = subprocess.run(
        [sys.executable, "-c", FLY, kind],
        env={**os.environ, **PLAIN},
        capture_output=True,
        check=True,
    )
    assert there.stdout == b"".join(e.actions.tobytes() + e.observations.tobytes() for e in flown)

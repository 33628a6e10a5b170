"""Noise of the continuous penalty's gradient per proposal: python benchmarks/proposals.py RUN.

RUN is a finished continuous run of cql-sac. For one batch of its dataset the critics' gradient of
the gap is estimated many times, with N proposals of each of the three kinds, independent or
quasi-random. Its variance is that of a single estimate over the squared norm of the mean; bias is
the distance of the mean from that at N = 64. An update's cost grows with its 3 N + 2 critic rows a
state, so `per row` is variance times rows, over that of N = 10 independent ones: below 1 is better.
"""

import sys
from pathlib import Path

import pairing
import torch

sys.path.insert(0, str(Path(__file__).parent / "workers"))
import ours

from lunar_offline.agents.algorithms.cql_sac import CQLSAC
from lunar_offline.agents.learner import Batch
from lunar_offline.agents.noise import draw
from lunar_offline.agents.penalties import LogSumExp
from lunar_offline.datasets.dataset import read_dataset
from lunar_offline.seeding import Purpose, generator
from lunar_offline.studies.value_gap import restored_learner
from lunar_offline.training.run_folder import RunFolder
from lunar_offline.transitions import Transitions

STATES, DRAWS = 256, 100
CPU = torch.device("cpu")


def gap_gradient(agent: CQLSAC, batch: Batch, n: int, step: int, *, quasi: bool) -> torch.Tensor:
    """Return the gap's gradient in the critics' parameters from one draw of proposals."""
    noise = draw(
        0,
        step,
        rows=STATES,
        penalized=STATES,
        n_proposals=n,
        action_size=agent.spec.size,
        quasi_random=quasi,
        device=CPU,
    )
    output = agent.policy.net.run(torch.cat([batch.observations, batch.next_observations]))[0][0]
    proposals = agent.policy.proposals(
        output[:STATES], output[STATES:], noise.uniform, noise.proposals
    )
    actions = agent.policy.action_set(output[:STATES], noise.actions[:STATES]).actions
    values = agent.critic.evaluate(batch.observations, batch.actions, proposals.actions, actions)
    assert values.q_KPM is not None
    gap = LogSumExp("actions")(values.q_KPM, proposals.log_weight_PM, values.q_KB)
    g_data = torch.full_like(values.q_KB, gap.g_data)
    return agent.critic.parameter_gradient(
        values, batch.actions, proposals.actions, g_data, gap.g_KPM
    ).clone()


@torch.inference_mode()
def main() -> None:
    """Print a line per number and kind of proposals and write benchmarks/results/proposals.json."""
    run = RunFolder.open(Path(sys.argv[1]))
    config = run.config()
    agent = restored_learner(run, config)
    assert isinstance(agent, CQLSAC)
    rows = read_dataset(config.dataset).transitions.records
    drawn = generator(0, Purpose.BATCH).integers(len(rows), size=STATES)
    batch = ours.to_batch(Transitions(rows[drawn]), STATES, CPU)
    found = {}
    for n, quasi in [(64, True), *((n, quasi) for n in (1, 2, 4, 10) for quasi in (False, True))]:
        draws = torch.stack(
            [gap_gradient(agent, batch, n, step, quasi=quasi) for step in range(DRAWS)]
        ).double()
        mean = draws.mean(0)
        found[n, quasi] = (mean, (draws - mean).square().sum(1).mean() / mean.square().sum())
    exact = found.pop((64, True))[0]
    base = found[10, False][1] * 32
    lines = []
    for (n, quasi), (mean, variance) in found.items():
        lines.append(
            {
                "n": n,
                "kind": "quasi-random" if quasi else "independent",
                "variance": round(float(variance), 4),
                "bias": round(float((mean - exact).norm() / exact.norm()), 4),
                "per_row": round(float(variance * (3 * n + 2) / base), 3),
            }
        )
    pairing.write("proposals", {"run": run.path.name, "states": STATES, "lines": lines})


main()

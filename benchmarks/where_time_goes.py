"""Where one update and one online step spend their time: python benchmarks/where_time_goes.py.

An update's parts are torch.profiler's self times per kind of kernel; the profiler itself makes the
small ones longer. The floor is the update's matrix products alone, one after the other, replayed
into buffers that exist.
"""

import sys
import time
from collections import defaultdict
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pairing
import torch
from torch.profiler import ProfilerActivity, profile
from torch.utils._python_dispatch import TorchDispatchMode

sys.path.insert(0, str(Path(__file__).parent / "workers"))
import ours

from lunar_offline.agents.nn.action_spec import ActionSpec
from lunar_offline.agents.nn.policies import act
from lunar_offline.agents.registry import make_learner
from lunar_offline.envs.registry import find_env
from lunar_offline.seeding import Purpose, generator
from lunar_offline.training.mixed_sampler import MixedSampler
from lunar_offline.training.replay_buffer import ReplayBuffer
from lunar_offline.training.rho import split_batch

KINDS = {
    "matrix products": ("mm", "addmm"),
    "activations": (
        "relu_",
        "threshold_backward",
        "native_layer_norm",
        "native_layer_norm_backward",
    ),
    "optimizer and target": ("_fused_adam_", "lerp_"),
}
ROUNDS = 12


def milliseconds(call: Callable[[], object], calls: int) -> float:
    """Return the mean time of some calls."""
    start = time.perf_counter()
    for _ in range(calls):
        call()
    return (time.perf_counter() - start) / calls * 1e3


class MatrixProducts(TorchDispatchMode):
    """Keeps the operands of every matrix product."""

    def __init__(self) -> None:
        super().__init__()
        self.operands: list[tuple[torch.Tensor, torch.Tensor]] = []

    def __torch_dispatch__(
        self, func: Any, types: Any, args: tuple[Any, ...] = (), kwargs: Any = None
    ) -> Any:
        """Run the kernel; note a product's two matrices."""
        if func.overloadpacket.__name__ in KINDS["matrix products"]:
            self.operands.append(args[-2:])
        return func(*args, **kwargs or {})


def matrix_products(update: Callable[[], object]) -> tuple[Callable[[], None], float]:
    """Return a function that does the matrix products of an update and nothing else, and GFLOP."""
    with MatrixProducts() as seen:
        update()
    work = [(a, b, torch.empty(a.shape[0], b.shape[1])) for a, b in seen.operands]

    def products() -> None:
        for a, b, out in work:
            torch.mm(a, b, out=out)

    return products, sum(2 * a.shape[0] * a.shape[1] * b.shape[1] for a, b, _ in work) / 1e9


def kernels(update: Callable[[], object], calls: int) -> dict[str, float]:
    """Return the milliseconds that one update spends in each kind of kernel."""
    with profile(activities=[ProfilerActivity.CPU]) as recorded:
        for _ in range(calls):
            update()
    spent = dict.fromkeys((*KINDS, "other kernels"), 0.0)
    for event in recorded.key_averages():
        name = event.key.removeprefix("aten::")
        kind = next((kind for kind, names in KINDS.items() if name in names), "other kernels")
        spent[kind] += event.self_cpu_time_total / 1e3 / calls
    return spent


def update_parts(update: Callable[[], object], calls: int) -> dict[str, float]:
    """Return milliseconds of one update, in all and by kind: the least of several rounds each.

    The least is what the code takes when nobody else wants the core.
    """
    products, gflop = matrix_products(update)
    rounds = [
        {"update": milliseconds(update, calls), "floor": milliseconds(products, calls)}
        | kernels(update, calls)
        for _ in range(ROUNDS)
    ]
    least = {part: min(r[part] for r in rounds) for part in rounds[0]}
    return least | {"gflop": gflop}


def online_parts(steps: int) -> dict[str, float]:
    """Return milliseconds per discrete env step, rho 0.6, preset `best`, by part."""
    info, config = find_env(discrete=True), ours.preset(discrete=True)
    env, spec = info.make(), ActionSpec(True, info.action_size)
    agent = make_learner("cql-sac", config.agent, spec, info.observation_size, seed=0)
    offline, replay = (ReplayBuffer(100_000, info.transition_dtype()) for _ in range(2))
    offline.extend(ours.random_rows(info))
    pairs = zip((offline, replay), split_batch(config.rho, config.batch_size), strict=True)
    sampler = MixedSampler(tuple(pairs), offline.records.dtype)
    rng = generator(0, Purpose.TRAINING_ACTION)
    spent: dict[str, float] = defaultdict(float)
    observation, _ = env.reset(seed=0)
    for step in range(-100, steps):
        marks = [time.perf_counter()]
        action = act(agent.policy, observation[None], [rng])[0]
        marks.append(time.perf_counter())
        following, reward, terminated, truncated, _ = env.step(action)
        marks.append(time.perf_counter())
        replay.add(
            observation,
            action,
            float(reward),
            following,
            terminated=terminated,
            truncated=truncated,
        )
        observation = env.reset(seed=step + 100)[0] if terminated or truncated else following
        marks.append(time.perf_counter())
        batches = []
        for _ in range(round(config.utd_ratio)):
            drawn = sampler.sample(generator(0, Purpose.BATCH, agent.update_step + len(batches)))
            batches.append(ours.to_batch(drawn.transitions, drawn.n_offline, agent.device))
        marks.append(time.perf_counter())
        for batch in batches:
            agent.update(batch, online_episode=0)
        marks.append(time.perf_counter())
        if step >= 0:
            parts = ("policy", "env.step", "replay.add and resets", "batches", "updates")
            for part, taken in zip(parts, np.diff(marks).tolist(), strict=True):
                spent[part] += taken
    return {part: seconds / steps * 1e3 for part, seconds in spent.items()}


def main() -> None:
    """Print two tables in Markdown and write benchmarks/results/where-time-goes.json."""
    torch.set_num_threads(1)
    updates = {
        work: update_parts(ours.make(work), calls)
        for work, calls in (("cql-continuous", 5), ("sac-continuous", 40), ("cql-discrete", 40))
    }
    online = online_parts(4_000)
    print("| ms | " + " | ".join(updates) + " |\n| --- |" + " ---: |" * len(updates))
    for part in next(iter(updates.values())):
        print(f"| {part} | " + " | ".join(f"{row[part]:.2f}" for row in updates.values()) + " |")
    print("\n| part of an online step | ms | share |\n| --- | ---: | ---: |")
    for part, ms in online.items():
        print(f"| {part} | {ms:.3f} | {ms / sum(online.values()):.0%} |")
    pairing.write("where-time-goes", {"updates": updates, "online_step": online})


main()

"""Do others read our datasets unchanged? Minari, TorchRL and d3rlpy, each in its own environment.

    python benchmarks/other_readers.py

Publishes a few episodes of the medium policy, in both action spaces, and compares what each library
finds with what was flown: rows, episodes, the sum of all rewards and of all observations.
"""

import json
import os
import subprocess
import tempfile
from pathlib import Path
from typing import Any

import numpy as np
from pairing import peer_python, write

from lunar_offline.data.reader import read_dataset
from lunar_offline.experiment.collection import collect_dataset

EPISODES = 12
BOX2D = ["minari[hdf5]==0.5.4", "pillow", "box2d==2.3.10", "pygame"]
READERS = {
    "minari": (
        [*BOX2D, "gymnasium[box2d]==1.4.0"],
        """
import minari
episodes = list(minari.load_dataset(name).iterate_episodes())
found(sum(len(e.rewards) for e in episodes), len(episodes),
      sum(e.rewards.sum() for e in episodes),
      sum(e.observations[:-1].sum(dtype="f8") for e in episodes))
""",
    ),
    "torchrl": (
        [*BOX2D, "gymnasium[box2d]==1.4.0", "torchrl==0.14.1", "torch==2.13.0"],
        """
from torchrl.data.datasets import MinariExperienceReplay
data = MinariExperienceReplay(name, batch_size=32, root=root, download="force",
                              load_from_local_minari=True)[:]
found(len(data), int(data["episode"].max()) + 1, float(data["next", "reward"].double().sum()),
      float(data["observation"].double().sum()))
""",
    ),
    "d3rlpy": (
        [*BOX2D, "d3rlpy==2.8.1", "torch==2.13.0"],
        """
import d3rlpy
buffer, env = d3rlpy.datasets.get_minari(name)
episodes = buffer.episodes
# d3rlpy keeps the observations that an action was taken in
found(sum(len(e.rewards) for e in episodes), len(episodes),
      float(sum(e.rewards.sum(dtype="f8") for e in episodes)),
      float(sum(e.observations[:len(e.rewards)].sum(dtype="f8") for e in episodes)))
""",
    ),
}
PREFACE = """
import json, sys
name, root = sys.argv[1:]
def found(rows, episodes, rewards, observations):
    print(json.dumps([int(rows), int(episodes), float(rewards), float(observations)]))
"""


def flown(dataset_id: str) -> list[float]:
    """Return rows, episodes and both sums as this project reads them."""
    dataset = read_dataset(dataset_id)
    rows = dataset.transitions
    observations = rows.observations.sum(dtype=np.float64)
    return [len(rows), len(dataset.seeds), float(dataset.flat.rewards.sum()), float(observations)]


def main() -> None:
    """Compare every reader and write results/other_readers.json."""
    result: dict[str, Any] = {}
    with tempfile.TemporaryDirectory() as folder:
        os.environ["MINARI_DATASETS_PATH"] = folder
        for discrete in (True, False):
            name = f"lunar-{'discrete' if discrete else 'continuous'}-v0"
            collect_dataset(name, policy="medium", discrete=discrete, episodes=EPISODES)
            ours = flown(name)
            for reader, (packages, script) in READERS.items():
                python = peer_python(f"read-{reader}", packages)
                command = [python, "-c", PREFACE + script, name, str(Path(folder) / reader)]
                shown = subprocess.run(command, capture_output=True, text=True, check=False)
                last = shown.stdout.strip().splitlines()[-1:] or ["[]"]
                theirs = json.loads(last[0]) if shown.returncode == 0 else []
                same = len(theirs) == 4 and bool(np.allclose(theirs, ours, rtol=1e-5))
                result.setdefault(reader, {})[name] = {"same": same, "found": theirs}
                if not same:
                    print(shown.stderr[-1500:])
            result.setdefault("ours", {})[name] = ours
    write("other_readers", result)


if __name__ == "__main__":
    main()

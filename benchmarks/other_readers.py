"""Do others read our datasets unchanged? Minari, TorchRL and d3rlpy, each in its own environment.

    python benchmarks/other_readers.py

Publishes a few episodes of the medium policy, in both action spaces, and compares what each library
finds with what was recorded: rows, episodes, the sums of all rewards and of all observations.
"""

import json
import os
import subprocess
import tempfile
from pathlib import Path
from typing import Any

import numpy as np
from pairing import peer_python, write

from lunar_offline.collection.collect import collect_dataset
from lunar_offline.datasets.dataset import read_dataset

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
        # 0.11 to 0.14.1 give zeros for every dataset: they copy only the shapes to disk at the end
        [*BOX2D, "gymnasium[box2d]==1.4.0", "torchrl==0.10.1", "torch==2.8.0"],
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
# its loader forgets that an episode has one observation more than it has actions, so that the n-th
# episode's lie n rows off, in every Minari dataset: only the first one's can be compared
found(sum(len(e.rewards) for e in episodes), len(episodes),
      float(sum(e.rewards.sum(dtype="f8") for e in episodes)),
      float(episodes[0].observations.sum(dtype="f8")))
""",
    ),
}
PREFACE = """
import json, sys
name, root = sys.argv[1:]
def found(rows, episodes, rewards, observations):
    print(json.dumps([int(rows), int(episodes), float(rewards), float(observations)]))
"""


def recorded(dataset_id: str, *, of_first: bool) -> list[float]:
    """Return rows, episodes and both sums as this project reads them.

    Args:
        dataset_id: what to read.
        of_first: sum the observations of the first episode alone.
    """
    dataset = read_dataset(dataset_id)
    rows = dataset.transitions
    until = rows.episode_ends()[0] if of_first else len(rows)
    observations = float(rows.observations[:until].sum(dtype=np.float64))
    return [len(rows), len(dataset.seeds), float(dataset.flat.rewards.sum()), observations]


def main() -> None:
    """Compare every reader and write results/other_readers.json."""
    result: dict[str, Any] = {}
    with tempfile.TemporaryDirectory() as folder:
        os.environ["MINARI_DATASETS_PATH"] = folder
        for discrete in (True, False):
            name = f"lunar-{'discrete' if discrete else 'continuous'}-v0"
            collect_dataset(name, policy="medium", discrete=discrete, episodes=EPISODES)
            for reader, (packages, script) in READERS.items():
                python = peer_python(f"read-{reader}", packages)
                command = [python, "-c", PREFACE + script, name, str(Path(folder) / reader)]
                shown = subprocess.run(command, capture_output=True, text=True, check=False)
                last = shown.stdout.strip().splitlines()[-1:] or ["[]"]
                theirs = json.loads(last[0]) if shown.returncode == 0 else []
                ours = recorded(name, of_first=reader == "d3rlpy")
                same = len(theirs) == 4 and bool(np.allclose(theirs, ours, rtol=1e-5))
                result.setdefault(reader, {})[name] = {
                    "same": same,
                    "found": theirs,
                    "recorded": ours,
                }
                if not same:
                    print(shown.stderr[-1500:])
    write("other_readers", result)


if __name__ == "__main__":
    main()

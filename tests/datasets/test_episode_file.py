"""The file that is written episode by episode is Minari's, byte for byte."""

import hashlib

import minari
import pytest
from minari_buffers import minari_buffers

from lunar_offline.datasets.episode_file import EpisodeFile
from lunar_offline.envs.registry import find_env
from lunar_offline.storage.datasets_root import datasets_root


@pytest.mark.parametrize("discrete", [True, False])
@pytest.mark.filterwarnings("ignore::UserWarning")  # of the keys that are left out
def test_the_bytes_are_those_of_minari(discrete: bool, random_episodes) -> None:
    episodes = random_episodes[discrete]
    dataset = minari.create_dataset_from_buffers(
        "x-v0", minari_buffers(episodes), env=find_env(discrete=discrete).spec(), data_format="hdf5"
    )
    dataset.storage.update_episode_metadata(
        [
            {
                "rewards_sum": float(episode.rewards.sum()),
                "rewards_mean": float(episode.rewards.mean()),
                "rewards_std": float(episode.rewards.std()),
                "rewards_max": float(episode.rewards.max()),
                "rewards_min": float(episode.rewards.min()),
            }
            for episode in episodes
        ]
    )
    theirs = (datasets_root() / "x-v0" / "data" / "main_data.hdf5").read_bytes()
    ours = EpisodeFile(episodes).content()
    assert hashlib.sha256(ours).digest() == hashlib.sha256(theirs).digest()

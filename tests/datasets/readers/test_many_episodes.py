"""Datasets of any number of episodes are read, with memory that the format needs for each."""

import h5py
import numpy as np
import pytest
from foreign_data import write_dataset
from many_episodes import ENV, episode, write_many
from minari.data_collector import EpisodeBuffer

from lunar_offline.datasets.dataset import Dataset, read_dataset
from lunar_offline.datasets.readers import sandbox
from lunar_offline.datasets.readers.limits import RESERVE
from lunar_offline.envs.registry import named_env
from lunar_offline.errors import RefusedError
from lunar_offline.storage.datasets_root import datasets_root

pytestmark = pytest.mark.usefixtures("quiet_minari")

MIB = 1 << 20
LARGE_CACHE = "from lunar_offline.datasets.readers import hdf5; hdf5.METADATA_CACHE = 32 << 20; "


def check_equal(dataset: Dataset, buffers: list[EpisodeBuffer]) -> None:
    """Compare a dataset with the episodes that it was written from."""
    lengths = [len(buffer.rewards) for buffer in buffers]
    assert dataset.episode_lengths().tolist() == lengths
    assert dataset.seeds == [buffer.seed for buffer in buffers]
    for read, written in zip(dataset.episodes(), buffers, strict=True):
        for name in ("observations", "actions", "rewards", "terminations", "truncations"):
            assert np.array_equal(getattr(read, name), getattr(written, name)), name


def lengths_of(episodes: int) -> list[int]:
    """Lengths of 1 to 100 steps."""
    return [1 + index * 37 % 100 for index in range(episodes)]


@pytest.mark.parametrize("kind", ["hdf5", "arrow"])
@pytest.mark.parametrize("lengths", [[1], [100], [1] * 40, lengths_of(40)])
def test_what_minari_writes(kind: str, lengths: list[int]) -> None:
    buffers = [episode(index, steps) for index, steps in enumerate(lengths)]
    write_dataset("many-v0", ENV, buffers, kind)
    check_equal(read_dataset("many-v0", named_env(ENV)), buffers)


def test_the_fast_writer_writes_what_minari_writes() -> None:
    lengths = lengths_of(50)
    buffers = [episode(index, steps) for index, steps in enumerate(lengths)]
    write_dataset("theirs-v0", ENV, buffers)
    write_many("ours-v0", lengths)
    contents = []
    for name in ("ours-v0", "theirs-v0"):
        with h5py.File(datasets_root() / name / "data" / "main_data.hdf5") as file:
            found: list[object] = []

            def note(path: str, value: h5py.Group | h5py.Dataset, found: list[object]) -> None:
                found.append((path, sorted(value.attrs.items())))
                if isinstance(value, h5py.Dataset):
                    stored = value.dtype, value.chunks, value.maxshape, value.id.get_storage_size()
                    found.append((stored, value[()].tobytes()))

            file.visititems(lambda path, value, found=found: note(path, value, found))
            contents.append(found)
    assert contents[0] == contents[1]


def check_many(episodes: int) -> None:
    """Write and read episodes of 1 to 100 steps, and compare ten of them."""
    lengths = lengths_of(episodes)
    write_many("many-v0", lengths)
    dataset = read_dataset("many-v0", named_env(ENV))
    assert dataset.episode_lengths().tolist() == lengths
    assert dataset.seeds == list(range(episodes))
    assert dataset.episode_returns() == pytest.approx(
        np.array(lengths) * (np.arange(episodes) + 0.5)
    )
    starts = np.cumsum([0, *lengths])
    for index in range(0, episodes, episodes // 10):
        rows = dataset.transitions.observations[starts[index] : starts[index + 1]]
        assert np.array_equal(rows, episode(index, lengths[index]).observations[:-1])


def test_ten_thousand_episodes_in_little_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    """HDF5's own cache took 390 MiB of them, whatever their length."""
    monkeypatch.setattr(sandbox, "BASE_MEMORY", RESERVE + 16 * MIB)
    monkeypatch.setattr(sandbox, "COPIES", 0)
    check_many(10_000)


@pytest.mark.slow
@pytest.mark.parametrize("episodes", [5_000, 10_000])
def test_thousands_of_episodes_that_minari_writes(episodes: int) -> None:
    buffers = [episode(index, steps) for index, steps in enumerate(lengths_of(episodes))]
    write_dataset("many-v0", ENV, buffers)
    check_equal(read_dataset("many-v0", named_env(ENV)), buffers)


@pytest.mark.slow
def test_a_hundred_thousand_episodes() -> None:
    check_many(100_000)


@pytest.mark.slow
def test_a_hundred_thousand_episodes_of_one_step() -> None:
    write_many("many-v0", [1] * 100_000)
    assert len(read_dataset("many-v0", named_env(ENV))) == 100_000


def test_memory_that_runs_out_is_a_refusal_and_no_crash(monkeypatch: pytest.MonkeyPatch) -> None:
    """HDF5 writes through a null pointer where it receives no memory; see `check_memory`."""
    write_many("many-v0", [1] * 1_000)
    monkeypatch.setattr(sandbox, "START", LARGE_CACHE + sandbox.START)
    monkeypatch.setattr(sandbox, "BYTES_PER_EPISODE", 0)
    for mib in (0, 1, 8, RESERVE // MIB + 1, RESERVE // MIB + 20, RESERVE // MIB + 40):
        monkeypatch.setattr(sandbox, "BASE_MEMORY", mib * MIB)
        with pytest.raises(RefusedError, match="needs more memory than data of its size"):
            read_dataset("many-v0", named_env(ENV))

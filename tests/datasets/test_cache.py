"""The flat cache: what is read once is mapped from then on."""

import os
import shutil
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from lunar_offline.datasets import cache as flat
from lunar_offline.datasets import dataset as reader
from lunar_offline.datasets.cache import FlatWriter, open_flat
from lunar_offline.datasets.dataset import read_dataset
from lunar_offline.datasets.readers import sandbox
from lunar_offline.envs.registry import find_env
from lunar_offline.errors import RefusedError
from lunar_offline.storage.datasets_root import FOLDER, datasets_root
from lunar_offline.transitions import transition_dtype

DTYPE = find_env(discrete=True).transition_dtype()


def write(path: Path, lengths: list[int], rows: int | None = None) -> None:
    with path.open("wb+") as file:
        writer = FlatWriter(file, DTYPE, sum(lengths) if rows is None else rows)
        for index, length in enumerate(lengths):
            records = np.zeros(length, DTYPE)
            records["rewards"] = index
            writer.add(records, records["rewards"].astype(np.float64) + 0.1, index)
        writer.finish("key")


def test_what_was_written_is_mapped(tmp_path: Path) -> None:
    path = tmp_path / "x.flat"
    write(path, [3, 1, 4])
    mapped = open_flat(path, "key", DTYPE, check=True)
    assert mapped.records["rewards"].tolist() == [0, 0, 0, 1, 2, 2, 2, 2]
    assert mapped.rewards == pytest.approx(
        mapped.records["rewards"].astype(np.float64) + 0.1, abs=1e-12
    )
    assert mapped.ends.tolist() == [3, 4, 8]
    assert mapped.seeds.tolist() == [0, 1, 2]
    assert not mapped.records.flags.writeable
    with pytest.raises(ValueError, match="unexpected header"):
        open_flat(path, "other", DTYPE, check=False)
    with pytest.raises(ValueError, match="unexpected header"):
        open_flat(path, "key", find_env(discrete=False).transition_dtype(), check=False)


@pytest.mark.parametrize("rows", [7, 9])
def test_rows_that_were_not_announced(tmp_path: Path, rows: int) -> None:
    with pytest.raises(ValueError, match=f"{'more than 7' if rows == 7 else '8 steps, not 9'}"):
        write(tmp_path / "x.flat", [3, 1, 4], rows)


@pytest.mark.parametrize("where", ["records", "rewards", "episodes"])
def test_a_changed_byte_is_noticed(tmp_path: Path, where: str) -> None:
    path = tmp_path / "x.flat"
    write(path, [3, 1, 4])
    content = bytearray(path.read_bytes())
    at = {"records": flat.PAGE + 5, "rewards": -16 * 3 - 8, "episodes": -1}[where]
    content[at] ^= 1
    path.write_bytes(content)
    with pytest.raises(ValueError, match="unexpected sha256"):
        open_flat(path, "key", DTYPE, check=True)
    path.write_bytes(content[:-1])
    with pytest.raises(ValueError, match="unexpected size"):
        open_flat(path, "key", DTYPE, check=False)


def test_a_dataset_is_converted_once(random_dataset: str, monkeypatch: pytest.MonkeyPatch) -> None:
    first = read_dataset(random_dataset)
    assert [path.name for path in first.cache.parent.iterdir()] == [first.cache.name]
    monkeypatch.setattr(sandbox, "convert", lambda _: pytest.fail("converted again"))
    again = read_dataset(random_dataset)
    assert again.transitions.records.tobytes() == first.transitions.records.tobytes()
    monkeypatch.setattr(reader, "check_files", lambda *_: pytest.fail("hashed"))
    monkeypatch.setattr(flat, "_payload_sha256", lambda _: pytest.fail("hashed"))
    trusted = read_dataset(random_dataset, trusted=True)
    assert trusted.sha256 == first.sha256
    assert trusted.episode_returns() == pytest.approx(first.episode_returns())


def test_a_damaged_cache_is_made_again(random_dataset: str) -> None:
    first = read_dataset(random_dataset)
    whole = first.cache.read_bytes()
    content = bytearray(whole)
    content[flat.PAGE + 100] ^= 255
    first.cache.unlink()  # the file that is mapped stays as it is
    first.cache.write_bytes(content)
    read_dataset(random_dataset)
    assert first.cache.read_bytes() == whole


def test_where_no_cache_can_be_kept(random_dataset: str, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object, **__: object) -> None:
        raise PermissionError(13, "Permission denied")

    kept = read_dataset(random_dataset)
    shutil.rmtree(datasets_root() / FOLDER)
    monkeypatch.setattr(Path, "mkdir", refuse)
    lost = read_dataset(random_dataset)
    assert not lost.cache.exists()
    assert lost.transitions.records.tobytes() == kept.transitions.records.tobytes()


def test_a_killed_conversion_is_cleared_away_in_time(random_dataset: str) -> None:
    cache = datasets_root() / FOLDER / "cache"
    for name, age in (("making-old", 7200), ("making-new", 60)):
        (cache / name).mkdir(parents=True)
        since = (cache / name).stat().st_mtime - age
        os.utime(cache / name, (since, since))
    read_dataset(random_dataset)
    assert not (cache / "making-old").exists()
    assert (cache / "making-new").exists()


def test_a_reader_that_breaks_is_a_refusal(
    random_dataset: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sandbox, "START", "import os; os.kill(os.getpid(), 11)")
    with pytest.raises(RefusedError, match=r"crashed the process that read it \(signal 11\)"):
        read_dataset(random_dataset)
    monkeypatch.setattr(sandbox, "START", "import time; time.sleep(60)")
    monkeypatch.setattr(sandbox, "WALL_FACTOR", 0.05)
    with pytest.raises(RefusedError, match=r"takes more than .* s to read"):
        read_dataset(random_dataset)
    assert not any((datasets_root() / FOLDER / "cache").iterdir())


@given(
    observation_size=st.integers(1, 9),
    action=st.sampled_from([((), np.int64), ((1,), np.float32), ((2,), np.float32)]),
    lengths=st.lists(st.integers(1, 9), min_size=1, max_size=9),
)
def test_records_of_any_size_and_number(
    tmp_path_factory: pytest.TempPathFactory,
    observation_size: int,
    action: tuple[tuple[int, ...], type],
    lengths: list[int],
) -> None:
    """All records of odd lengths may end where the rewards, of 8 bytes each, cannot start."""
    dtype, rows = transition_dtype((observation_size,), *action), sum(lengths)
    records = np.arange(rows * dtype.itemsize).astype(np.uint8).view(dtype)
    rewards, ends = np.arange(rows) / 3.0, np.cumsum(lengths)
    path = tmp_path_factory.mktemp("flat") / "x.flat"
    with path.open("wb+") as file:
        writer = FlatWriter(file, dtype, rows)
        for end, length in zip(ends, lengths, strict=True):
            writer.add(records[end - length : end], rewards[end - length : end], length)
        writer.finish("key")
    mapped = open_flat(path, "key", dtype, check=True)
    assert mapped.records.tobytes() == records.tobytes()
    assert mapped.rewards.tolist() == rewards.tolist()
    assert mapped.ends.tolist() == ends.tolist()
    assert mapped.seeds.tolist() == lengths

"""The reader's cache: what is read is the data, whatever is stored or happens there."""

import errno
import json
import os
import shutil
import tempfile
from collections.abc import Callable
from pathlib import Path

import h5py
import numpy as np
import pytest
from hostile_datasets import flip, hdf5_file, manifest_file, metadata_file

from lunar_offline.datasets.cache import PAGE
from lunar_offline.datasets.dataset import Dataset, read_dataset
from lunar_offline.datasets.readers import sandbox
from lunar_offline.errors import RefusedError
from lunar_offline.storage.datasets_root import FOLDER, datasets_root


@pytest.fixture
def folder(good_datasets: dict[str, Path]) -> Path:
    """A dataset with its manifest."""
    return shutil.copytree(good_datasets["manifest"], datasets_root() / "bad-v0")


def _content(dataset: Dataset) -> list[object]:
    flat = dataset.flat
    return [dataset.seeds, *(a.tobytes() for a in (flat.records, flat.rewards, flat.ends))]


def _in_header(change: Callable[[dict], dict]) -> Callable[[Path], object]:
    def damage(path: Path) -> None:
        content = path.read_bytes()
        header = json.dumps(change(json.loads(content[:PAGE]))).encode().ljust(PAGE)
        path.write_bytes(header + content[PAGE:])

    return damage


def _bytes(change: Callable[[bytes], bytes]) -> Callable[[Path], object]:
    return lambda path: path.write_bytes(change(path.read_bytes()))


def _instead(make: Callable[[Path], object]) -> Callable[[Path], object]:
    def damage(path: Path) -> None:
        path.unlink()
        make(path)

    return damage


# 8 rows less and as many episodes more as take the room of their 86 bytes
MOVED = {"rows": -8, "episodes": 43}

CACHE_DAMAGES: dict[str, Callable[[Path], object]] = {
    "a bit of the header": _bytes(lambda b: flip(b, 12)),
    "a bit of the records": _bytes(lambda b: flip(b, PAGE + 100)),
    "a bit of the last byte": _bytes(lambda b: flip(b, len(b) - 1)),
    "nothing": _bytes(lambda _: b""),
    "less than a header": _bytes(lambda b: b[:1000]),
    "a byte less": _bytes(lambda b: b[:-1]),
    "a byte more": _bytes(lambda b: b + b"\0"),
    "zeros": _bytes(lambda b: bytes(len(b))),
    "no header": _in_header(lambda _: {}),
    "a header of more rows": _in_header(lambda h: h | {"rows": h["rows"] + 1}),
    "a header of fewer rows": _in_header(lambda h: h | {"rows": h["rows"] - 1}),
    "a header of 10**18 rows": _in_header(lambda h: h | {"rows": 10**18}),
    "a header of negative rows": _in_header(lambda h: h | {"rows": -h["rows"]}),
    "a header of true rows": _in_header(lambda h: h | {"rows": True}),
    "a header of no episode": _in_header(lambda h: h | {"episodes": 0}),
    "a header of the same size": _in_header(
        lambda h: h | {name: h[name] + by for name, by in MOVED.items()}
    ),
    "a header of another key": _in_header(lambda h: h | {"key": "0" * 64}),
    "a header of another format": _in_header(lambda h: h | {"format": 1}),
    "a header of a list": _bytes(lambda b: b"[1]".ljust(PAGE) + b[PAGE:]),
    "a deep header": _bytes(lambda b: b"[" * PAGE + b[PAGE:]),
    "a pipe": _instead(os.mkfifo),
    "a link to nothing": _instead(lambda path: path.symlink_to("nothing")),
    "a link to zeros": _instead(lambda path: path.symlink_to("/dev/zero")),
    "holes": _instead(lambda path: (path.touch(), os.truncate(path, 1 << 40))),
}


@pytest.mark.parametrize("name", CACHE_DAMAGES)
def test_a_damaged_cache_is_made_again(folder: Path, name: str) -> None:
    before = read_dataset("bad-v0")
    expected = _content(before)
    CACHE_DAMAGES[name](before.cache)
    assert _content(read_dataset("bad-v0")) == expected
    assert _content(read_dataset("bad-v0", trusted=True)) == expected
    assert [path.name for path in before.cache.parent.iterdir()] == [before.cache.name]
    assert before.cache.is_file()
    assert not before.cache.is_symlink()


def test_a_folder_in_the_place_of_a_cache(folder: Path) -> None:
    cache = read_dataset("bad-v0").cache
    cache.unlink()
    (cache / "precious").mkdir(parents=True)
    with pytest.raises(RefusedError, match="a folder in place of a cache file; remove it"):
        read_dataset("bad-v0")
    assert [path.name for path in cache.parent.iterdir()] == [cache.name]


def test_a_hash_that_a_manifest_made_up_fills_no_cache(folder: Path) -> None:
    """A trusted read takes the manifest's word; it must not become the cache of another dataset."""
    with h5py.File(hdf5_file(folder), "a") as file:
        file["episode_0/rewards"][0] = 1000.0  # pyright: ignore[reportIndexIssue]
    with pytest.raises(RefusedError, match="does not match its sha256, or changed"):
        read_dataset("bad-v0", trusted=True)
    assert not list((datasets_root() / FOLDER / "cache").iterdir())
    with pytest.raises(RefusedError, match="does not match its sha256"):
        read_dataset("bad-v0")


def test_a_file_that_changes_while_it_is_read(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    convert = sandbox.convert

    def changing(request) -> None:
        with h5py.File(request.data, "a") as file:
            file["episode_0/rewards"][0] = 1000.0  # pyright: ignore[reportIndexIssue]
        convert(request)

    monkeypatch.setattr(sandbox, "convert", changing)
    with pytest.raises(RefusedError, match="changed while it was read"):
        read_dataset("bad-v0")
    assert not list((datasets_root() / FOLDER / "cache").iterdir())


@pytest.mark.parametrize("number", [errno.EROFS, errno.EACCES])
def test_a_root_that_cannot_be_written_to(
    folder: Path, monkeypatch: pytest.MonkeyPatch, number: int
) -> None:
    expected = _content(read_dataset("bad-v0"))
    shutil.rmtree(datasets_root() / FOLDER)
    make = tempfile.mkdtemp

    def refuse(*, prefix: str, dir: Path | None = None) -> str:
        if dir is not None:
            raise OSError(number, os.strerror(number))
        return make(prefix=prefix)

    monkeypatch.setattr(tempfile, "mkdtemp", refuse)
    dataset = read_dataset("bad-v0")
    assert _content(dataset) == expected
    assert not dataset.cache.exists()


@pytest.mark.parametrize(
    ("code", "reason"),
    [
        ("raise ValueError", r"crashed .* \(an error\)"),
        ("", r"crashed .* \(an error\)"),
        (
            "import resource; resource.setrlimit(resource.RLIMIT_CPU, (1, 2))\nwhile True: pass",
            "takes more than",
        ),
    ],
)
def test_a_reader_that_ends(
    folder: Path, monkeypatch: pytest.MonkeyPatch, code: str, reason: str
) -> None:
    monkeypatch.setattr(sandbox, "START", f"import sys; sys.stdin.read()\n{code}")
    with pytest.raises(RefusedError, match=reason):
        read_dataset("bad-v0")
    assert not list((datasets_root() / FOLDER / "cache").iterdir())


def _without_a_manifest(folder: Path) -> None:
    manifest_file(folder).unlink()


def _with_infos(folder: Path) -> None:
    _without_a_manifest(folder)
    with h5py.File(hdf5_file(folder), "a") as file:
        file.create_group("episode_1/infos").create_dataset("deep/x", data=np.arange(3))


def _without_an_id(folder: Path) -> None:
    _without_a_manifest(folder)
    metadata = json.loads(metadata_file(folder).read_bytes())
    del metadata["dataset_id"], metadata["eval_env_spec"]
    metadata_file(folder).write_text(json.dumps(metadata, indent=2))


def _with_both_flags(folder: Path) -> None:
    _without_a_manifest(folder)
    with h5py.File(hdf5_file(folder), "a") as file:
        for name in ("terminations", "truncations"):
            file[f"episode_1/{name}"][-1] = True  # pyright: ignore[reportIndexIssue]


def _without_a_seed(folder: Path) -> None:
    _without_a_manifest(folder)
    with h5py.File(hdf5_file(folder), "a") as file:
        del file["episode_1"].attrs["seed"]


@pytest.mark.parametrize(
    "change",
    [_without_a_manifest, _with_infos, _without_an_id, _with_both_flags, _without_a_seed],
)
def test_what_minari_may_write_is_read(folder: Path, change: Callable[[Path], None]) -> None:
    expected = read_dataset("bad-v0").transitions.observations.copy()
    change(folder)
    dataset = read_dataset("bad-v0")
    assert np.array_equal(dataset.transitions.observations, expected)
    assert (dataset.seeds[1] is None) == (change is _without_a_seed)

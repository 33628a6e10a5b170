"""Ids: none leads out of the root."""

import shutil
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lunar_offline.datasets.dataset import read_dataset
from lunar_offline.datasets.ids import check_free, dataset_path, existing_folder, parse_id
from lunar_offline.errors import RefusedError, UsageError
from lunar_offline.storage.datasets_root import FOLDER, datasets_root

NONE = "is not a dataset id"
HOSTILE = {
    "": NONE,
    ".": NONE,
    "..": NONE,
    "/": NONE,
    "../x-v0": NONE,
    "../../x-v0": NONE,
    "x/../../y-v0": NONE,
    "xx/../y-v0": NONE,
    "./x-v0": NONE,
    "xx/./y-v0": NONE,
    "/etc/x-v0": NONE,
    "//xx/y-v0": NONE,
    "xx//y-v0": NONE,
    "xx/y-v0/": NONE,
    "xx/y-v0/..": NONE,
    "~/x-v0": NONE,
    "~root-v0": NONE,
    "$HOME-v0": NONE,
    ".lunar-offline/cache-v0": NONE,
    ".x-v0": NONE,
    "x.y-v0": NONE,
    "x-v0.": NONE,
    " x-v0": NONE,
    "x-v0 ": NONE,
    "x y-v0": NONE,
    "x-v0\n": NONE,
    "x\n-v0": NONE,
    "x-v0\r": NONE,
    "x\t-v0": NONE,
    "x\0-v0": NONE,
    "x-v0\0": NONE,
    "\x1b[2J-v0": NONE,
    "x*-v0": NONE,
    "x?-v0": NONE,
    "[x]-v0": NONE,
    "x;y-v0": NONE,
    "x|y-v0": NONE,
    "x%2e%2e-v0": NONE,
    "x\\y-v0": NONE,
    "..\\x-v0": NONE,
    "C:x-v0": NONE,
    "C:\\x-v0": NONE,
    "\\\\host\\x-v0": NONE,
    "hf://xx/y-v0": NONE,
    "x:y-v0": NONE,
    "lunаr-v0": NONE,  # noqa: RUF001  a Cyrillic letter
    "lunar\u2215sac-v0": NONE,  # what looks like a slash
    "lunar\uff0fsac-v0": NONE,
    "\uff0e\uff0e/x-v0": NONE,
    "lunar\u200b-v0": NONE,  # nothing to be seen
    "\u202elunar-v0": NONE,  # from right to left
    "x\u0301-v0": NONE,
    "x-v\u0663": NONE,  # an Arabic digit
    "x-v1\u0663": NONE,
    "x-v\u00b2": NONE,
    "x-v\uff11": NONE,
    "x\udcff-v0": NONE,  # half a character, as from bytes of the command line
    "x/y-v0": NONE,  # Minari's namespaces have two characters or more
    "-v0": "has no version",
    "v0": "has no version",
    "x": "has no version",
    "x-v": "has no version",
    "x-V0": "has no version",
    "x-v00": "has no version",
    "x-v01": "has no version",
    "x-v-1": "has no version",
    "x-v1e3": "has no version",
    "x-v1_0": "has no version",
    "x-v" + "9" * 10: "has no version",
    "x" * 300 + "-v0": "is too long",
    "x" * 100_000 + "-v0": "is too long",
    "xx/" * 5000 + "y-v0": "is too long",
    "../" * 5000: "is too long",
    "-v0" * 50_000: "is too long",
}


@pytest.mark.parametrize("dataset_id", HOSTILE, ids=lambda i: ascii(i)[:40])
def test_a_hostile_id(dataset_id: str) -> None:
    for use in (parse_id, dataset_path, existing_folder, check_free, read_dataset):
        with pytest.raises(UsageError, match=HOSTILE[dataset_id]) as refusal:
            use(dataset_id)
        assert str(refusal.value).isprintable()
        assert len(str(refusal.value)) < 2500
    assert not datasets_root().exists()


PARTS = ["..", ".", "/", "\\", "-v0", "-v", "0", "x", "xx", "\0", "\n", "~", FOLDER, "-", "_", "٣"]


@given(st.one_of(st.text(), st.lists(st.sampled_from(PARTS)).map("".join)))
def test_an_id_lies_strictly_inside_the_root(dataset_id: str) -> None:
    try:
        name, version = parse_id(dataset_id)
    except UsageError:
        return
    assert f"{name}-v{version}" == dataset_id
    root, path = datasets_root().resolve(), dataset_path(dataset_id)
    assert root in path.resolve().parents
    assert FOLDER not in path.relative_to(datasets_root()).parts
    assert dataset_id.isascii()
    assert all(part.isprintable() and "." not in part for part in dataset_id.split("/"))


@pytest.mark.parametrize("version", [0, 1, 10, 999_999_999])
def test_a_good_id(version: int) -> None:
    for name in ("lunar-sac", "box2d/lunar_sac", "D4RL/a-v1/b", "con", "x" * 180):
        assert parse_id(f"{name}-v{version}") == (name, version)


def test_links_are_not_followed(good_datasets: dict[str, Path], tmp_path: Path) -> None:
    shutil.copytree(good_datasets["manifest"], tmp_path / "elsewhere" / "bad-v0")
    datasets_root().mkdir()
    (datasets_root() / "ns").symlink_to(tmp_path / "elsewhere")
    with pytest.raises(RefusedError, match="a symbolic link redirects its data"):
        read_dataset("ns/bad-v0")
    (datasets_root() / "gone-v0").symlink_to("nothing")
    with pytest.raises(RefusedError, match="not a folder"):
        read_dataset("gone-v0")
    with pytest.raises(RefusedError, match="exists and never changes"):
        check_free("gone-v0")


def test_a_root_may_be_a_link(
    good_datasets: dict[str, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    shutil.copytree(good_datasets["manifest"], datasets_root() / "bad-v0")
    (tmp_path / "link").symlink_to(datasets_root())
    monkeypatch.setenv("MINARI_DATASETS_PATH", str(tmp_path / "link"))
    assert len(read_dataset("bad-v0").seeds) == 3

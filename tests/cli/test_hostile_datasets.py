"""The commands on hostile datasets beside a good one: one line, exit code 3, nothing run."""

import json
import os
import re
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest
from hostile_datasets import CASES, MARKER, manifest_file, metadata_file

from lunar_offline.storage.datasets_root import datasets_root
from lunar_offline.storage.plain_text import printable

Run = Callable[..., tuple[int, str, str]]

SHOWN = [
    "discrete: hdf5 half",
    "discrete: hdf5 a pipe",
    "discrete: field in passwd",
    "discrete: a name of control bytes",
    "discrete: metadata deep",
    "discrete: env id of control bytes",
    "discrete: spaces missing and os system",
    "discrete: dataset a link",
    "manifest: hdf5 flipped bit",
    "manifest: another name of control bytes",
    "arrow: part half",
]
# with good metadata, and data that nobody has looked at yet
WITHOUT_MANIFEST = {
    "discrete: hdf5 half",
    "discrete: hdf5 a pipe",
    "discrete: field in passwd",
    "discrete: a name of control bytes",
    "arrow: part half",
}
NO_ID = "is not a dataset id"
COMMANDS = {
    "show": ["dataset", "show", "bad-v0"],
    "show --json": ["dataset", "show", "bad-v0", "--json"],
    "pack": ["dataset", "pack", "bad-v0"],
    "verify": ["dataset", "verify", "bad-v0"],
    "train": ["train", "--dataset", "bad-v0", "--rho", "1", "--out", "run"],
}


@pytest.fixture
def put(good_datasets: dict[str, Path]) -> Callable[[str], Path]:
    def put(name: str) -> Path:
        """Put a case's dataset under bad-v0, and the good one beside it."""
        case, folder = CASES[name], datasets_root() / "bad-v0"
        for kind, target in (("manifest", "good-v0"), (case.kind, "bad-v0")):
            shutil.copytree(good_datasets[kind], datasets_root() / target)
        _write_id(datasets_root() / "good-v0")
        if case.kind != "manifest":
            manifest_file(folder).unlink(missing_ok=True)
        case.damage(folder)
        return folder

    return put


def _write_id(folder: Path) -> None:
    manifest_file(folder).unlink()
    path = metadata_file(folder)
    path.write_text(json.dumps(json.loads(path.read_bytes()) | {"dataset_id": folder.name}))


@pytest.mark.parametrize("command", COMMANDS)
@pytest.mark.parametrize("name", SHOWN)
def test_a_hostile_dataset_gets_one_line(
    run: Run, put: Callable[[str], Path], name: str, command: str
) -> None:
    put(name)
    code, out, err = run(*COMMANDS[command])
    assert (code, out) == (3, "")
    assert err.startswith("lunar-offline: ")
    assert err.count("\n") == 1
    assert err[:-1].isprintable()
    reason = CASES[name].reason
    if command == "verify" and name in WITHOUT_MANIFEST:
        reason = r"has no manifest\.json to verify it by"  # looked for before the data are read
    assert re.search(reason, err)
    assert not Path(MARKER).exists()
    assert not Path("run").exists()


def test_the_listing_shows_the_good_and_why_not_the_others(
    run: Run, good_datasets: dict[str, Path]
) -> None:
    in_metadata = [name for name in CASES if name.startswith("discrete: ") and "metadata" in name]
    in_metadata += ["discrete: env id of control bytes", "discrete: entry point os system"]
    hostile = {}
    for index, name in enumerate(in_metadata):
        folder = datasets_root() / f"bad-v{index}"
        shutil.copytree(good_datasets["discrete"], folder)
        _write_id(folder)
        try:
            CASES[name].damage(folder)
        except PermissionError:
            shutil.rmtree(folder)  # only root makes devices
            continue
        if os.path.lexists(metadata_file(folder)):
            hostile[folder.name] = CASES[name].reason
    names = {"no id": NO_ID, "\x1b[2J\n-v0": NO_ID, "C:\\x-v0": NO_ID, "x": "has no version"}
    for name in names:
        shutil.copytree(good_datasets["discrete"], datasets_root() / name)
    (datasets_root() / "link-v0").symlink_to("good-v0")
    (datasets_root() / "itself-v0").symlink_to("itself-v0")
    os.mkfifo(datasets_root() / "pipe-v0")
    shutil.copytree(good_datasets["discrete"], datasets_root() / "good-v0")
    _write_id(datasets_root() / "good-v0")

    code, out, err = run("dataset", "list")
    assert (code, err) == (0, "")
    lines = out.splitlines()
    assert all(line.isprintable() for line in lines)
    assert lines[0].split() == ["dataset", "env", "actions", "episodes", "steps"]
    rows = {line.split()[0].removesuffix(":"): line for line in lines[1:]}
    assert re.search(r"^good-v0 +LunarLander-v3 +discrete +3 +\d+$", rows["good-v0"])
    assert re.search("refused: .*a symbolic link redirects its data", rows["link-v0"])
    for name, reason in hostile.items():
        assert re.search(f"refused: .*{reason}", rows[name])
    for name, reason in names.items():
        shown = next(line for line in lines if line.startswith(f"{printable(name)}: "))
        assert re.search(f"refused: .*{reason}", shown)
    assert len(lines) == 1 + len(hostile) + len(names) + 2
    assert not Path(MARKER).exists()
    code, out, _ = run("dataset", "list", "--json")
    assert code == 0
    assert len(json.loads(out)) == len(lines) - 1


def test_folders_of_any_depth_are_listed(run: Run, good_datasets: dict[str, Path]) -> None:
    shutil.copytree(good_datasets["manifest"], datasets_root() / "bad-v0")
    deep = datasets_root()
    try:
        for _ in range(1400):
            deep = deep / "d"
            deep.mkdir()
        code, out, err = run("dataset", "list")
        assert (code, err) == (0, "")
        assert out.splitlines()[1].startswith("bad-v0 ")
        assert out.count("\n") == 2
    finally:
        subprocess.run(["rm", "-rf", datasets_root() / "d"], check=True)


@pytest.mark.parametrize("kind", ["key", "value"])
def test_what_a_file_says_of_itself_is_printable(
    run: Run, good_datasets: dict[str, Path], kind: str
) -> None:
    folder = datasets_root() / "good-v0"
    shutil.copytree(good_datasets["discrete"], folder)
    _write_id(folder)
    evil = "\x1b[2J\x07\n\udcff"
    said = {evil: 1, "sha256": "0"} if kind == "key" else {"x": evil}
    values = json.loads(metadata_file(folder).read_bytes())
    values |= {"lunar_offline": said, "description": evil, "algorithm_name": evil}
    metadata_file(folder).write_text(json.dumps(values))
    code, out, err = run("dataset", "show", "good-v0")
    assert (code, err) == (0, "")
    assert all(line.isprintable() for line in out.splitlines())
    # nothing that a file says replaces what was measured
    assert re.search(r"^sha256 +[0-9a-f]{64}$", out, re.MULTILINE)


def test_numbers_that_no_json_has_become_words(run: Run, good_datasets: dict[str, Path]) -> None:
    folder = datasets_root() / "good-v0"
    shutil.copytree(good_datasets["discrete"], folder)
    _write_id(folder)
    text = metadata_file(folder).read_text().replace('"lunar_offline":', '"ours":')
    numbers = '{"a": 1e400, "b": [-1e999], "c": NaN, "d": 1.5}'
    metadata_file(folder).write_text(f'{{"lunar_offline": {{"recipe": {numbers}}}, {text[1:]}')
    code, out, _ = run("dataset", "show", "good-v0", "--json")
    assert code == 0
    shown = json.loads(out, parse_constant=pytest.fail)
    assert shown["recipe"] == {"a": "Infinity", "b": ["-Infinity"], "c": "NaN", "d": 1.5}


@pytest.mark.parametrize(
    "value", [None, [], 5, "x", {"machine": []}, {"machine": {"platform": {}}}]
)
def test_provenance_of_any_kind_lets_verify_report_what_differs(
    run: Run, good_datasets: dict[str, Path], value: object
) -> None:
    from lunar_offline.datasets.verify import _other_platform

    assert isinstance(_other_platform({"provenance": value}), str)

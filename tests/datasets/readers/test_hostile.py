"""Each hostile dataset is refused for its own reason: nothing runs, hangs, grows or is written."""

import os
import resource
import shutil
from pathlib import Path

import pytest
from hostile_datasets import CASES, MARKER, Case, manifest_file

from lunar_offline.datasets.dataset import read_dataset
from lunar_offline.errors import RefusedError
from lunar_offline.storage.datasets_root import FOLDER, datasets_root

MOST_SECONDS = 2.0
MOST_KIB = 200 << 10


def _cpu_seconds() -> float:
    used = [resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
    return sum(u.ru_utime + u.ru_stime for u in used)


def _everything(folder: Path) -> list[tuple[str, int, int]]:
    """Name, size and time of all that is below a folder, and of itself."""
    found = [folder]
    for at in found:
        if at.is_dir() and not at.is_symlink():
            found += [Path(entry) for entry in os.scandir(at)]
    return sorted((str(p), p.lstat().st_size, p.lstat().st_mtime_ns) for p in found)


@pytest.mark.parametrize("name", CASES)
def test_a_hostile_dataset_is_refused(name: str, good_datasets: dict[str, Path]) -> None:
    case: Case = CASES[name]
    folder = datasets_root() / "bad-v0"
    shutil.copytree(good_datasets[case.kind], folder)
    if case.kind != "manifest":
        manifest_file(folder).unlink(missing_ok=True)
    try:
        case.damage(folder)
    except PermissionError:
        pytest.skip("only root makes devices")
    before, seconds = _everything(datasets_root()), _cpu_seconds()
    kib = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    with pytest.raises(RefusedError, match=case.reason) as refusal:
        read_dataset("bad-v0")
    message = str(refusal.value)
    assert message.isprintable()
    assert str(folder) in message
    assert _cpu_seconds() - seconds < MOST_SECONDS
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - kib < MOST_KIB
    assert not Path(MARKER).exists()
    # an empty folder for caches may have been made beside the datasets
    assert not [path for path in (datasets_root() / FOLDER).rglob("*") if path.name != "cache"]
    shutil.rmtree(datasets_root() / FOLDER, ignore_errors=True)
    of_datasets = [row for row in _everything(datasets_root()) if row[0] != str(datasets_root())]
    assert of_datasets == [row for row in before if row[0] != str(datasets_root())]

"""A transfer that is killed leaves all of a dataset or nothing."""

import subprocess
import sys

from loopback import Hub

from lunar_offline.datasets.hub.fetch import PREFIX, staging
from lunar_offline.datasets.hub.share import share_dataset
from lunar_offline.storage.datasets_root import datasets_root


def test_what_a_crash_left_goes_away_and_what_is_in_use_stays() -> None:
    home = datasets_root() / ".lunar-offline"
    (home / f"{PREFIX}old" / "data").mkdir(parents=True)
    (home / "x-v0").mkdir()
    with staging() as first, staging() as second:
        assert {path.name for path in home.iterdir()} == {first.name, second.name, "x-v0"}
    assert [path.name for path in home.iterdir()] == ["x-v0"]


KILLS = """
import os, signal, sys
from pathlib import Path
from lunar_offline.datasets import publish
from lunar_offline.datasets.manifest import check_files, read_manifest
import lunar_offline.datasets.hub.hugging_face
from lunar_offline.errors import LunarOfflineError
from lunar_offline.datasets.hub import fetch

dataset_id, root = sys.argv[1], Path(os.environ["MINARI_DATASETS_PATH"])

class Killer:
    def __init__(self, after):
        self.left = after

    def phase(self, *_):
        self.advance()

    def advance(self, *_, **__):
        self.left -= 1
        if self.left < 0:
            os.kill(os.getpid(), signal.SIGKILL)

def kill_around(module, name, after):
    original = getattr(module, name)

    def killer(*arguments, **keywords):
        if after:
            original(*arguments, **keywords)
        os.kill(os.getpid(), signal.SIGKILL)

    setattr(module, name, killer)

POINTS = [*range(5), (fetch, "read_dataset", 0), (publish, "sync_tree", 0),
    (publish, "check_free", 1), (Path, "rename", 0), (Path, "rename", 1)]
for point in POINTS:
    child = os.fork()
    if child == 0:
        if not isinstance(point, int):
            kill_around(*point)
        observer = Killer(point) if isinstance(point, int) else None
        fetch.fetch_dataset(dataset_id, remote="hf://me", observer=observer)
        os._exit(1)
    assert os.WTERMSIG(os.waitpid(child, 0)[1]) == signal.SIGKILL, point
    there = (root / dataset_id).exists()
    assert there == (point == POINTS[-1]), point
    assert len(list((root / ".lunar-offline").iterdir())) <= 1, point
for data in (True, False):
    check_files(root / dataset_id, read_manifest(root / dataset_id), data=data)
assert fetch.fetch_dataset(dataset_id, remote="hf://me").existed
os.rename(root / dataset_id, root / "killed")
assert not fetch.fetch_dataset(dataset_id, remote="hf://me").existed
assert not list((root / ".lunar-offline").iterdir())
print(len(POINTS), "killed")
"""


def test_ten_kills_leave_all_or_nothing(hub: Hub, dataset: str, elsewhere) -> None:
    share_dataset(dataset, remote="hf://me")
    elsewhere()
    done = subprocess.run(
        [sys.executable, "-c", KILLS, dataset], capture_output=True, text=True, timeout=120
    )
    assert done.stdout == "10 killed\n", done.stderr

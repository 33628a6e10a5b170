"""A dataset to share, the remote places that tests look into, and what is compared."""

import hashlib
import os
import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import dataset_info

ID = "box2d/lunar-random-v0"
DATA = "data/main_data.hdf5"
FILES = {"README.md", "manifest.json", DATA, "data/metadata.json"}
INFO = replace(dataset_info.INFO, card="# box2d/lunar-random-v0\n\nNot box2d/lunar-random-v01.\n")


class Place:
    """A remote whose files a test may see and change."""

    def __init__(
        self, url: str, put: Callable[[str, bytes], None], delete: Callable[[str], None]
    ) -> None:
        self.url, self.put, self.delete = url, put, delete


def digests(folder: Path) -> dict[str, str]:
    return {
        path.relative_to(folder).as_posix(): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in folder.rglob("*")
        if path.is_file()
    }


def minari(*arguments: str, place: Place) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [Path(sys.executable).with_name("minari"), *arguments],
        # no Xet store here: large files go over git LFS
        env=os.environ | {"MINARI_REMOTE": place.url, "HF_HUB_DISABLE_XET": "1"},
        input="y\n",
        capture_output=True,
        text=True,
    )


def files_at(root: Path) -> list[str]:
    return [path.as_posix() for path in root.rglob("*") if path.is_file()]


def flip(content: bytes) -> bytes:
    middle = len(content) // 2
    return content[:middle] + bytes([content[middle] ^ 1]) + content[middle + 1 :]

"""What is done to a good dataset's folder, and the table of it."""

import json
import os
import socket
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import h5py
import numpy as np

MARKER = "ran"  # what a hostile entry point would make in the working directory
PASSWD = "/etc/passwd"
DEEP = "[" * 100_000
FINITE = "episode_1: a value is not finite"
FLAGS = "end flags must be set at the last step only"
RANGE = "episode_1: an action is out of range"

Damage = Callable[[Path], object]


class Case(NamedTuple):
    """A damage to a dataset of some kind, and why it must be refused (a regular expression)."""

    kind: str
    damage: Damage
    reason: str


CASES: dict[str, Case] = {}


def add(kind: str, **named: tuple[Damage, str]) -> None:
    for name, (damage, reason) in named.items():
        key = f"{kind}: {name.replace('_', ' ')}"
        assert key not in CASES
        CASES[key] = Case(kind, damage, reason)


def hdf5_file(folder: Path) -> Path:
    return folder / "data" / "main_data.hdf5"


def metadata_file(folder: Path) -> Path:
    return folder / "data" / "metadata.json"


def manifest_file(folder: Path) -> Path:
    return folder / "manifest.json"


def part_file(folder: Path) -> Path:
    return next((folder / "data" / "1").glob("*.arrow"))


def part_metadata(folder: Path) -> Path:
    return folder / "data" / "1" / "metadata.json"


Where = Callable[[Path], Path]


def in_bytes(where: Where, change: Callable[[bytes], bytes]) -> Damage:
    def damage(folder: Path) -> None:
        where(folder).write_bytes(change(where(folder).read_bytes()))

    return damage


def whole(where: Where, content: bytes) -> Damage:
    return in_bytes(where, lambda _: content)


def flip(content: bytes, at: int) -> bytes:
    return content[:at] + bytes([content[at] ^ 1]) + content[at + 1 :]


def instead(where: Where, make: Callable[[Path], object]) -> Damage:
    """Put something in a file's place."""

    def damage(folder: Path) -> None:
        path = where(folder)
        path.unlink()
        make(path)

    return damage


def _device(path: Path) -> None:
    os.mknod(path, 0o20666, os.makedev(1, 5))  # /dev/zero; root alone may


def _socket(path: Path) -> None:
    with socket.socket(socket.AF_UNIX) as listener:
        at = Path.cwd()
        os.chdir(path.parent)  # the name of a socket may not be long
        listener.bind(path.name)
        os.chdir(at)


def sparse(size: int) -> Callable[[Path], None]:
    def make(path: Path) -> None:
        path.touch()
        os.truncate(path, size)

    return make


def link_to(to: str) -> Callable[[Path], None]:
    return lambda path: path.symlink_to(to)


def moved(where: Where) -> Damage:
    """Leave a symbolic link to the real thing."""

    def damage(folder: Path) -> None:
        path, aside = where(folder), folder.parent / "aside"
        path.rename(aside)
        path.symlink_to(aside)

    return damage


def deep_folders(folder: Path) -> None:
    deep = folder / "data" / "/".join("d" * 100)
    deep.mkdir(parents=True)
    (deep / "file").touch()


def special_files(
    where: Where, huge: str = "at most [0-9,]+ are allowed"
) -> dict[str, tuple[Damage, str]]:
    return {
        "missing": (lambda folder: where(folder).unlink(), "No such file"),
        "a_folder": (instead(where, Path.mkdir), "not a regular file"),
        "a_pipe": (instead(where, os.mkfifo), "not a regular file"),
        "a_socket": (instead(where, _socket), "not a regular file"),
        "a_device": (instead(where, _device), "not a regular file"),
        "a_link_to_a_device": (instead(where, link_to("/dev/zero")), "a symbolic link"),
        "a_link_to_itself": (instead(where, link_to(".")), "a symbolic link"),
        "a_link_to_nothing": (instead(where, link_to("nothing")), "a symbolic link"),
        "a_link_to_the_real_one": (moved(where), "a symbolic link"),
        "sparse": (instead(where, sparse(1 << 40)), huge),
    }


def in_hdf5(change: Callable[[Any], Any]) -> Damage:
    def damage(folder: Path) -> None:
        with h5py.File(hdf5_file(folder), "a") as file:
            change(file)

    return damage


def in_episode(change: Callable[[Any], Any]) -> Damage:
    return in_hdf5(lambda file: change(file["episode_1"]))


def put(name: str, make: Callable[[Any], Any]) -> Damage:
    """Put what `make` returns in the place of a member of episode 1."""

    def change(group: Any) -> None:
        made = make(group)
        del group[name]
        group[name] = made

    return in_episode(change)


def in_values(name: str, change: Callable[[np.ndarray], Any]) -> Damage:
    return put(name, lambda group: _changed(change, group[name][()]))


def _changed(change: Callable[[np.ndarray], Any], values: np.ndarray) -> Any:
    changed = change(values)
    return values if changed is None else changed


def set_value(name: str, at: Any, value: Any) -> Damage:
    return in_values(name, lambda values: values.__setitem__(at, value))


def in_metadata(**values: Any) -> Damage:
    def change(content: bytes) -> bytes:
        return json.dumps(json.loads(content) | values).encode()

    return in_bytes(metadata_file, change)


def in_text(old: bytes, new: bytes) -> Damage:
    def change(content: bytes) -> bytes:
        assert content.count(old) == 1
        return content.replace(old, new)

    return in_bytes(metadata_file, change)

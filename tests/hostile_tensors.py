"""What any file of tensors can be made into, and what its refusal must say."""

import io
import os
import pickle
import random
import struct
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch
from hostile_files import Draft
from safetensors.torch import save

Case = tuple[str, Callable[[Path], None], str]
"""Its name, what is done to a file, and what its refusal must say."""


def edit(change: Callable[[Draft], object]) -> Callable[[Path], None]:
    """Change a file's parts and seal it again: only the parser stands between it and us."""

    def apply(path: Path) -> None:
        draft = Draft(path.read_bytes())
        change(draft)
        path.write_bytes(draft.sealed())

    return apply


def rewrite(change: Callable[[str], str]) -> Callable[[Path], None]:
    """Change the header's text and seal it again."""

    def apply(path: Path) -> None:
        path.write_bytes(Draft(path.read_bytes()).sealed(change))

    return apply


def replace(content: bytes | Callable[[bytes], bytes]) -> Callable[[Path], None]:
    """Put other bytes in the file's place."""

    def apply(path: Path) -> None:
        path.write_bytes(content if isinstance(content, bytes) else content(path.read_bytes()))

    return apply


def instead(make: Callable[[Path], object]) -> Callable[[Path], None]:
    """Put something else in the file's place."""

    def apply(path: Path) -> None:
        whole = path.with_name("elsewhere")
        path.rename(whole)
        make(path)

    return apply


def saved(**tensors: torch.Tensor) -> bytes:
    content = io.BytesIO()
    torch.save(tensors, content)
    return content.getvalue()


def counter(**values: Any) -> Callable[[Path], None]:
    return edit(lambda draft: draft.about.update(values))


def first(draft: Draft) -> dict[str, Any]:
    return draft.entries["net.0.weight" if "net.0.weight" in draft.entries else "policy.net.flat"]


def swap_offsets(draft: Draft) -> None:
    a, b = (e for e in list(draft.entries.values())[:2])
    a["data_offsets"], b["data_offsets"] = b["data_offsets"], a["data_offsets"]


DEEP = "[" * 100_000 + "]" * 100_000
SHORT = "not a safetensors file, or truncated in its header"

# what any file of tensors can be made into
ANY: list[Case] = [
    ("zero length", replace(b""), SHORT),
    ("garbage", replace(b"\xff" * 500), SHORT),
    ("pickle", replace(pickle.dumps({"a": np.zeros(50)})), SHORT),
    ("torch.save", replace(saved(a=torch.zeros(50))), SHORT),
    ("8 exabytes of header", replace(lambda c: struct.pack("<Q", 2**63 - 1) + c[8:]), SHORT),
    ("cut in its header", replace(lambda c: c[:60]), SHORT),
    ("cut in its tensors", replace(lambda c: c[:-1]), "bytes of tensors"),
    ("longer than announced", replace(lambda c: c + b"\0"), "bytes of tensors"),
    ("a flipped weight", replace(lambda c: c[:-7] + bytes([c[-7] ^ 4]) + c[-6:]), "the sha256 in"),
    ("plain safetensors", replace(save({"a": torch.zeros(2)})), "not a lunar-offline-"),
    ("a list as header", rewrite(lambda h: "[]"), "not a lunar-offline-"),
    ("deep header", rewrite(lambda h: DEEP), "nested too deep"),
    ("not JSON", rewrite(lambda h: h[1:]), "Extra data"),
    ("NaN in its header", rewrite(lambda h: h.replace("[", "[NaN,", 1)), "NaN is not valid JSON"),
    ("the same key twice", rewrite(lambda h: h[:-1] + ',"x":1,"x":2}'), "duplicate key 'x'"),
    ("another format", edit(lambda d: d.about.update(format="x-1")), "but 'x-1'"),
    ("no digest", edit(lambda d: d.about.pop("sha256")), "its header has no sha256"),
    ("1e11 elements", edit(lambda d: first(d).update(shape=[10**11])), "not the expected one"),
    ("overflow", edit(lambda d: first(d).update(shape=[2**40, 2**40])), "not the expected one"),
    ("negative shape", edit(lambda d: first(d).update(shape=[-1, 8])), "entry for"),
    ("true as a shape", edit(lambda d: first(d).update(shape=[True, 8])), "entry for"),
    ("another dtype", edit(lambda d: first(d).update(dtype="F64")), "is 'F64', not float32"),
    ("no dtype", edit(lambda d: first(d).update(dtype="\x1b[2J")), "not float32"),
    ("an extra field", edit(lambda d: first(d).update(strides=[1])), "entry for"),
    (
        "overlap",
        edit(lambda d: first(d).update(data_offsets=[0, 4])),
        "invalid shape, data type, or offset for tensor",
    ),
    ("swapped", edit(swap_offsets), "invalid shape, data type, or offset for tensor"),
    (
        "an extra tensor",
        edit(lambda d: d.append("e", "F32", [1], b"\0" * 4)),
        "'e' is unexpected",
    ),
    ("control bytes", edit(lambda d: d.append("\x1b[2J\n", "F32", [0], b"")), "is unexpected"),
    ("a fifo", instead(os.mkfifo), "not a regular file"),
    ("a folder", instead(Path.mkdir), "not a regular file"),
    ("a link", instead(lambda p: p.symlink_to("elsewhere")), "a symbolic link, which is not"),
    ("/dev/zero", instead(lambda p: p.symlink_to("/dev/zero")), "a symbolic link, which is not"),
]


def names(cases: list[Case]) -> list[str]:
    return [name for name, _, _ in cases]


def mutated(content: bytes, choose: random.Random) -> bytes:
    """Flip a bit, set a byte, zero a stretch, or drop or double one."""
    changed, at = bytearray(content), choose.randrange(len(content))
    if choose.random() < 0.3:  # the header is a small part of the file, and the delicate one
        at = choose.randrange(min(800, len(content)))
    length = choose.randrange(1, 9)
    kind = choose.randrange(5)
    if kind == 0:
        changed[at] ^= 1 << choose.randrange(8)
    elif kind == 1:
        changed[at] = choose.randrange(256)
    elif kind == 2:
        changed[at : at + length] = bytes(len(changed[at : at + length]))
    elif kind == 3:
        del changed[at : at + length]
    else:
        changed[at:at] = changed[at : at + length]
    return bytes(changed)

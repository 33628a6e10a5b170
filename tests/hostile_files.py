"""Safetensors files that no writer of ours makes."""

import hashlib
import json
import struct
from collections.abc import Callable
from typing import Any

from lunar_offline.storage.tensor_file import BLANK, METADATA_KEY


class Draft:
    """A file of `write_tensors` taken apart, to be changed and sealed again.

    Attributes:
        entries: the header's entries by tensor name.
        about: what the header says of the tensors.
        data: the tensors' bytes.
    """

    def __init__(self, content: bytes) -> None:
        (length,) = struct.unpack("<Q", content[:8])
        self.entries: dict[str, Any] = json.loads(content[8 : 8 + length])
        self.about: dict[str, Any] = json.loads(self.entries.pop("__metadata__")[METADATA_KEY])
        self.data = bytearray(content[8 + length :])

    def header(self, digest: str = BLANK) -> str:
        """Return the header as text, with a digest."""
        if "sha256" in self.about:
            self.about["sha256"] = digest
        metadata = {METADATA_KEY: json.dumps(self.about)}
        return json.dumps({"__metadata__": metadata} | self.entries)

    def sealed(self, rewrite: Callable[[str], str] = str) -> bytes:
        """Return the file, with a digest that fits whatever was changed."""
        blank = _assemble(rewrite(self.header()), bytes(self.data))
        return blank.replace(BLANK.encode(), hashlib.sha256(blank).hexdigest().encode())

    def append(self, name: str, dtype: str, shape: list[int], data: bytes) -> None:
        """Add a tensor at the end."""
        offsets = [len(self.data), len(self.data) + len(data)]
        self.entries[name] = {"dtype": dtype, "shape": shape, "data_offsets": offsets}
        self.data += data

    def overwrite(self, name: str, data: bytes) -> None:
        """Put bytes at a tensor's start."""
        start = self.entries[name]["data_offsets"][0]
        self.data[start : start + len(data)] = data


def _assemble(header: str, data: bytes) -> bytes:
    text = header.encode()
    text += b" " * (-len(text) % 8)
    return struct.pack("<Q", len(text)) + text + data

"""manifest.json, and what it holds against."""

import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

from hostile_datasets.damage import (
    DEEP,
    PASSWD,
    Damage,
    add,
    deep_folders,
    flip,
    hdf5_file,
    in_bytes,
    in_text,
    manifest_file,
    metadata_file,
    moved,
    set_value,
    special_files,
    whole,
)


def _listed(change: Callable[[dict[str, Any]], object]) -> Damage:
    """Change the manifest's list of files."""

    def damage(folder: Path) -> None:
        manifest = json.loads(manifest_file(folder).read_bytes())
        change(manifest["files"])
        manifest_file(folder).write_text(json.dumps(manifest))

    return damage


SHA = {"sha256": "0" * 64, "bytes": 1}
UNLIKE = r"does not match its sha256 in manifest\.json"
LEADS = "is a path outside the dataset"
MANIFEST = r"manifest\.json: "

add(
    "manifest",
    # one that is not there is no mistake: other datasets have none
    **{f"manifest_{n}": c for n, c in special_files(manifest_file).items() if n != "missing"},
    manifest_empty=(whole(manifest_file, b""), MANIFEST + "Expecting value"),
    manifest_no_json=(whole(manifest_file, b"sha256sum"), MANIFEST + "Expecting value"),
    manifest_a_list=(whole(manifest_file, b"[]"), MANIFEST + "not a manifest"),
    manifest_deep=(whole(manifest_file, DEEP.encode()), MANIFEST + "JSON nested too deep"),
    manifest_without_files=(whole(manifest_file, b'{"licence": "MIT"}'), "not a manifest"),
    manifest_files_a_list=(whole(manifest_file, b'{"files": []}'), "not a manifest"),
    manifest_files_empty=(whole(manifest_file, b'{"files": {}}'), "is not in its manifest"),
    manifest_key_twice=(
        whole(manifest_file, b'{"files": {}, "files": {}}'),
        "duplicate key 'files'",
    ),
    manifest_of_2_mb=(
        in_bytes(manifest_file, lambda b: b + b" " * (2 << 20)),
        "at most 1,048,576 are allowed",
    ),
    manifest_without_a_hash=(
        _listed(lambda files: files["data/main_data.hdf5"].pop("sha256")),
        r"has no sha256 for data/main_data\.hdf5",
    ),
    manifest_hash_a_number=(
        _listed(lambda files: files["data/main_data.hdf5"].update(sha256=5)),
        r"has no sha256 for data/main_data\.hdf5",
    ),
    manifest_hash_a_word=(
        _listed(lambda files: files["data/main_data.hdf5"].update(sha256="\x1b[2J")),
        r"has no sha256 for data/main_data\.hdf5",
    ),
    manifest_entry_null=(_listed(lambda files: files.update(x=None)), "has no sha256 for x"),
    manifest_other_hash=(_listed(lambda files: files.update({"data/main_data.hdf5": SHA})), UNLIKE),
    manifest_other_hash_of_metadata=(
        _listed(lambda files: files.update({"data/metadata.json": SHA})),
        r"data/metadata\.json " + UNLIKE,
    ),
    manifest_of_less=(
        _listed(lambda files: files.pop("data/metadata.json")),
        r"data/metadata\.json is not in its manifest",
    ),
    manifest_of_more=(_listed(lambda files: files.update({"data/x": SHA})), "data/x is missing"),
    manifest_lists_itself=(
        _listed(lambda files: files.update({"manifest.json": SHA})),
        "lists itself, but cannot contain its own sha256",
    ),
    manifest_name_up=(_listed(lambda f: f.update({"data/../../x": SHA})), LEADS),
    manifest_name_absolute=(_listed(lambda f: f.update({PASSWD: SHA})), f"'{PASSWD}' {LEADS}"),
    manifest_name_empty=(_listed(lambda files: files.update({"": SHA})), LEADS),
    manifest_name_of_control_bytes=(
        _listed(lambda files: files.update({"data/\x1b[2J\n": SHA})),
        r"data/\?\[2J\? is missing",
    ),
    hdf5_flipped_bit=(in_bytes(hdf5_file, lambda b: flip(b, len(b) // 2)), r"hdf5 " + UNLIKE),
    hdf5_flipped_last_bit=(in_bytes(hdf5_file, lambda b: flip(b, len(b) - 1)), r"hdf5 " + UNLIKE),
    hdf5_one_byte_less=(in_bytes(hdf5_file, lambda b: b[:-1]), r"hdf5 " + UNLIKE),
    hdf5_one_byte_more=(in_bytes(hdf5_file, lambda b: b + b"\0"), r"hdf5 " + UNLIKE),
    hdf5_one_reward=(set_value("rewards", 1, 0.5), r"hdf5 " + UNLIKE),
    hdf5_missing=(lambda f: hdf5_file(f).unlink(), r"data/main_data\.hdf5 is missing"),
    hdf5_a_link=(moved(hdf5_file), "a symbolic link"),
    metadata_a_word=(in_text(b"Test data", b"Best data"), r"metadata\.json " + UNLIKE),
    metadata_a_space=(in_bytes(metadata_file, lambda b: b + b" "), r"metadata\.json " + UNLIKE),
    another_file=(lambda f: (f / "data" / "x").touch(), "data/x is not in its manifest"),
    another_pipe=(lambda f: os.mkfifo(f / "data" / "x"), "data/x is not in its manifest"),
    another_link=(lambda f: (f / "data" / "x").symlink_to("/"), "data/x is not in its manifest"),
    another_name_of_control_bytes=(
        lambda f: (f / "data" / "\x1b[2J\n").touch(),
        r"data/\?\[2J\? is not in its manifest",
    ),
    another_name_of_no_utf8=(
        lambda f: Path(os.fsdecode(os.fsencode(f / "data") + b"/\xff")).touch(),
        r"data/\? is not in its manifest",
    ),
    deep_folders=(deep_folders, "holds folders more than 8 deep"),
)

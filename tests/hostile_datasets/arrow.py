"""The Arrow layout."""

import json
import os
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
from pyarrow import ipc

from hostile_datasets.damage import (
    FINITE,
    FLAGS,
    RANGE,
    Damage,
    add,
    deep_folders,
    in_bytes,
    in_metadata,
    instead,
    moved,
    part_file,
    part_metadata,
    special_files,
    whole,
)


def _table(change: Callable[[pa.Table], pa.Table], **options: Any) -> Damage:
    def damage(folder: Path) -> None:
        with ipc.open_file(part_file(folder).read_bytes()) as reader:
            table = reader.read_all()
        table = change(table)
        with ipc.new_file(part_file(folder), table.schema, **options) as writer:
            writer.write_table(table)

    return damage


def _column(name: str, change: Callable[[pa.Array], Any]) -> Damage:
    def changed(table: pa.Table) -> pa.Table:
        index = table.schema.get_field_index(name)
        return table.set_column(index, name, change(table.column(name).combine_chunks()))

    return _table(changed)


def _observations(width: int, change: Callable[[np.ndarray], Any]) -> Damage:
    def changed(column: pa.Array) -> pa.Array:
        values = change(column.flatten().to_numpy(zero_copy_only=False).reshape(-1, 8))
        return pa.FixedSizeListArray.from_arrays(pa.array(values.ravel()), width)

    return _column("observations", changed)


def _first_null(array: pa.Array) -> pa.Array:
    return pa.array([None, *array.to_pylist()[1:]], array.type)


def _null_inside(column: pa.Array) -> pa.Array:
    return pa.FixedSizeListArray.from_arrays(_first_null(column.flatten()), 8)


def _unpacking(folder: Path) -> None:
    """Some 100 kB that unpack to 1.3 GB."""
    zeros = pa.array(np.zeros(1 << 23))
    table = pa.table({f"x{n}": zeros for n in range(20)})
    options = ipc.IpcWriteOptions(compression="zstd")
    with ipc.new_file(part_file(folder), table.schema, options=options) as writer:
        writer.write_table(table)


def _seed(value: Any, key: str = "seed") -> Damage:
    return in_bytes(
        part_metadata, lambda content: json.dumps(json.loads(content) | {key: value}).encode()
    )


def _nan(values: np.ndarray) -> np.ndarray:
    values = values.copy()
    values[3, 2] = np.nan
    return values


add(
    "arrow",
    **{
        f"part_{n}": c
        for n, c in special_files(part_file, "a sparse file").items()
        if n != "missing"
    },
    part_missing=(lambda f: part_file(f).unlink(), "episode_1: has 0 Arrow files, not one"),
    part_empty=(whole(part_file, b""), "episode_1: File is too small: 0"),
    part_half=(in_bytes(part_file, lambda b: b[: len(b) // 2]), "episode_1: .*Arrow file"),
    part_less_one_byte=(in_bytes(part_file, lambda b: b[:-1]), "episode_1: .*Arrow file"),
    part_text=(whole(part_file, b"episode\n" * 999), "episode_1: .*Arrow file"),
    part_of_zeros_inside=(
        in_bytes(part_file, lambda b: b[:64] + bytes(len(b) - 128) + b[-64:]),
        "episode_1: Verification of .* failed",
    ),
    two_parts=(
        lambda f: shutil.copy(part_file(f), f / "data" / "1" / "x.arrow"),
        "has 2 Arrow files",
    ),
    episode_missing=(lambda f: shutil.rmtree(f / "data" / "1"), "holds 2 episodes, metadata"),
    episode_misnamed=(
        lambda f: (f / "data" / "1").rename(f / "data" / "7"),
        "episode_1: .*No such",
    ),
    another_episode=(lambda f: shutil.copytree(f / "data" / "1", f / "data" / "3"), "holds 4 ep"),
    episodes_swapped=(
        lambda f: [
            (f / "data" / old).rename(f / "data" / new)
            for old, new in (("0", "x"), ("1", "0"), ("x", "1"))
        ],
        r"episode_0: metadata\.json: its id is not 0",
    ),
    episode_a_link=(moved(lambda f: f / "data" / "1"), "a symbolic link"),
    episode_a_file=(
        lambda f: (shutil.rmtree(f / "data" / "1"), (f / "data" / "1").touch()),
        "episode_1: .*Not a directory",
    ),
    deep_folders=(deep_folders, "holds folders more than 8 deep"),
    column_missing=(
        _table(lambda t: t.drop_columns(["rewards"])),
        "rewards is missing or duplicated",
    ),
    column_twice=(
        _table(lambda t: t.append_column("rewards", t.column("rewards"))),
        "rewards is missing or duplicated",
    ),
    no_row=(_table(lambda t: t.slice(0, 0)), "episode_1: has no steps"),
    one_row=(_table(lambda t: t.slice(0, 1)), "episode_1: has no steps"),
    a_value_missing=(_column("rewards", _first_null), "rewards has missing values"),
    a_vector_missing=(_column("observations", _first_null), "observations has missing values"),
    a_number_of_a_vector_missing=(_column("observations", _null_inside), "has missing values"),
    vectors_of_7=(_observations(7, lambda v: v[:, :7]), "observations has shape"),
    vectors_of_no_length=(
        _column(
            "observations",
            lambda c: pa.array([[]] * len(c), pa.list_(pa.float32(), 0)),
        ),
        "observations has shape",
    ),
    vectors_of_any_length=(
        _column("observations", lambda c: c.cast(pa.list_(pa.float32()))),
        "observations is of type list",
    ),
    an_observation_nan=(_observations(8, _nan), FINITE),
    half_precision=(_observations(8, lambda v: v.astype("f2")), "is of type float16"),
    a_dictionary=(
        _column("actions", lambda c: c.dictionary_encode()),
        "actions is of type dictionary",
    ),
    texts=(_column("actions", lambda c: c.cast(pa.string())), "actions is of type string"),
    bytes_=(_column("rewards", lambda c: pa.array([b"x"] * len(c))), "rewards is of type binary"),
    dates=(_column("actions", lambda c: c.cast(pa.timestamp("s"))), "actions is of type timestamp"),
    decimals=(
        _column("actions", lambda c: c.cast(pa.decimal128(38))),
        "actions is of type decimal",
    ),
    structs=(
        _column("actions", lambda c: pa.StructArray.from_arrays([c], ["x"])),
        "actions is of type",
    ),
    nothing=(_column("actions", lambda c: pa.nulls(len(c))), "actions has missing values"),
    an_action_4=(_column("actions", lambda c: pa.array([4] * len(c))), RANGE),
    no_end=(_column("terminations", lambda c: pa.array([False] * len(c))), FLAGS),
    a_bomb=(_unpacking, "malloc of size|memory"),
    seed_missing_file=(lambda f: part_metadata(f).unlink(), "episode_1: .*No such file"),
    seed_a_text=(_seed("1"), "its seed is not a non-negative integer"),
    seed_a_float=(_seed(1.0), "its seed is not a non-negative integer"),
    seed_true=(_seed(True), "its seed is not a non-negative integer"),
    seed_negative=(_seed(-1), "its seed is not a non-negative integer"),
    id_of_another=(_seed(0, "id"), "its id is not 1"),
    id_missing=(_seed(None, "id"), "its id is not 1"),
    metadata_a_list=(whole(part_metadata, b"[]"), "its id is not 1"),
    metadata_deep=(whole(part_metadata, b"[" * 60_000), "JSON nested too deep"),
    metadata_key_twice=(whole(part_metadata, b'{"id": 1, "id": 1}'), "duplicate key 'id'"),
    metadata_of_1_mb=(
        in_bytes(part_metadata, lambda b: b + b" " * (1 << 20)),
        "at most 65,536 are allowed",
    ),
    metadata_a_pipe=(instead(part_metadata, os.mkfifo), "not a regular file"),
    total_episodes_low=(in_metadata(total_episodes=2), "holds 3 episodes, metadata.json states 2"),
    total_steps_far_too_high=(in_metadata(total_steps=10**9), "and 1,000,000,000 steps"),
    data_format_of_the_other=(in_metadata(data_format="hdf5"), "No such file"),
)

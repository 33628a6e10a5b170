"""metadata.json."""

import json
from typing import Any

from hostile_datasets.damage import (
    DEEP,
    MARKER,
    Damage,
    add,
    in_bytes,
    in_metadata,
    in_text,
    instead,
    metadata_file,
    sparse,
    special_files,
    whole,
)


def _less_meta(*keys: str) -> Damage:
    def change(content: bytes) -> bytes:
        return json.dumps({k: v for k, v in json.loads(content).items() if k not in keys}).encode()

    return in_bytes(metadata_file, change)


def _nested(key: str, **values: Any) -> Damage:
    """Change the JSON text in a key of the metadata."""

    def change(content: bytes) -> bytes:
        metadata = json.loads(content)
        metadata[key] = json.dumps(json.loads(metadata[key]) | values)
        return json.dumps(metadata).encode()

    return in_bytes(metadata_file, change)


def _spaced(key: str, *names: str) -> Damage:
    def change(content: bytes) -> bytes:
        metadata = json.loads(content)
        told = json.loads(metadata[key])
        metadata[key] = json.dumps({k: v for k, v in told.items() if k not in names})
        return json.dumps(metadata).encode()

    return in_bytes(metadata_file, change)


def _many_keys() -> bytes:
    """400,000 keys, of which the last two are the same."""
    keys = [f'"{n:x}":1' for n in range(400_000)]
    return ("{" + ",".join([*keys, keys[-1]]) + "}").encode()


JSON = r"metadata\.json: "
COUNTS = {
    "zero": 0,
    "negative": -3,
    "1e12": 10**12,
    "a_float": 3.0,
    "a_text": "3",
    "true": True,
    "null": None,
    "a_list": [3],
    "nan": float("nan"),
    "infinite": float("inf"),
    "control_bytes": "\x1b[2J\n\x07",
}
RUN = {"command": f"touch {MARKER}"}
EVIL = {"entry_point": "os:system", "kwargs": RUN}
WRAPPER = {"name": "x", "entry_point": "os:system", "kwargs": RUN}
SPACE = {key: f"the {key}_space is not that of" for key in ("observation", "action")}

add("discrete", **{f"metadata_{n}": c for n, c in special_files(metadata_file).items()})
add(
    "discrete",
    metadata_empty=(whole(metadata_file, b""), JSON + "Expecting value"),
    metadata_half=(
        in_bytes(metadata_file, lambda b: b[: len(b) // 2]),
        JSON + "Unterminated|Expect",
    ),
    metadata_twice=(in_bytes(metadata_file, lambda b: b + b), JSON + "Extra data"),
    metadata_a_list=(whole(metadata_file, b"[]"), JSON + "not a JSON object"),
    metadata_a_number=(whole(metadata_file, b"3"), JSON + "not a JSON object"),
    metadata_null=(whole(metadata_file, b"null"), JSON + "not a JSON object"),
    metadata_without_anything=(whole(metadata_file, b"{}"), "env_spec is missing"),
    metadata_deep=(whole(metadata_file, DEEP.encode()), JSON + "JSON nested too deep"),
    metadata_deep_inside=(in_metadata(env_spec=DEEP), "env_spec: JSON nested too deep"),
    metadata_of_5_mb=(in_metadata(description="x" * 5_000_000), "at most 4,194,304 are allowed"),
    metadata_of_500_mb=(
        instead(metadata_file, sparse(500_000_000)),
        "500,000,000 bytes; at most",
    ),
    a_key_twice=(
        in_text(b'"data_format"', b'"total_steps": 1, "data_format"'),
        "duplicate key 'total_steps'",
    ),
    a_key_of_many_twice=(
        lambda f: metadata_file(f).write_bytes(_many_keys()),
        "duplicate key '61a7f'",
    ),
    a_key_twice_inside=(
        in_metadata(env_spec='{"id": "LunarLander-v3", "id": "x"}'),
        "duplicate key 'id'",
    ),
    no_utf8=(in_text(b"Test data", b"Test \xff data"), JSON + ".*invalid start byte"),
    half_a_character=(in_text(b"Test data", b"Test \xed\xa0\x80"), JSON + ".*invalid continuation"),
    utf16=(
        in_bytes(metadata_file, lambda b: b.decode().encode("utf-16")),
        JSON + ".*utf-8.* decode",
    ),
    a_byte_order_mark=(
        in_bytes(metadata_file, lambda b: b"\xef\xbb\xbf" + b),
        JSON + "Unexpected UTF-8 BOM",
    ),
    a_nul=(in_text(b"Test data", b"Test\x00data"), JSON + "Invalid control character"),
    nuls_behind=(in_bytes(metadata_file, lambda b: b + bytes(9)), JSON + "Extra data"),
    a_number_of_5000_digits=(
        in_text(b'"total_steps": ', b'"total_steps": ' + b"9" * 5000),
        "a number has 5,0",
    ),
    **{
        f"{key}_{name}": (in_metadata(**{key: value}), rf"{key} is .*, not a count")
        for key in ("total_episodes", "total_steps")
        for name, value in COUNTS.items()
    },
    total_episodes_missing=(_less_meta("total_episodes"), "total_episodes is None, not a count"),
    total_episodes_low=(in_metadata(total_episodes=2), "holds 3 episodes, metadata.json states 2"),
    total_episodes_high=(in_metadata(total_episodes=4), "holds 3 episodes, metadata.json states 4"),
    total_episodes_far_too_high=(
        in_metadata(total_episodes=10**9),
        "cannot hold the 1,000,000,000 ep",
    ),
    total_steps_missing=(_less_meta("total_steps"), "total_steps is None, not a count"),
    total_steps_1=(in_metadata(total_steps=1), "more than the stated steps of all episodes"),
    total_steps_low=(in_metadata(total_steps=150), "holds more than 150 steps"),
    total_steps_high=(in_metadata(total_steps=5000), r"holds \d+ steps, not 5000"),
    total_steps_far_too_high=(in_metadata(total_steps=10**9), "and 1,000,000,000 steps"),
    id_of_another_dataset=(
        in_metadata(dataset_id="other-v0"),
        "its dataset_id is 'other-v0', not bad-v0",
    ),
    id_a_number=(in_metadata(dataset_id=7), "its dataset_id is '7', not bad-v0"),
    id_of_control_bytes=(
        in_metadata(dataset_id="\x1b[2J\nx"),
        r"its dataset_id is '\\x1b\[2J\\nx', not bad-v0",
    ),
    data_format_unknown=(
        in_metadata(data_format="pickle"),
        "data_format is 'pickle'; hdf5 and arrow",
    ),
    data_format_a_list=(
        in_metadata(data_format=["hdf5"]),
        "data_format is .*; hdf5 and arrow are supported",
    ),
    data_format_of_the_other=(
        in_metadata(data_format="arrow"),
        "holds 1 episodes, metadata.json states 3",
    ),
    env_spec_missing=(_less_meta("env_spec"), "env_spec is missing"),
    env_spec_null=(in_metadata(env_spec=None), "env_spec is missing"),
    env_spec_no_json=(in_metadata(env_spec="{"), "env_spec: Expecting property name"),
    env_spec_a_list=(in_metadata(env_spec="[]"), "env_spec is not the text of a JSON object"),
    env_spec_an_object=(
        in_metadata(env_spec={"id": "LunarLander-v3"}),
        "env_spec is not the text of",
    ),
    env_spec_empty=(in_metadata(env_spec="{}"), "env 'None' is not reg"),
    env_of_another_id=(
        _nested("env_spec", id="CartPole-v1"),
        "a different entry_point than CartPole-v1",
    ),
    env_of_an_older_id=(
        _nested("env_spec", id="LunarLander-v2"),
        "env 'LunarLander-v2' is not reg",
    ),
    env_in_a_module=(
        _nested("env_spec", id="os:LunarLander-v3"),
        "env 'os:LunarLander-v3' is not reg",
    ),
    env_id_of_control_bytes=(
        _nested("env_spec", id="\x1b]0;x\x07"),
        r"env '\\x1b\]0;x\\x07' is not reg",
    ),
    env_id_a_list=(
        _nested("env_spec", id=["LunarLander-v3"]),
        "env .*LunarLander-v3.* is not reg",
    ),
    entry_point_os_system=(_nested("env_spec", **EVIL), "env kwarg 'command' is not one of"),
    entry_point_alone=(
        _nested("env_spec", entry_point="os:system"),
        "a different entry_point than",
    ),
    entry_point_check_output=(
        _nested(
            "env_spec", entry_point="subprocess:check_output", kwargs={"args": ["touch", MARKER]}
        ),
        "env kwarg 'args' is not one of",
    ),
    entry_point_null=(_nested("env_spec", entry_point=None), "a different entry_point than"),
    entry_point_of_vectors=(
        _nested("env_spec", vector_entry_point="os:system"),
        "a different vector_entry_point than",
    ),
    a_wrapper=(
        _nested("env_spec", additional_wrappers=[WRAPPER]),
        "a different additional_wrappers than",
    ),
    another_time_limit=(
        _nested("env_spec", max_episode_steps=10**9),
        "a different max_episode_steps",
    ),
    kwargs_a_list=(_nested("env_spec", kwargs=["continuous"]), "has kwargs"),
    kwargs_a_text=(_nested("env_spec", kwargs="continuous"), "has kwargs"),
    kwargs_nested=(_nested("env_spec", kwargs={"continuous": {"x": 1}}), "'continuous' is not"),
    kwargs_of_physics=(_nested("env_spec", kwargs={"gravity": 3.0}), "gravity is a number between"),
    kwargs_unknown=(_nested("env_spec", kwargs={"env": "x"}), "'env' is not one of"),
    render_mode_unknown=(_nested("env_spec", kwargs={"render_mode": "os:system"}), "has kwargs"),
    render_mode_a_list=(_nested("env_spec", kwargs={"render_mode": ["human"]}), "has kwargs"),
    other_actions=(_nested("env_spec", kwargs={"continuous": True}), SPACE["action"]),
    eval_env_of_os_system=(_nested("eval_env_spec", **EVIL), "env kwarg 'command' is not one of"),
    eval_env_of_another_id=(_nested("eval_env_spec", id="x-v0"), "is 'x-v0', not LunarLander-v3"),
    eval_env_a_list=(in_metadata(eval_env_spec=["x"]), "eval_env_spec is not the text of"),
    # Minari makes the env to learn its spaces where they are left out
    observation_space_missing=(_less_meta("observation_space"), "observation_space is missing"),
    spaces_missing_and_os_system=(
        lambda f: (
            _less_meta("observation_space", "action_space")(f),
            _nested("env_spec", **EVIL)(f),
        ),
        "env kwarg 'command' is not one of",
    ),
    action_space_missing=(_less_meta("action_space"), "action_space is missing"),
    space_of_another_env=(
        _nested("observation_space", shape=[4], low=[-1.0] * 4, high=[1.0] * 4),
        SPACE["observation"],
    ),
    space_of_float64=(_nested("observation_space", dtype="float64"), SPACE["observation"]),
    space_lower=(_nested("observation_space", low=[-3.0] * 8), SPACE["observation"]),
    space_higher=(_nested("observation_space", high=[1e300] * 8), SPACE["observation"]),
    space_nan=(_nested("observation_space", low=[float("nan")] * 8), SPACE["observation"]),
    space_of_texts=(_nested("observation_space", low=["-2.5"] * 8), SPACE["observation"]),
    space_unbounded=(_spaced("observation_space", "low", "high"), SPACE["observation"]),
    space_with_more=(_nested("observation_space", seed=1), SPACE["observation"]),
    space_a_dict=(
        in_metadata(observation_space='{"type": "Dict", "subspaces": {}}'),
        SPACE["observation"],
    ),
    space_unknown=(in_metadata(observation_space='{"type": "os:system"}'), SPACE["observation"]),
    space_no_json=(in_metadata(observation_space="Box(8)"), "observation_space: Expecting value"),
    five_actions=(_nested("action_space", n=5), SPACE["action"]),
    actions_from_1=(_nested("action_space", start=1), SPACE["action"]),
    actions_a_box=(_nested("action_space", type="Box", shape=[2]), SPACE["action"]),
    a_huge_number_of_actions=(_nested("action_space", n=10**18), SPACE["action"]),
)

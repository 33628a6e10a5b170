import json
from pathlib import Path

import pytest

from lunar_offline.envs.named_envs import named_settings, remember
from lunar_offline.envs.registry import find_env, known_env, named_env
from lunar_offline.errors import RefusedError, UsageError
from lunar_offline.storage.datasets_root import FOLDER, datasets_root

NAMED = "MountainCar-v0"


def test_an_env_is_named_once(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    with pytest.raises(
        RefusedError, match=f"not registered; name it once to use it: --env {NAMED}"
    ):
        known_env(NAMED)
    found = find_env(NAMED)
    assert known_env(NAMED) == found == named_env(NAMED)
    with pytest.raises(RefusedError, match="has the env kwargs"):
        known_env(NAMED, settings={"goal_velocity": 0.01})
    find_env(NAMED, settings={"goal_velocity": 0.01})
    assert known_env(NAMED, settings={"goal_velocity": 0.01}).settings == {"goal_velocity": 0.01}
    assert named_settings(NAMED) == [{}, {"goal_velocity": 0.01}]
    monkeypatch.setenv("MINARI_DATASETS_PATH", str(tmp_path / "elsewhere"))
    with pytest.raises(RefusedError, match="not registered"):
        known_env(NAMED)


def test_another_process_knows_it() -> None:
    path = datasets_root() / FOLDER / "envs.json"
    path.parent.mkdir(parents=True)
    path.write_text(json.dumps({"envs": {NAMED: [{}]}}), encoding="utf-8")
    assert known_env(NAMED).env_id == NAMED
    for envs in (None, {"x": 1}, {"x": [1]}, {"x": [{"a": []}]}):
        path.write_text(json.dumps({"envs": envs}), encoding="utf-8")
        with pytest.raises(RefusedError, match=r"envs\.json: damaged"):
            named_settings(NAMED)


def test_a_folder_that_cannot_be_written_is_no_error() -> None:
    datasets_root().parent.mkdir(parents=True, exist_ok=True)
    datasets_root().write_text("a file in its place", encoding="utf-8")
    remember(NAMED, {"a": 1})
    assert named_settings(NAMED) == [{"a": 1}]


def test_only_an_env_that_gymnasium_knows() -> None:
    for env_id, reason in (("os:system", "imports a module"), ("Nothing-v0", "--env Nothing-v0")):
        with pytest.raises(UsageError, match=reason):
            find_env(env_id)
    with pytest.raises(UsageError, match="unexpected keyword argument 'wings'"):
        find_env(NAMED, settings={"wings": 2})
    assert named_settings(NAMED) == []

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from lunar_offline.envs import registry
from lunar_offline.envs.env_info import EnvInfo
from lunar_offline.envs.lander import CONTINUOUS, DISCRETE
from lunar_offline.envs.registry import find_env, known_env, register_env, registered_envs
from lunar_offline.errors import LunarOfflineWarning, RefusedError, UsageError


@pytest.mark.parametrize("env", [DISCRETE, CONTINUOUS], ids=["discrete", "continuous"])
def test_our_constants_are_the_real_env(env: EnvInfo) -> None:
    made = env.make()
    assert made.observation_space == env.observation_space
    assert made.action_space == env.action_space
    made.close()


def test_an_env_is_found_by_its_id_and_action_space() -> None:
    assert find_env() is find_env(discrete=True) is DISCRETE
    assert find_env("LunarLander-v3", discrete=False) is CONTINUOUS
    assert find_env(settings={"continuous": True}) is CONTINUOUS
    assert find_env(settings={"continuous": False}) is DISCRETE
    assert find_env("CartPole-v1") == registry.named_env("CartPole-v1")
    with pytest.raises(UsageError, match="the actions of CartPole-v1 are discrete, not continuous"):
        find_env("CartPole-v1", discrete=False)


def test_a_file_names_a_registered_env_with_settings_that_it_allows() -> None:
    windy = known_env("LunarLander-v3", discrete=False, settings={"enable_wind": True})
    assert windy == CONTINUOUS.with_settings({"enable_wind": True})
    with pytest.raises(RefusedError, match="gravity"):
        known_env("LunarLander-v3", settings={"gravity": 9.81})


def test_an_installed_package_offers_an_env(tmp_path: Path, monkeypatch: Any) -> None:
    info = tmp_path / "cars-1.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: cars\nVersion: 1.0\n")
    points = ("car = cars:CAR", "broken = cars:missing", "wrong = cars:np")
    (info / "entry_points.txt").write_text("[lunar_offline.envs]\n" + "\n".join(points))
    (tmp_path / "cars.py").write_text(
        "import numpy as np\n"
        "from gymnasium import spaces\n"
        "from lunar_offline import EnvInfo\n"
        "box = spaces.Box(np.float32([-1.2, -0.07]), np.float32([0.6, 0.07]))\n"
        "CAR = EnvInfo('MountainCar-v0', {}, box, spaces.Discrete(3))\n"
    )
    monkeypatch.syspath_prepend(str(tmp_path))
    registry._installed_envs.cache_clear()
    with pytest.warns(LunarOfflineWarning) as warned:
        assert known_env("MountainCar-v0").action_size == 3
    reasons = sorted(str(warning.message) for warning in warned)
    assert "env 'broken' of cars is skipped: AttributeError" in reasons[0]
    assert reasons[1] == "env 'wrong' of cars is skipped: it is a module, not an EnvInfo"
    registry._installed_envs.cache_clear()


def test_a_registered_env_is_known(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(registry, "_registered", [])
    mine = replace(registry.named_env("MountainCar-v0"), observation_names=("x", "v"))
    register_env(mine)
    register_env(mine)
    assert known_env("MountainCar-v0") is mine
    assert registered_envs()[0] is DISCRETE
    with pytest.raises(UsageError, match="registered twice"):
        register_env(replace(mine, solved_return=1.0))

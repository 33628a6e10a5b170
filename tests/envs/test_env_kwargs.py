import pytest

from lunar_offline.envs.env_kwargs import format_kwargs, parse_kwargs
from lunar_offline.envs.lander import CONTINUOUS, DISCRETE
from lunar_offline.errors import UsageError


def test_a_text_is_parsed_into_plain_values() -> None:
    text = "enable_wind=true, gravity=-8,wind_power=1e1,name=x"
    found = parse_kwargs(text)
    assert found == {"enable_wind": True, "gravity": -8, "wind_power": 10.0, "name": "x"}
    assert type(found["gravity"]) is int
    assert parse_kwargs(format_kwargs(found)) == found
    assert parse_kwargs("") == {}


@pytest.mark.parametrize("text", ["wind", "=1", "a b=1", "a=1,a=2"])
def test_a_damaged_text_is_refused(text: str) -> None:
    with pytest.raises(UsageError, match="--env-kwargs"):
        parse_kwargs(text)


@pytest.mark.parametrize(
    ("settings", "reason"),
    [
        ({"gravity": 0}, "between .* -12 and 0, not '0'"),
        ({"gravity": True}, "not 'True'"),
        ({"gravity": float("nan")}, "not 'nan'"),
        ({"enable_wind": 1}, "true or false, not '1'"),
        ({"enable_wind": [True]}, "true or false"),
        ({"wind_power": 20.5}, "between 0 and 20"),
        ({"continuous": True}, "'continuous' is not one of those of LunarLander-v3: gravity"),
        ({"max_episode_steps": 3}, "belongs to gym.make"),
    ],
)
def test_a_setting_that_the_lander_does_not_allow(settings: dict, reason: str) -> None:
    with pytest.raises(UsageError, match=reason):
        DISCRETE.with_settings(settings)


def test_settings_are_canonical() -> None:
    """Equal settings give equal records, however they are written."""
    assert DISCRETE.with_settings({"gravity": -10, "enable_wind": False}) is DISCRETE
    windy = DISCRETE.with_settings({"enable_wind": True, "gravity": -8})
    assert windy == DISCRETE.with_settings({"gravity": -8.0}).with_settings({"enable_wind": True})
    assert windy.all_kwargs == {"enable_wind": True, "gravity": -8.0}
    assert windy != DISCRETE
    assert windy.reference_scores is None
    assert windy.with_settings({"enable_wind": False, "gravity": -10.0}) == DISCRETE
    assert CONTINUOUS.with_settings({"continuous": True}) is CONTINUOUS
    made = windy.make()
    assert made.unwrapped.gravity == -8.0  # pyright: ignore[reportAttributeAccessIssue]
    assert made.unwrapped.enable_wind is True  # pyright: ignore[reportAttributeAccessIssue]
    made.close()

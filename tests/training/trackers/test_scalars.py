from lunar_offline.training.metrics import EpisodeRecord
from lunar_offline.training.trackers.scalars import evaluation_scalars, record_scalars


def test_the_numbers_of_a_record_are_scalars() -> None:
    record = EpisodeRecord(1_100, 340, 3, -81.25, 97, "crashed")
    assert record_scalars(record.to_dict()) == {
        "env_step": 340.0,
        "episode": 3.0,
        "episode_return": -81.25,
        "length": 97.0,
    }


def test_the_numbers_of_an_evaluation_are_scalars() -> None:
    summary = {
        "mean": 250.5,
        "returns": [1.0, 2.0],
        "solved": True,
        "outcomes": {"landed": 3},
        "last": {"mean": 240.0, "outcomes": {"landed": 2}},
    }
    assert evaluation_scalars(summary) == {
        "evaluation_mean": 250.5,
        "evaluation_outcomes_landed": 3.0,
        "evaluation_last_mean": 240.0,
        "evaluation_last_outcomes_landed": 2.0,
    }

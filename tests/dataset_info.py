"""What a small dataset of tests states of itself."""

from lunar_offline.datasets.publish import DatasetInfo
from lunar_offline.envs.env_info import ReferenceScores

INFO = DatasetInfo(
    algorithm_name="lunar_offline/random",
    description="Test data.",
    requirements=["gymnasium[box2d]"],
    reference_scores=ReferenceScores(random=-200.0, expert=260.0),
    recipe={"seed": 3},
    provenance={"commit": None},
    statistics={"episodes": 5},
    card="# Test data",
)

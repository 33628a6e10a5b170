"""Tests of learners run in both action spaces."""

import pytest
from plain_update import SPECS

from lunar_offline.agents.nn.action_spec import ActionSpec


@pytest.fixture(params=list(SPECS))
def spec(request: pytest.FixtureRequest) -> ActionSpec:
    return SPECS[request.param]

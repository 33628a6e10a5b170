"""The assignment of a dataset's episodes to policies."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from lunar_offline.collection.recipe import Recipe
from lunar_offline.envs.env_info import EnvInfo
from lunar_offline.envs.registry import known_env
from lunar_offline.errors import UsageError
from lunar_offline.policies.behavior import BehaviorPolicy, behavior_policy


@dataclass(frozen=True)
class Assignments:
    """The policies of a recipe, loaded and checked, and their episodes.

    Attributes:
        env: the env of all policies.
        by_policy: each policy with the indices of its episodes, in the order of the recipe.
    """

    env: EnvInfo
    by_policy: list[tuple[BehaviorPolicy, range]]

    @property
    def episodes(self) -> int:
        """Number of episodes of all policies."""
        return self.by_policy[-1][1].stop

    @property
    def algorithm(self) -> str:
        """The algorithms of the policies, sorted and separated by commas."""
        return ", ".join(sorted({policy.algorithm for policy, _ in self.by_policy}))

    def in_words(self) -> str:
        """Return a phrase that names the policies and their numbers of episodes."""
        return " and ".join(
            f"{len(indices)} of the {policy.name} policy ({policy.algorithm}, "
            f"{'actions sampled' if policy.samples else 'deterministic actions'})"
            for policy, indices in self.by_policy
        )

    def recipe(self, seed: int) -> dict[str, Any]:
        """Return the recipe that reproduces the data, as plain JSON values."""
        return {
            "env_id": self.env.env_id,
            "env_kwargs": self.env.all_kwargs,
            "seed": seed,
            "sources": [
                {
                    "policy": policy.name,
                    "policy_sha256": policy.sha256,
                    "episodes": len(indices),
                }
                for policy, indices in self.by_policy
            ],
        }


def resolve_policies(
    recipe: Recipe, *, given: Mapping[str, BehaviorPolicy] | None = None, trust: bool = False
) -> Assignments:
    """Load the policies of a recipe and assign its episodes to them.

    Args:
        recipe: the recipe.
        given: policies by name that are already loaded, such as Python functions.
        trust: see `behavior_policy`.

    Raises:
        UsageError: a policy does not exist, or the policies are for different envs.
        RefusedError: a file is not a complete policy, or has another sha256 than the recipe gives.
    """
    by_policy, start = [], 0
    named = None
    if recipe.env:
        named = known_env(recipe.env, discrete=recipe.discrete, settings=recipe.env_kwargs)
    for source in recipe.sources:
        policy = (given or {}).get(source.policy) or behavior_policy(
            source.policy, discrete=recipe.discrete, env=named, trust=trust
        )
        policy.check_sha256(source.policy_sha256)
        policy = policy.with_settings(recipe.env_kwargs)
        by_policy.append((policy, range(start, start + source.episodes)))
        start += source.episodes
    env = by_policy[0][0].env
    if any(policy.env != env for policy, _ in by_policy):
        raise UsageError("the policies of the recipe have different envs or action spaces")
    return Assignments(env, by_policy)

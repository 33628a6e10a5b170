"""The card of a dataset: a Markdown page with a description, statistics and commands."""

from collections.abc import Mapping
from typing import Any

from lunar_offline.datasets.episode_statistics import EpisodeStatistics
from lunar_offline.datasets.manifest import CITATION, LICENSE
from lunar_offline.envs import DEFAULT_ENV
from lunar_offline.envs.env_kwargs import format_kwargs


def make_again(dataset_id: str, recipe: Mapping[str, Any]) -> str:
    """Return the command that reproduces a dataset."""
    if "train" in recipe:  # FILE: the recipe's `train` in the manifest, as TOML
        return f"lunar-offline train --config FILE --record {dataset_id}"
    if len(recipe["sources"]) > 1:
        return f"lunar-offline collect --recipe {dataset_id}"
    source = recipe["sources"][0]
    name = source["policy"]
    if "<" in name or name.startswith("__main__:"):  # a function without a name to import
        return (
            f"# in Python: lunar_offline.collect({dataset_id!r}, policy={name.split(':')[-1]}, ...)"
        )
    return (
        f"lunar-offline collect --dataset {dataset_id} --policy {name}{_env(recipe)} \\\n"
        f"  --episodes {source['episodes']} --seed {recipe['seed']}"
    )


def _env(recipe: Mapping[str, Any]) -> str:
    """Return the options that name the env of a recipe, each after a space."""
    settings = dict(recipe["env_kwargs"])
    named = "" if recipe["env_id"] == DEFAULT_ENV else f" --env {recipe['env_id']}"
    space = " --continuous" if settings.pop("continuous", False) else ""
    return named + space + (f" --env-kwargs {format_kwargs(settings)}" if settings else "")


def card(
    dataset_id: str,
    description: str,
    recipe: Mapping[str, Any],
    statistics: EpisodeStatistics,
) -> str:
    """Return the card of a dataset: Markdown with the YAML header that Hugging Face reads."""
    rows = "\n".join(
        f"| {name} | {spread.mean:.1f} | {spread.sd:.1f} | {spread.min:.1f} | "
        f"{spread.median:.1f} | {spread.max:.1f} |"
        for name, spread in (("return", statistics.returns), ("length", statistics.lengths))
    )
    ends = ", ".join(f"{count} {name}" for name, count in statistics.outcomes.items())
    return f"""---
license: {LICENSE.lower()}
task_categories: [reinforcement-learning]
tags: [offline-rl, minari, gymnasium, {recipe["env_id"]}]
---

# {dataset_id}

{description}

| | mean | sd | min | median | max |
| --- | ---: | ---: | ---: | ---: | ---: |
{rows}

Episodes: {ends}.

```python
import minari

dataset = minari.load_dataset("{dataset_id}")
```

This command recorded the dataset, and reproduces it with the same bytes:

```sh
{make_again(dataset_id, recipe)}
```

`manifest.json` holds the sha256 of every file, the behavior policy's sha256, versions and
statistics. License: {LICENSE}. Cite: {CITATION}
"""

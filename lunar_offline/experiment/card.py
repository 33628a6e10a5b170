"""What a dataset says of itself to people and programs: statistics and a card."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from lunar_offline import envs
from lunar_offline.data.manifest import CITATION, LICENCE
from lunar_offline.experiment.evaluate import outcome
from lunar_offline.experiment.stats import interquartile_mean
from lunar_offline.transitions import Episode

BINS = 10


def statistics(episodes: Sequence[Episode]) -> dict[str, Any]:
    """Return counts and distributions of a dataset's episodes, as plain JSON values.

    `returns` are undiscounted, `lengths` in env steps; `actions` counts each discrete action, or
    each tenth of [-1, 1] of each continuous one.
    """
    outcomes = [outcome(episode) for episode in episodes]
    actions = np.concatenate([episode.actions for episode in episodes])
    if actions.ndim == 1:
        counts: Any = np.bincount(actions).tolist()
    else:
        counts = [np.histogram(a, BINS, (-1.0, 1.0))[0].tolist() for a in actions.T]
    return {
        "episodes": len(episodes),
        "steps": len(actions),
        "returns": _spread(np.array([episode.episode_return for episode in episodes])),
        "lengths": _spread(np.array([len(episode) for episode in episodes])),
        "outcomes": {name: outcomes.count(name) for name in envs.OUTCOMES},
        "actions": counts,
    }


def _spread(values: np.ndarray) -> dict[str, float]:
    quartiles = np.quantile(values, [0.0, 0.25, 0.5, 0.75, 1.0])
    names = ("min", "quartile_low", "median", "quartile_high", "max")
    spread = {name: float(value) for name, value in zip(names, quartiles, strict=True)}
    return spread | {
        "mean": float(values.mean()),
        "sd": float(values.std()),
        "iqm": interquartile_mean(values),
    }


def remake(dataset_id: str, recipe: Mapping[str, Any]) -> str:
    """Return the commands that make a dataset again."""
    if "train" in recipe:  # FILE: what the manifest's recipe says under `train`, as TOML
        return f"lunar-offline train --config FILE --record {dataset_id}"
    if len(recipe["sources"]) > 1:
        return f"lunar-offline collect --recipe {dataset_id}"
    source = recipe["sources"][0]
    space = " --continuous" if recipe["env_kwargs"].get("continuous") else ""
    return (
        f"lunar-offline collect --dataset {dataset_id} --policy {source['policy']}{space} \\\n"
        f"  --episodes {source['episodes']} --seed {recipe['seed']}"
    )


def card(
    dataset_id: str,
    description: str,
    recipe: Mapping[str, Any],
    measured: Mapping[str, Any],
) -> str:
    """Return a dataset's card: Markdown with the header that a hub reads."""
    returns, lengths, outcomes = measured["returns"], measured["lengths"], measured["outcomes"]
    rows = "\n".join(
        f"| {name} | {spread['mean']:.1f} | {spread['sd']:.1f} | {spread['min']:.1f} | "
        f"{spread['median']:.1f} | {spread['max']:.1f} |"
        for name, spread in (("return", returns), ("length", lengths))
    )
    ends = ", ".join(f"{count} {name}" for name, count in outcomes.items())
    return f"""---
license: {LICENCE.lower()}
task_categories: [reinforcement-learning]
tags: [offline-rl, minari, lunar-lander, gymnasium]
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

Made by, and with the same bytes made again by:

```sh
{remake(dataset_id, recipe)}
```

`manifest.json` holds the sha256 of every file, the behavior policy's sha256, versions and
statistics. Licence: {LICENCE}. Cite: {CITATION}
"""

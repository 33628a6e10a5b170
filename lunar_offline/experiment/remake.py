"""A recipe -> its dataset, whether policies fly it or a training run does."""

import shutil
from dataclasses import replace
from functools import partial

from lunar_offline.data.ids import FOLDER, datasets_root
from lunar_offline.data.journal import discard_leftover
from lunar_offline.experiment.collection import Collected, check_bytes, follow, standing
from lunar_offline.experiment.launch import resume, start
from lunar_offline.experiment.progress import Observer
from lunar_offline.experiment.recipe import Recipe
from lunar_offline.experiment.recording import recipe_of


def remake(
    recipe: Recipe,
    *,
    workers: int = 1,
    other_bytes: bool = False,
    observer: Observer | None = None,
) -> Collected:
    """Make the dataset that a recipe describes; the same call goes on where it was stopped.

    Args:
        recipe: of sources or of a training run.
        workers: processes that fly; a training run flies alone.
        other_bytes: publish even if the data have another sha256 than the recipe gives.
        observer: hears of the progress.

    Raises:
        UsageError, RefusedError: see `follow`, `start` and `resume`.
    """
    if not recipe.train:
        return follow(recipe, workers=workers, other_bytes=other_bytes, observer=observer)
    config = recipe.training()
    asked, out = recipe_of(config), datasets_root() / FOLDER / "runs" / recipe.dataset
    if found := standing(recipe, asked, other_bytes=other_bytes):
        discard_leftover(recipe.dataset)  # a crash may have come between the dataset and its end
        shutil.rmtree(out, ignore_errors=True)
        return found
    training = resume(out, observer) if out.is_dir() else start(config, out, observer)
    training.check_recorded = partial(check_bytes, recipe, other_bytes=other_bytes)
    training.train()
    shutil.rmtree(out, ignore_errors=True)
    made = standing(recipe, asked, other_bytes=other_bytes)
    assert made is not None
    return replace(made, was_there=False)

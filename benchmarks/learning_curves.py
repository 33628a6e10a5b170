"""Draw the validation means of the published runs over online episodes.

    python benchmarks/learning_curves.py              # writes docs/learning-curves.png

Each gray line is a seed; the blue line is the mean over seeds. The first point is the policy after
the offline updates. Dashed lines are means over the held-out episodes; see `headline.py`.
"""

import argparse
import io
from pathlib import Path

import numpy as np
from headline import KINDS, RESULTS, ROOT, read
from matplotlib.figure import Figure

from lunar_offline.evaluation.figures import BLUE, GRAY, ORANGE
from lunar_offline.storage.atomic_write import write_atomic


def draw(path: Path) -> None:
    """Write the figure as a PNG file."""
    figure = Figure(figsize=(9, 3.6), dpi=120, layout="constrained")
    controller = read(RESULTS / "controller.json")["mean"]
    panels = figure.subplots(1, 2, sharey=True)
    for axes, kind in zip(panels, KINDS, strict=True):
        runs = read(RESULTS / f"headline-{kind}.json")["runs"]
        bc = read(RESULTS / f"bc-{kind}.json")["runs"]
        x = [episode for episode, _ in runs[0]["validations"]]
        means = np.array([[mean for _, mean in run["validations"]] for run in runs])
        for number, seed in enumerate(means):
            axes.plot(x, seed, color=GRAY, lw=0.8, label=None if number else "one seed")
        axes.plot(x, means.mean(axis=0), color=BLUE, lw=2.2, label="mean of ten seeds")
        cloned = np.mean([run["last"]["mean"] for run in bc])
        axes.axhline(cloned, color=ORANGE, lw=1.2, ls="--", label="behavior cloning")
        if kind == "discrete":
            axes.axhline(controller, color="#3a7d44", lw=1.2, ls=":", label="controller")
        axes.set(title=f"{kind} actions", xlabel="online episodes")
        axes.spines[["top", "right"]].set_visible(False)
        axes.grid(axis="y", alpha=0.25)
        axes.legend(loc="lower right", frameon=False, fontsize=9)
    panels[0].set_ylabel("validation mean of the return")
    content = io.BytesIO()
    figure.savefig(content, format="png")
    write_atomic(path, content.getvalue())


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description="Draw the validation means of published runs.")
    parser.add_argument("--out", type=Path, default=ROOT / "docs" / "learning-curves.png")
    draw(parser.parse_args().out)

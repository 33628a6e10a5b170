"""Write what rliable says of some scores, for the tests: python benchmarks/rliable_reference.py."""

import json
import subprocess
from pathlib import Path

import numpy as np
import pairing

REFERENCE = Path(__file__).parents[1] / "tests" / "rliable.json"


def main() -> None:
    """Draw skewed scores of two methods, ask rliable, and keep both."""
    python = pairing.peer_python("rliable", ["rliable==1.2.0", "pandas<3"])
    rng = np.random.default_rng(0)
    scores = {
        "x": (270 - rng.exponential(12, (10, 3))).round(1).tolist(),
        "y": (262 - rng.exponential(9, (7, 3))).round(1).tolist(),
    }
    done = subprocess.run(
        [python, pairing.HERE / "workers" / "rliable_.py"],
        input=json.dumps(scores),
        stdout=subprocess.PIPE,
        text=True,
        check=True,
    )
    reference = {"scores": scores, "rliable 1.2.0": json.loads(done.stdout)}
    REFERENCE.write_text(json.dumps(reference, indent=1) + "\n")


main()

"""Kills collections and training runs again and again, and counts what came of them.

    python benchmarks/kills.py 500 500     # kills of collections and of training runs

Every dataset and run goes on until it is done, and is compared with one that nothing disturbed.
Counts are written after each: the same command goes on where it was stopped, while the code is the
same. The loops are those of the tests.
"""

import argparse
import json
import shutil
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from pairing import compact_json

ROOT = Path(__file__).parents[1]
RESULT = ROOT / "docs" / "results" / "kills.json"
sys.path.insert(0, str(ROOT / "tests"))

LOOPS = {"collect": "kill_collections", "train": "kill_trainings"}
NOTHING: dict[str, Any] = {"kills": {}, "killed": 0, "compared": 0, "identical": 0, "next": 0}


def add(so_far: Mapping[str, Any], counts: Mapping[str, Any]) -> dict[str, Any]:
    """Add a round of a loop to the counts."""
    kinds = Counter(so_far["kills"]) + Counter(counts["kills"])
    added = {
        "kills": dict(sorted(kinds.items())),
        "killed": kinds.total(),
        "compared": so_far["compared"] + 1,
        "identical": so_far["identical"] + counts["identical"],
        "next": counts["next"],
    }
    if "damaged" in counts:
        added["damaged_checkpoints"] = so_far.get("damaged_checkpoints", 0) + counts["damaged"]
    else:
        added["lost_episodes"] = so_far.get("lost_episodes", 0) + counts["lost"]
    return added


def begun(out: Path, about: Mapping[str, Any]) -> dict[str, Any]:
    """Return the counts so far: those of the same command and code, or none."""
    try:
        found = json.loads(out.read_text())
    except FileNotFoundError:
        found = {}
    if any(found.get(key) != value for key, value in about.items()):
        found = {**about, **dict.fromkeys(LOOPS, NOTHING), "seconds": 0.0}
    return found


def main() -> None:
    """Kill until there are as many kills as asked for."""
    parser = argparse.ArgumentParser(description="Kill collections and runs, compare their bytes.")
    parser.add_argument("collect", type=int, help="kills of collections")
    parser.add_argument("train", type=int, help="kills of training runs")
    parser.add_argument("--out", type=Path, default=RESULT)
    options = parser.parse_args()
    from crash_loops import rounds  # pyright: ignore[reportMissingImports]

    from lunar_offline.storage.atomic_write import write_atomic
    from lunar_offline.storage.provenance import provenance

    made_with = provenance()
    about = {
        "command": f"python benchmarks/kills.py {options.collect} {options.train}",
        # the counts are part of the checkout and change it
        "commit": (made_with["commit"] or "").removesuffix("-dirty"),
        "versions": made_with["versions"],
    }
    result = begun(options.out, about)
    for name, loop in LOOPS.items():
        folder = Path(tempfile.mkdtemp(prefix="kills-"))
        started = time.monotonic()
        left = getattr(options, name) - result[name]["killed"]
        try:
            for counts in rounds(folder, loop, left, result[name]["next"]) if left > 0 else ():
                result[name] = add(result[name], counts)
                result["seconds"] = round(result["seconds"] + time.monotonic() - started, 1)
                started = time.monotonic()
                write_atomic(options.out, compact_json(result).encode())
                print(name, json.dumps(result[name]), flush=True)
        except KeyboardInterrupt:
            sys.exit("stopped; the same command goes on")
        finally:
            shutil.rmtree(folder, ignore_errors=True)


if __name__ == "__main__":
    main()

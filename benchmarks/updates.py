"""Updates per second against a peer: python benchmarks/updates.py WORK PEER.

WORK is cql-continuous, sac-continuous or cql-discrete; both sides have 2x256 networks, batches of
256 and one thread on one core.
"""

import os
import sys
from pathlib import Path

import pairing
import typer

TORCH = "torch==2.13.0"
PEERS = {
    "d3rlpy": ("d3rlpy_.py", [TORCH, "d3rlpy==2.8.1"]),
    "sb3": ("sb3.py", [TORCH, "stable-baselines3==2.9.2", "gymnasium[box2d]"]),
    "corl": ("corl.py", [TORCH, "numpy"]),
}


def main(work: str, peer: str, pairs: int = 25, seconds: float = 1.0, core: int = 0) -> None:
    """Print the median ratio with its quartiles and write it to benchmarks/results."""
    script, packages = PEERS[peer]
    if peer == "corl" and not Path(os.environ.get("BENCH_CORL", "")).is_file():
        raise SystemExit("corl: set BENCH_CORL to the algorithms/offline/cql.py of a clone of CORL")
    other = pairing.Worker(pairing.peer_python(peer, packages), script, work, core)
    ours = pairing.Worker(sys.executable, "ours.py", work, core)
    ratios = pairing.paired(ours, other, pairs=pairs, seconds=seconds)
    ours.close()
    other.close()
    result = {"work": work, "peer": peer, "packages": packages} | ratios.summary()
    pairing.write(f"{work}-{peer}", result)


typer.run(main)

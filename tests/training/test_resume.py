import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from small_runs import begin, policy_bytes

from lunar_offline.collection.collect import collect_dataset
from lunar_offline.envs.rollout import EpisodeRecorder
from lunar_offline.errors import RefusedError
from lunar_offline.evaluation.evaluate import evaluate_policies
from lunar_offline.policies.policy_file import read_policy_file
from lunar_offline.training.loop import Training
from lunar_offline.training.run_folder import RunFolder
from lunar_offline.training.start_or_resume import resume


def records(run: Path) -> list[dict[str, Any]]:
    """Return a run's records without the rate of updates, the one thing that may differ."""
    plain = [record.to_dict() for record in RunFolder.open(run).metrics()]
    return [{k: v for k, v in record.items() if k != "updates_per_s"} for record in plain]


@pytest.mark.parametrize("stop_after", ["pretraining", "episode"])
@pytest.mark.parametrize("rho_mode", ["batch", "buffer"])
def test_a_resumed_run_gives_the_same_bytes(
    random_dataset: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    stop_after: str,
    rho_mode: str,
) -> None:
    options = {"dataset": random_dataset, "rho_mode": rho_mode, "online_episodes": 4}
    begin(tmp_path / "whole", **options).train()

    class Stop(Exception):
        pass

    broken = begin(tmp_path / "broken", **options)
    run_episode = Training._run_episode

    def stop(self: Training, recorder: EpisodeRecorder):
        if self.episode == (0 if stop_after == "pretraining" else 3):
            self._update(online=False)  # work that no checkpoint has
            raise Stop
        return run_episode(self, recorder)

    with monkeypatch.context() as patch:
        patch.setattr(Training, "_run_episode", stop)
        with pytest.raises(Stop):
            broken.train()
    resume(tmp_path / "broken").train()
    assert policy_bytes(tmp_path / "broken") == policy_bytes(tmp_path / "whole")
    assert records(tmp_path / "broken") == records(tmp_path / "whole")


def test_a_damaged_checkpoint_falls_back_and_says_so(random_dataset: str, tmp_path: Path) -> None:
    out = tmp_path / "run"
    training = begin(out, dataset=random_dataset)
    training.train()
    whole = policy_bytes(out)
    newest = max((out / "checkpoints").iterdir())
    newest.write_bytes(newest.read_bytes()[:100])
    again = resume(out)
    (note,) = again.notes
    assert note == (
        f"{newest}: not a safetensors file, or truncated in its header; continuing from the "
        "previous checkpoint"
    )
    again.train()
    assert policy_bytes(out) == whole
    for checkpoint in (out / "checkpoints").iterdir():
        checkpoint.write_bytes(b"")
    with pytest.raises(RefusedError, match="no checkpoint can be read"):
        resume(out)


def test_a_run_refuses_another_dataset(random_dataset: str, tmp_path: Path) -> None:
    out = tmp_path / "run"
    begin(out, dataset=random_dataset).train()
    path = out / "provenance.json"
    provenance = json.loads(path.read_text())
    provenance["dataset"]["sha256"] = "0" * 64
    path.write_text(json.dumps(provenance))
    with pytest.raises(RefusedError, match="changed since the run started"):
        resume(out)


@pytest.mark.parametrize("rho", [0.6, 1.0])
@pytest.mark.parametrize(
    ("algorithm", "agent"),
    [
        ("balanced", {}),
        ("sac", {}),
        ("bc", {}),
        ("cql-qr", {}),
        ("iql", {"policy_tau": 0.1}),
        ("td3-bc", {"policy_tau": 0.1, "policy_delay": 3}),
        ("cql-sac", {"calibrated": True, "penalized_rows": "all"}),
        ("cql-sac", {"lagrange": True, "n_critics": 3, "target_subset": 2, "policy_tau": 0.1}),
    ],
)
def test_every_algorithm_trains_resumes_and_saves_its_policy(
    random_dataset: str, tmp_path: Path, algorithm: str, agent: dict, rho: float
) -> None:
    balanced = algorithm == "balanced"
    if balanced and rho == 1.0:
        return
    dataset = random_dataset
    if algorithm == "td3-bc":
        dataset = "lunar-continuous-v0"
        collect_dataset(dataset, policy="random", discrete=False, episodes=6)
    options = {
        "dataset": dataset,
        "rho": rho,
        "algorithm": "cql-sac" if balanced else algorithm,
        "balanced": balanced,
        "agent": {"hidden": [16, 16]} | agent,
    }
    training = begin(tmp_path / "run", **options)
    training.train()
    stored = read_policy_file(tmp_path / "run" / "last.safetensors").policy
    assert torch.equal(stored.net.flat, training.learner.average.policy.net.flat)
    newest = sorted((tmp_path / "run" / "checkpoints").iterdir())[-1]
    newest.unlink()
    before = policy_bytes(tmp_path / "run")
    resume(tmp_path / "run").train()
    assert policy_bytes(tmp_path / "run") == before
    summary = evaluate_policies(RunFolder.open(tmp_path / "run").policies(), 2)
    assert np.isfinite(summary.headline.mean)

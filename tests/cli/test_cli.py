"""The command line: every mistake is one line with its exit code, and the main job works."""

import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

Run = Callable[..., tuple[int, str, str]]

SMALL_TOML = """
pretrain_updates = 20
updates = 30
online_episodes = 2
warmup_steps = 50
validate_every = 1
validation_episodes = 2
batch_size = 32
utd_ratio = 0.25
[agent]
hidden = [16]
"""


@pytest.fixture
def small(tmp_path: Path) -> Path:
    path = tmp_path / "small.toml"
    path.write_text(SMALL_TOML)
    return path


@pytest.mark.parametrize(
    "command",
    [
        [],
        ["collect"],
        ["train"],
        ["evaluate"],
        ["dataset"],
        ["share"],
        ["fetch"],
        ["video"],
        ["demo"],
        ["sweep"],
        ["stats"],
        ["diagnose"],
    ],
)
def test_help(run: Run, command: list[str]) -> None:
    code, out, _ = run(*command, "--help")
    assert code == 0
    assert "Usage" in out


def test_no_arguments_is_help_and_version_is_short(run: Run) -> None:
    code, out, err = run()
    assert code == 0
    assert "collect" in out + err
    code, out, _ = run("--version")
    assert code == 0
    assert out.startswith("lunar-offline 0.")


def test_help_imports_no_torch() -> None:
    code = (
        "import sys; sys.argv = ['lunar-offline', '--help']\n"
        "from lunar_offline_cli.app import main\n"
        "try: main()\n"
        "except SystemExit: pass\n"
        "assert not {'torch', 'gymnasium', 'minari', 'h5py', 'matplotlib'} & set(sys.modules)"
    )
    subprocess.run([sys.executable, "-c", code], check=True, capture_output=True)


def test_warnings_of_libraries_stay_off_the_terminal() -> None:
    code = (
        "import os, sys, warnings; sys.argv = ['lunar-offline', '--version']\n"
        "from lunar_offline_cli.app import main\n"
        "try: main()\n"
        "except SystemExit: pass\n"
        "warnings.warn('a library warns')\n"
        "assert os.environ['PYGAME_HIDE_SUPPORT_PROMPT']"
    )
    for options, seen in (([], False), (["-W", "default"], True)):
        done = subprocess.run(
            [sys.executable, *options, "-c", code], capture_output=True, text=True
        )
        assert done.returncode == 0
        assert ("a library warns" in done.stderr) == seen


def test_python_m_works() -> None:
    shown = subprocess.run(
        [sys.executable, "-m", "lunar_offline_cli", "--version"], capture_output=True, text=True
    )
    assert shown.returncode == 0
    assert shown.stdout.startswith("lunar-offline ")


@pytest.mark.parametrize(
    ("arguments", "code", "reason"),
    [
        (["learn"], 2, "No such command 'learn'"),
        (["train", "--rate", "1"], 2, "No such option"),
        (["train", "--rho", "much"], 2, "Invalid value for '--rho'"),
        (["train"], 2, "needs a dataset"),
        (
            ["train", "--dataset", "none-v0"],
            2,
            "to see those that exist: lunar-offline dataset list",
        ),
        (["train", "--dataset", "lunar-sac"], 2, "did you mean lunar-sac-v0"),
        (["train", "--dataset", "../x-v0"], 2, "is not a dataset id"),
        (["train", "--dataset", "lunar-random-v0", "--rho", "1.2"], 2, "rho 1.2 is above 1.0"),
        (["train", "--dataset", "lunar-random-v0", "--rho", "0.001"], 2, "use a larger batch"),
        (["train", "--dataset", "lunar-random-v0", "--rho", "0"], 2, "leave out --dataset"),
        (["train", "--dataset", "lunar-random-v0", "--continuous"], 2, "discrete, not continuous"),
        (["train", "--dataset", "lunar-random-v0", "--out", "."], 3, "already exists"),
        (["train", "--dataset", "lunar-random-v0", "--rho-mode", "x"], 2, "not one of batch"),
        (["train", "--config", "none.toml"], 2, "no such file"),
        (["train", "--resume", "nowhere"], 2, "is not a run directory"),
        (["train", "--resume", "x", "--seed", "1", "--rho", "1"], 2, "leave out --rho, --seed"),
        (
            ["train", "--tracker", "wandv"],
            2,
            "not one of tensorboard, wandb, trackio, mlflow, none",
        ),
        (["train", "--resume", "x", "--tracker", "wandv"], 2, "not one of tensorboard"),
        (["sweep", "--tracker", "none,wandb"], 2, "--tracker none cannot be combined"),
        (["collect", "--dataset", "lunar-random-v0"], 3, "next free version is lunar-random-v1"),
        (["collect", "--dataset", "x-v0", "--episodes", "0"], 2, "at least one"),
        (["collect", "--dataset", "x-v0", "--policy", "pro"], 2, "no policy 'pro'"),
        (["collect", "--dataset", "x-v0", "--seed", "-1"], 2, "seed -1"),
        (["evaluate", "nowhere"], 2, "no policy 'nowhere'"),
        (["evaluate", "random", "--episodes", "0"], 2, "at least one"),
        (["dataset", "show", "none-v0"], 2, "no dataset none-v0"),
        (["dataset", "show", "lunar-random-v0", "--html", "."], 2, "is a directory"),
        (["dataset", "show", "lunar-random-v0", "--html", "no/x.html"], 2, "no directory no"),
        (
            ["dataset", "show", "lunar-random-v0", "--html", "x", "--json"],
            2,
            "give only one of them",
        ),
        (["share", "lunar-random-v0"], 2, "give --remote hf://USER or gcp://BUCKET"),
        (["share", "lunar-random-v0", "--remote", "s3://x"], 2, "'s3://x' is not a remote"),
        (["share", "none-v0", "--remote", "gcp://x", "--dry-run"], 2, "no dataset none-v0"),
        (["share", "lunar-random-v0", "--remote", "gcp://x"], 2, "GOOGLE_APPLICATION_CREDENTIALS"),
        (["share", "lunar-random-v0", "--remote", "hf://x"], 3, "--as box2d/lunar-random-v0"),
        (
            ["share", "lunar-random-v0", "--remote", "hf://x", "--as", "a/x-v0"],
            2,
            "is not a dataset id",
        ),
        (["fetch", "../x-v0", "--remote", "gcp://x"], 2, "is not a dataset id"),
        (["fetch", "x-v0"], 2, "give --remote hf://USER or gcp://BUCKET"),
        (["video", "nowhere"], 2, "no policy 'nowhere'"),
        (["demo", "--out", "."], 3, "exists already"),
        (["train", "--discrete", "--continuous"], 2, "--discrete and --continuous cannot be"),
        (["dataset", "delete", "none-v0", "--yes"], 2, "no dataset none-v0"),
        (["dataset", "delete", "lunar-random-v0"], 2, "would be deleted; add --yes"),
    ],
)
def test_a_mistake_gets_one_line(
    run: Run, random_dataset: str, tmp_path: Path, arguments: list[str], code: int, reason: str
) -> None:
    before = sorted(p.relative_to(tmp_path) for p in tmp_path.rglob("*"))
    got, out, err = run(*arguments)
    assert (got, out) == (code, "")
    assert err.startswith("lunar-offline: ")
    assert err.count("\n") == 1
    assert reason in err
    assert sorted(p.relative_to(tmp_path) for p in tmp_path.rglob("*")) == before


def test_a_working_directory_that_is_gone(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    Path("gone").mkdir()
    monkeypatch.chdir("gone")
    Path.cwd().rmdir()
    code, _, err = run("train", "--dataset", "lunar-sac-v0")
    assert (code, err) == (
        1,
        "lunar-offline: the working directory no longer exists; change to an existing one\n",
    )


def test_a_missing_optional_dependency_names_the_extra(
    run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "imageio_ffmpeg", None)
    code, _, err = run("video", "random", "--episode", 0, "--format", "mp4", "--quiet")
    assert code == 2
    assert "pip install 'lunar-offline[video]'" in err
    assert err.count("\n") == 1


def test_control_bytes_of_a_file_never_reach_the_terminal(run: Run, random_dataset: str) -> None:
    from lunar_offline.storage.datasets_root import datasets_root

    path = datasets_root() / random_dataset / "data" / "metadata.json"
    metadata = json.loads(path.read_text())
    metadata["env_spec"] = json.dumps({"id": "\x1b[2Jboo\n"})
    path.write_text(json.dumps(metadata))
    code, _, err = run("dataset", "show", random_dataset)
    assert code == 3
    assert "\x1b" not in err
    assert err.count("\n") == 1


def test_verify_claims_no_more_than_it_did(run: Run, random_dataset: str) -> None:
    matching = f"{random_dataset}: 3 files match the manifest; "
    assert run("dataset", "verify", random_dataset)[:2] == (
        0,
        f"{matching}no episode replayed; use --replay all\n",
    )
    replayed = run("dataset", "verify", random_dataset, "--replay", 2)
    assert replayed[:2] == (0, f"{matching}2 episodes replayed bit-identically\n")


def test_the_main_job(run: Run, small: Path, tmp_path: Path) -> None:
    code, out, _ = run("collect", "--episodes", 6, "--policy", "random", "--dataset", "x-v0")
    assert code == 0
    assert out.endswith("next: lunar-offline train --dataset x-v0 --rho 0.6\n")
    code, out, _ = run("dataset", "list", "--json")
    assert [row["dataset_id"] for row in json.loads(out)] == ["x-v0"]
    code, out, _ = run("dataset", "show", "x-v0", "--json")
    shown = json.loads(out)
    assert (shown["episodes"], shown["actions"]) == (6, "discrete")
    assert shown["recipe"]["sources"][0]["policy"] == "random"

    code, out, _ = run("dataset", "show", "x-v0", "--html", "x.html")
    assert code == 0
    assert out.startswith("x.html: wrote the page of x-v0, 0.")
    assert Path("x.html").read_text().startswith("<!doctype html>")

    options = ["--config", small, "--evaluation-episodes", 5]
    code, out, err = run("train", "--dataset", "x-v0", *options, "--out", "run")
    assert code == 0
    assert "run in run; next: lunar-offline video run" in out
    assert "offline updates: 0/20" in err

    code, out, _ = run("evaluate", "run", "--episodes", 4, "--json")
    assert code == 0
    assert {name: found["episodes"] for name, found in json.loads(out).items()} == {
        "last": 4,
        "best": 4,
    }
    code, out, _ = run("video", "run", "--episode", "best,0")
    assert code == 0
    for name in ("best", "0"):
        assert (tmp_path / "run" / f"episode-{name}.gif").read_bytes().startswith(b"GIF89a")
    last = json.loads((tmp_path / "run" / "evaluation.json").read_text())["last"]["returns"]
    # the film is of the very episode that was evaluated
    assert f"return {max(last):.1f}," in out

    code, out, _ = run("collect", "--episodes", 3, "--policy", "run", "--dataset", "y-v0", "--json")
    assert code == 0
    assert json.loads(out)["dataset_id"] == "y-v0"


def test_an_interrupted_run_prints_how_to_continue(
    run: Run, random_dataset: str, small: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from lunar_offline.training.loop import Training

    with monkeypatch.context() as patch:
        patch.setattr(Training, "_run_episode", lambda *_: (_ for _ in ()).throw(KeyboardInterrupt))
        options = ["--config", small, "--evaluation-episodes", 2, "--tracker", "none"]
        code, _, err = run("train", "--dataset", random_dataset, *options, "--out", "run")
    assert code == 130
    assert "continue with: lunar-offline train --resume run" in err
    assert not Path("run/tensorboard").exists()
    code, out, _ = run("train", "--resume", "run", "--tracker", "tensorboard")
    assert code == 0
    assert "run in run" in out
    assert Path("run/tensorboard").exists()


def test_a_quiet_run_prints_its_result_alone(run: Run, random_dataset: str, small: Path) -> None:
    options = ["--config", small, "--evaluation-episodes", 2]
    code, out, err = run("train", "--dataset", random_dataset, *options, "--out", "a", "--quiet")
    assert (code, err) == (0, "")
    assert out.endswith("run in a; next: lunar-offline video a\n")
    code, out, err = run("train", "--dataset", random_dataset, *options, "--out", "b", "--json")
    assert (code, err) == (0, "")
    printed = json.loads(out)
    assert printed["run"] == "b"
    assert printed["evaluation"] == json.loads(Path("b/evaluation.json").read_text())


def test_rho_1_trains_without_an_evaluation(run: Run, random_dataset: str, small: Path) -> None:
    code, out, _ = run(
        "train", "--dataset", random_dataset, "--rho", 1, "--config", small, "--out", "run"
    )
    assert code == 0
    assert "next: lunar-offline evaluate run" in out

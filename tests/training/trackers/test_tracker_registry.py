import sys
from pathlib import Path

import pytest

from lunar_offline.errors import UsageError
from lunar_offline.training.trackers import registry
from lunar_offline.training.trackers.registry import check_installed, parse_trackers


@pytest.mark.parametrize(
    ("values", "names"),
    [
        (["wandb"], ("wandb",)),
        (["tensorboard,wandb"], ("tensorboard", "wandb")),
        (["wandb, mlflow", "trackio", "wandb"], ("wandb", "mlflow", "trackio")),
        (["none"], ()),
        (["none", "none"], ()),
    ],
)
def test_trackers_are_repeated_or_listed(values: list[str], names: tuple[str, ...]) -> None:
    assert parse_trackers(values) == names


@pytest.mark.parametrize(
    ("value", "reason"),
    [
        ("wandv", "--tracker 'wandv' is not one of tensorboard, wandb, trackio, mlflow, none"),
        ("", "--tracker '' is not one of"),
        ("wandb,", "--tracker '' is not one of"),
        ("none,wandb", "--tracker none cannot be combined"),
    ],
)
def test_a_wrong_name_is_refused(value: str, reason: str) -> None:
    with pytest.raises(UsageError, match=reason):
        parse_trackers([value])


def test_a_missing_extra_names_the_command(monkeypatch: pytest.MonkeyPatch) -> None:
    known = {"mlflow": ("mlflow", "no_such_module"), "wandb": ("no_such_module",)}
    monkeypatch.setattr(registry, "ADAPTERS", known | {"trackio": ("no_such_module",)})
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    check_installed(["tensorboard"])
    for name, pins in (("wandb", " -c constraints.txt"), ("trackio", "")):
        with pytest.raises(UsageError) as error:
            check_installed(["tensorboard", name])
        command = f"pip install 'lunar-offline[{name}]'{pins}"
        assert str(error.value) == f"--tracker {name} needs an extra: {command}"
    with pytest.raises(UsageError, match="--tracker mlflow needs an extra"):
        check_installed(["mlflow"])


def test_a_server_of_mlflow_needs_no_local_store(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(registry, "ADAPTERS", {"mlflow": ("mlflow", "no_such_module")})
    monkeypatch.setattr(registry, "_exists", lambda module: module == "mlflow")
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "http://127.0.0.1:5000")
    check_installed(["mlflow"])


def test_a_folder_of_that_name_is_no_module(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "some_tracker").mkdir()
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.setattr(registry, "ADAPTERS", {"wandb": ("some_tracker",)})
    with pytest.raises(UsageError):
        check_installed(["wandb"])
    assert "some_tracker" not in sys.modules

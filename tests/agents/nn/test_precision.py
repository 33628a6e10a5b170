import pytest
import torch

from lunar_offline.agents.nn import precision
from lunar_offline.agents.nn.precision import bf16_products, resolve_precision
from lunar_offline.errors import UsageError


@pytest.mark.parametrize(
    ("asked", "device", "amx", "expected"),
    [
        ("auto", "cpu", False, "fp32"),
        ("auto", "cpu", True, "bf16"),
        ("auto", "cuda", True, "fp32"),
        ("fp32", "cpu", True, "fp32"),
        ("bf16", "cpu", True, "bf16"),
    ],
)
def test_bf16_needs_amx(
    monkeypatch: pytest.MonkeyPatch, asked: str, device: str, amx: bool, expected: str
) -> None:
    monkeypatch.setattr(precision, "has_amx", lambda: amx)
    assert resolve_precision(asked, device) == expected


def test_bf16_without_amx_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(precision, "has_amx", lambda: False)
    with pytest.raises(UsageError, match="AMX"):
        resolve_precision("bf16", "cpu")


def test_the_setting_holds_inside_an_update_only() -> None:
    with bf16_products():
        assert torch.get_float32_matmul_precision() == "medium"
    assert torch.get_float32_matmul_precision() == "highest"

from __future__ import annotations

import pytest
import torch

from deepfakestream.errors import ParamsError
from deepfakestream.host import device
from deepfakestream.host.device import resolve_device


def test_cpu_is_always_there() -> None:
    assert resolve_device("cpu") == "cpu"


@pytest.mark.parametrize(
    ("has_driver", "available", "expected"),
    [(True, True, "cuda"), (True, False, "cpu"), (False, True, "cpu")],
)
def test_auto_follows_torch_where_there_is_a_driver(
    monkeypatch: pytest.MonkeyPatch, has_driver: bool, available: bool, expected: str
) -> None:
    monkeypatch.setattr(device, "_has_driver", lambda: has_driver)
    monkeypatch.setattr(torch.cuda, "is_available", lambda: available)
    assert resolve_device("auto") == expected


def test_a_missing_gpu_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    with pytest.raises(ParamsError):
        resolve_device("cuda")

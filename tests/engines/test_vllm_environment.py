"""What the vllm engine mends in the process before vLLM starts."""

from __future__ import annotations

import os
import sys
from types import ModuleType
from typing import Any

import pytest

from evalkit.engines.vllm import VllmEngine, VllmSpec, _mend_llvmlite, _prepare_environment

from .conftest import MakeModel


class Handle:
    """As llvmlite's: any name that is asked for is a function of the library."""

    def __getattribute__(self, name: str) -> Any:
        if name in ("__class__", "__getattr__"):
            return object.__getattribute__(self, name)
        return type(self).__getattr__(self, name)

    def __getattr__(self, name: str) -> Any:
        return f"function {name}"


def test_a_handle_that_answers_every_name_keeps_its_functions(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    module = ModuleType("llvmlite.binding.ffi")
    module._lib_wrapper = Handle  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "llvmlite.binding.ffi", module)
    assert hasattr(Handle(), "__dict__")
    for _ in range(2):
        _mend_llvmlite()
    assert not hasattr(Handle(), "__dict__")
    assert Handle().LLVMPY_Version == "function LLVMPY_Version"


def test_nothing_is_imported_for_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delitem(sys.modules, "llvmlite.binding.ffi", raising=False)
    _mend_llvmlite()
    assert "llvmlite.binding.ffi" not in sys.modules


@pytest.mark.parametrize(("cuda", "apart"), [(True, "1"), (False, "0")])
def test_a_device_is_used_by_a_child_that_is_no_fork(
    monkeypatch: pytest.MonkeyPatch, cuda: bool, apart: str
) -> None:
    for name in [name for name in os.environ if name.startswith("VLLM_")]:
        monkeypatch.delenv(name)
    monkeypatch.setattr(os, "environ", dict(os.environ))
    _prepare_environment(cuda)
    assert os.environ["VLLM_ENABLE_V1_MULTIPROCESSING"] == apart
    assert os.environ["VLLM_WORKER_MULTIPROC_METHOD"] == "spawn"


def test_what_the_user_set_for_vllm_stays(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "environ", dict(os.environ))
    os.environ["VLLM_WORKER_MULTIPROC_METHOD"] = "forkserver"
    _prepare_environment(cuda=True)
    assert os.environ["VLLM_WORKER_MULTIPROC_METHOD"] == "forkserver"


def test_a_child_that_did_not_start_is_said_to_have_printed_why(tiny_model: MakeModel) -> None:
    engine = VllmEngine(VllmSpec(), tiny_model())
    said = engine._load_advice("Engine core initialization failed. See root cause above.")
    assert "printed its reason before this" in said

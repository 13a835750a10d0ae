"""What the vllm engine mends in the process before vLLM starts."""

from __future__ import annotations

import sys
from types import ModuleType
from typing import Any

import pytest

from evalkit.engines._vllm import _mend_llvmlite


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

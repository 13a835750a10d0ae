"""A small catalogue of types, so that these tests do not depend on the real rooms."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar, Literal

import pytest
from pydantic import Field, model_validator

from evalkit import suite
from evalkit.core.specs import BenchmarkSpec, EngineSpec, JudgeSpec, LocalJudgeSpec, Spec, Suite
from evalkit.errors import EvalkitError, Problem, SuiteError


class LocalSpec(EngineSpec):
    type: Literal["vllm"] = "vllm"
    dtype: Literal["auto", "float32"] = "auto"
    max_len: int | None = Field(default=None, ge=16)
    """Longest prompt, in tokens."""


class ServedSpec(EngineSpec):
    type: Literal["served"]
    model: str
    api_key_env: str = "SERVED_API_KEY"
    max_cost_usd: float | None = Field(default=None, ge=0)


class PairsSpec(BenchmarkSpec):
    type: Literal["pairs"]
    version: Literal[1, 2] = 2
    max_tokens: int = Field(default=64, ge=1)


class ChoicesSpec(BenchmarkSpec):
    type: Literal["choices"]
    tasks: tuple[str, ...] = ("a",)
    limits: dict[str, int | Literal["all"]] = Field(default_factory=dict)

    @model_validator(mode="after")
    def _tasks_once(self) -> ChoicesSpec:
        if len(set(self.tasks)) < len(self.tasks):
            raise ValueError("tasks has one twice")
        return self


class Local:
    needs_weights: ClassVar[bool] = True


class Served:
    needs_weights: ClassVar[bool] = False


class Pairs:
    judge_kind: ClassVar[str | None] = "pairwise"


class Choices:
    judge_kind: ClassVar[str | None] = None


class ServedJudge(JudgeSpec, ServedSpec):
    pass


@dataclass(frozen=True)
class Found:
    cls: type[Any]
    spec: type[Spec] | None


ENGINES = {"served": Found(Served, ServedSpec), "vllm": Found(Local, LocalSpec)}
BENCHMARKS = {"choices": Found(Choices, ChoicesSpec), "pairs": Found(Pairs, PairsSpec)}


class Catalogue:
    """The types of this module."""

    def find(self, room: Literal["benchmarks", "engines", "judges"], name: str) -> Found:
        known = ENGINES if room == "engines" else BENCHMARKS
        if name not in known:
            raise EvalkitError(f"unknown type {name!r} in {room}")
        return known[name]

    def judge_spec(self, kind: str) -> type[JudgeSpec]:
        if kind not in ("engine", "served"):
            raise EvalkitError(f"unknown type {kind!r} in judges")
        return LocalJudgeSpec if kind == "engine" else ServedJudge

    def names(self, room: Literal["benchmarks", "engines", "judges"]) -> Sequence[str]:
        return sorted(ENGINES if room == "engines" else BENCHMARKS)


GOOD = """\
name: small
models:
  tuned:
    role: candidate
    base: ./base
    adapter: ./adapter
  plain: {role: baseline, path: ./base}
judges:
  self: {type: engine, model: plain}
benchmarks:
  - {type: pairs, judge: self}
  - type: choices
    tasks: [a, b]
gate:
  baseline: plain
  margins: {pairs: 3, default: 1}
"""


@pytest.fixture(scope="package", autouse=True)
def _folders(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """What GOOD names is there for mappings too, whose paths start where the command runs."""
    before, here = Path.cwd(), tmp_path_factory.mktemp("here")
    make_folders(here)
    os.chdir(here)
    yield
    os.chdir(before)


def make_folders(root: Path) -> None:
    """The folders that suites of these tests name."""
    for name in ("base", "adapter", "new", "third", "a=b", "other", "x"):
        (root / name).mkdir(exist_ok=True)


@pytest.fixture(scope="session")
def catalogue() -> Catalogue:
    return Catalogue()


@pytest.fixture
def good() -> str:
    """A suite without a mistake; its lines are those that tests name."""
    return GOOD


Loader = Callable[..., Suite]
Finder = Callable[..., tuple[Problem, ...]]


@pytest.fixture
def load(tmp_path: Path, catalogue: Catalogue) -> Loader:
    """Load text as `suite.yaml`, with overrides."""

    def load(text: str, *overrides: str) -> Suite:
        make_folders(tmp_path)
        path = tmp_path / "suite.yaml"
        path.write_text(text, encoding="utf-8")
        return suite.load(path, overrides, catalogue)

    return load


@pytest.fixture
def problems(load: Loader, tmp_path: Path) -> Finder:
    """What is wrong with a text; places without the folder."""

    def problems(text: str, *overrides: str) -> tuple[Problem, ...]:
        with pytest.raises(SuiteError) as caught:
            load(text, *overrides)
        folder = f"{tmp_path}/"
        return tuple(
            Problem(p.where.replace(folder, ""), p.message.replace(folder, ""))
            for p in caught.value.problems
        )

    return problems

"""What a manifest must look like for a run to be shown: other rooms read it as evalkit wrote it.

A folder of another program's, or one that somebody damaged, is then one line of the index that says
where it is wrong, and stops none of the others.
"""

from __future__ import annotations

from collections.abc import Mapping

from pydantic import BaseModel, Field, ValidationError

from evalkit.core import Json, Metric

__all__ = ["fault"]


class _Named(BaseModel):
    name: str


class _Provenance(BaseModel):
    warnings: list[str] = Field(default_factory=list)


class _Model(_Named):
    role: str = ""
    provenance: _Provenance = Field(default_factory=_Provenance)
    first_prompts: list[dict[str, Json]] = Field(default_factory=list)


class _Task(BaseModel):
    metrics: list[Metric] = Field(default_factory=list)


class _Benchmark(_Named):
    description: dict[str, Json] = Field(default_factory=dict)
    tasks: dict[str, _Task] = Field(default_factory=dict)


class _Evidence(BaseModel):
    findings: list[dict[str, Json]] = Field(default_factory=list)


class _Report(BaseModel):
    formats: list[str] = Field(default_factory=list)
    examples: int = 0


class _Suite(BaseModel):
    benchmarks: list[dict[str, Json]] = Field(default_factory=list)
    report: _Report | None = None


class _Manifest(BaseModel):
    limit: int | None = None
    suite: _Suite = Field(default_factory=_Suite)
    models: list[_Model] = Field(default_factory=list)
    judges: list[_Named] = Field(default_factory=list)
    benchmarks: list[_Benchmark] = Field(default_factory=list)
    evidence: list[_Evidence] = Field(default_factory=list)


def fault(manifest: Mapping[str, Json]) -> str:
    """The first place where a manifest is not as evalkit writes it; empty: there is none."""
    try:
        _Manifest.model_validate(dict(manifest))
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        place = ".".join(str(part) for part in first["loc"])
        return f"manifest.json: {place}: {first['msg']}"
    return ""

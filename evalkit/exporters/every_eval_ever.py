"""Every Eval Ever 0.3.0: one JSON file per model and benchmark, as `eval.schema.json` has it.

    data/<benchmark>/<developer>/<model>/<uuid>.json     the datastore's layout

Source: https://github.com/evaleval/every_eval_ever (PyPI every-eval-ever, which has the schema and
needs Python 3.12).  Every figure that was measured or imported is a result with standard error,
interval, n, unit and bounds; figures that someone else published are left out.  Names are evalkit's
own; the datastore's canonical names can be put in its place by its own tools.

Figures that a model of the suite judged are left out, too, and named in the notes; with
`allow_unpublishable` they are written, and their file says that they are not for publication.

What the format wants and a run does not know is a setting: who publishes (`organization`,
required), how they stand to the model's maker (`relationship`), the model's id on the hub where it
was not loaded from there (`model_id`), and when, where no session tells (`date`).  Instance-level
records are not written: they are texts of the benchmark.

`retrieved_timestamp` is when the run began, not when it was exported: the same run gives the same
bytes, and the file name is a hash of them in the form of a random UUID.
"""

from __future__ import annotations

import datetime as dt
import hashlib
import json
import uuid
from collections.abc import Iterator, Mapping, Sequence
from typing import ClassVar, Literal

from pydantic import Field

from evalkit.compare.doubts import doubts, weak_judges
from evalkit.compare.words import has_direction
from evalkit.core import Estimate, Json, Run
from evalkit.core.protocols import Exported
from evalkit.core.specs import ExportSpec
from evalkit.errors import ExportError
from evalkit.exporters import _about as about
from evalkit.exporters._every_eval_ever_results import judges_of, result

__all__ = ["EveryEvalEver", "EveryEvalEverSpec"]

_VERSION = "0.3.0"
_SERVED = ("openai", "anthropic")
_LOCAL = ("vllm", "transformers", "ray", "fake")


class EveryEvalEverSpec(ExportSpec):
    """Records of the Every Eval Ever datastore."""

    organization: str = Field(min_length=1)
    """Who publishes the figures."""
    organization_url: str | None = None
    """Their address."""
    relationship: Literal["first_party", "third_party", "collaborative", "other"] = "other"
    """How they stand to the model's maker."""
    model_id: str | None = None
    """The model as DEVELOPER/NAME, with one --model; default: its hub repository, else its name."""
    date: dt.date | None = None
    """When it was measured, as YYYY-MM-DD; default: when the run began."""


class EveryEvalEver:
    """Writes Every Eval Ever JSON."""

    publishes: ClassVar[bool] = True

    def __init__(self, spec: EveryEvalEverSpec) -> None:
        self._spec = spec

    def export(self, runs: Sequence[Run]) -> Exported:
        """A file per run, model and benchmark."""
        models = list(dict.fromkeys(name for run in runs for name in about.measured(run)))
        if self._spec.model_id and len(models) > 1:
            raise ExportError(
                f"model_id {self._spec.model_id!r} is one model's; name it with --model: "
                f"{', '.join(models)}"
            )
        files: dict[str, bytes] = {}
        left: dict[tuple[str, str], dict[str, None]] = {}
        for run in runs:
            weak = weak_judges([run])
            for model in about.measured(run):
                for entry in about.entries(run):
                    figures = _figures(run, model, entry)
                    judged = [row for row in figures if entry in weak and has_direction(row.unit)]
                    if judged and not self._spec.allow_unpublishable:
                        figures = [row for row in figures if row not in judged]
                        names = dict.fromkeys(f"{row.task} {row.metric}" for row in judged)
                        left.setdefault((model, weak[entry]), {}).update(names)
                        judged = []
                    if figures:
                        doubt = _weak(weak[entry]) if judged else ""
                        about.add(files, *self._file(run, figures, doubt))
        notes = tuple(
            f"left out of {model}: {', '.join(names)}: {_weak(judge)}"
            for (model, judge), names in left.items()
        )
        if not files:
            raise ExportError(f"{', '.join(str(run.folder) for run in runs)}: {_nothing(notes)}")
        return Exported(files, notes)

    def _file(self, run: Run, figures: Sequence[Estimate], doubt: str) -> tuple[str, bytes]:
        """Name and content of one model's figures of one benchmark entry."""
        model, entry = figures[0].model, figures[0].benchmark
        moment, judges = self._moment(run), judges_of(run, model, entry)
        log = {
            "schema_version": _VERSION,
            "evaluation_id": "/".join((entry, self._id(run, model), moment)),
            "evaluation_timestamp": moment,
            "retrieved_timestamp": moment,
            "source_metadata": self._source(run, entry, model, doubt),
            "eval_library": _library(run),
            "model_info": self._model(run, model),
            "evaluation_results": [result(run, row, judges) for row in figures],
        }
        content = (json.dumps(about.text(log), indent=2, ensure_ascii=False) + "\n").encode()
        return self._path(run, model, entry, content), content

    def _moment(self, run: Run) -> str:
        """Seconds since 1970, as text."""
        day, moment = self._spec.date, about.began(run)
        if day is not None:
            moment = dt.datetime.combine(day, dt.time(), dt.UTC)
        if moment is None:
            raise ExportError(
                f"{run.folder}: no session tells when this was measured, and the format wants a "
                f"time; add --set date=YYYY-MM-DD"
            )
        return str(int(moment.timestamp()))

    def _id(self, run: Run, model: str) -> str:
        return self._spec.model_id or about.repository(run, model) or model

    def _path(self, run: Run, model: str, entry: str, content: bytes) -> str:
        developer, _, name = self._id(run, model).rpartition("/")
        digest = uuid.UUID(bytes=hashlib.sha256(content).digest()[:16], version=4)
        parts = (entry, developer or "unknown", name)
        return "/".join(("data", *map(about.file_part, parts), f"{digest}.json"))

    def _source(self, run: Run, entry: str, model: str, doubt: str) -> dict[str, Json]:
        spec = self._spec
        unfit = [*doubts(run, [model]), *([doubt] if doubt else [])]
        has_samples = any((r.model, r.benchmark) == (model, entry) for r in run.records)
        details = {
            "run_id": str(run.manifest.get("run_id")),
            "suite": str(run.manifest.get("suite_name")),
            "git_commit": run.manifest.get("git_commit"),
            "commands": "; ".join(run.manifest.get("commands", ())) or None,
            "not_for_publication": "; ".join(unfit) or None,
        }
        found = {
            "source_name": "evalkit",
            "source_type": "evaluation_run" if has_samples else "documentation",
            "source_organization_name": spec.organization,
            "source_organization_url": spec.organization_url,
            "evaluator_relationship": spec.relationship,
            "additional_details": dict(_known(details)),
        }
        return dict(_known(found))

    def _model(self, run: Run, model: str) -> dict[str, Json]:
        entry, full = about.model_entry(run, model), self._id(run, model)
        engine = entry.get("engine", {})
        kind = str(engine.get("type", ""))
        details = {
            "deployment_type": _deployment(kind),
            "model_availability": "open_weights" if about.repository(run, model) else "unknown",
            "role": entry.get("role"),
            "fingerprint": entry.get("fingerprint"),
            "template_source": entry.get("template_source"),
            "dtype": engine.get("dtype"),
        }
        found = {
            "name": model,
            "id": full,
            "developer": full.rpartition("/")[0] or None,
            "inference_engine": _engine(kind, engine) if kind in _LOCAL else None,
            "inference_platform": kind if kind in _SERVED else None,
            "additional_details": dict(_known(details)),
        }
        return dict(_known(found))


def _figures(run: Run, model: str, entry: str) -> list[Estimate]:
    return [row for row in about.figures_of(run, model, entry) if row.point is not None]


def _weak(judge: str) -> str:
    return f"judged by {judge}, a model of the same suite: such figures are not for publication"


def _nothing(notes: Sequence[str]) -> str:
    if notes:
        return f"{'; '.join(notes)}; write them all the same, marked, with --allow-unpublishable"
    return (
        "no figure that was measured or imported; figures that others published are theirs to "
        "record"
    )


def _known(found: Mapping[str, Json]) -> Iterator[tuple[str, Json]]:
    return ((name, value) for name, value in found.items() if value is not None)


def _deployment(kind: str) -> str:
    if kind in _SERVED:
        return "externally_managed"
    return "self_deployed" if kind in _LOCAL else "unknown"


def _engine(kind: str, engine: Mapping[str, Json]) -> dict[str, str]:
    version = engine.get("version")
    return {"name": kind, **({"version": str(version)} if version else {})}


def _library(run: Run) -> dict[str, Json]:
    versions = run.manifest.get("versions", {})
    return {
        "name": "evalkit",
        "version": str(versions.get("evalkit", "unknown")),
        "additional_details": {str(name): str(version) for name, version in versions.items()},
    }

"""Results that another tool measured, read from its files; nothing is generated or scored here.

In a suite, beside models on a `recorded` engine whose `results` name the files of the entry:

    benchmarks:
      - {type: recorded, name: arithmetic, format: inspect}
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, ClassVar, Literal

from evalkit.core import Flow, Json, Metric, Outcome, Record, Sample
from evalkit.core.figures import Figure
from evalkit.core.protocols import BenchmarkContext
from evalkit.core.specs import BenchmarkSpec
from evalkit.errors import BenchmarkError

__all__ = ["RecordedResults", "RecordedResultsSpec"]


class RecordedResultsSpec(BenchmarkSpec):
    """Results that another tool measured."""

    type: Literal["recorded"] = "recorded"
    """Always `recorded`."""
    format: Literal["ifeval", "inspect", "every_eval_ever"]
    """The tool whose files are read, by the name that `evalkit import` has for it."""


class RecordedResults:
    """An entry whose every figure comes from files."""

    judge_kind: ClassVar[Literal["pairwise", "rating"] | None] = None
    original_judge: ClassVar[str | None] = None
    version = "1"

    def __init__(self, spec: RecordedResultsSpec, context: BenchmarkContext) -> None:
        self.name = spec.entry
        self._format = spec.format

    @staticmethod
    def judge_options(_: Any) -> Mapping[str, Json]:
        """Nothing: nobody judges."""
        return {}

    def data_needs(self) -> Sequence[str]:
        """No data set."""
        return ()

    def load(self) -> None:
        """Raises BenchmarkError: it is called only where a model would have to answer."""
        raise self._nothing()

    def _nothing(self) -> BenchmarkError:
        return BenchmarkError(
            f"{self.name}: there are only recorded results of this benchmark, and a model without "
            f"any; give the model `engine: {{type: recorded, results: {{{self.name}: [FILE]}}}}`, "
            f"or leave it out"
        )

    def samples(self) -> Sequence[Sample]:
        """None that could be sent."""
        return ()

    def metrics(self, task: str) -> Sequence[Metric]:
        """As the files say."""
        return ()

    def flow(self, sample: Sample, model: str) -> Flow[Outcome]:
        """Raises BenchmarkError, as `load`."""
        raise self._nothing()

    def extra_figures(self, records: Sequence[Record], level: float) -> Sequence[Figure]:
        """None: the files' own are read with them."""
        return ()

    def describe(self) -> Mapping[str, Json]:
        """Type and format."""
        return {"type": "recorded", "version": self.version, "format": self._format}

    def nominal_requests(self) -> int | None:
        """None are sent."""
        return 0

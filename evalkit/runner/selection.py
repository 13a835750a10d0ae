"""Which part of a suite a command asks for, applied to the suite itself.

The run id is hashed from the selected suite, so a part is a run of its own and never passes
for the whole; what it asks comes from the cache once either has been run.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from evalkit.core.specs import Suite
from evalkit.errors import SuiteError, did_you_mean

__all__ = ["Selection"]


@dataclass(frozen=True)
class Selection:
    """The options that choose a part of a suite."""

    only: tuple[str, ...] = ()
    """Benchmark entries; empty: all."""
    models: tuple[str, ...] = ()
    """Models; empty: all."""
    limit: int | None = None
    """First N samples of each task; a limited run is never published."""

    def entries(self, suite: Suite) -> Suite:
        """`suite` with the chosen benchmarks only.

        Models stay, since one that is not compared may still be the judge.

        Raises:
            SuiteError: a name is not in the suite, or the limit is below 1.
        """
        if self.limit is not None and self.limit < 1:
            raise SuiteError(f"--limit {self.limit!r}: expected 1 or more samples per task")
        _known("--only", self.only, [b.entry for b in suite.benchmarks])
        _known("--models", self.models, list(suite.models))
        if not self.only:
            return suite
        chosen = tuple(b for b in suite.benchmarks if b.entry in self.only)
        return suite.model_copy(update={"benchmarks": chosen})

    def compared(self, suite: Suite) -> tuple[str, ...]:
        """Names of the models that answer, in suite order."""
        return tuple(
            name
            for name, spec in suite.models.items()
            if spec.role != "published" and (not self.models or name in self.models)
        )


def _known(option: str, chosen: Sequence[str], choices: Sequence[str]) -> None:
    for name in chosen:
        if name not in choices:
            raise SuiteError(
                f"{option} {name!r}: not in the suite, which has {', '.join(choices)}"
                f"{did_you_mean(name, choices)}"
            )

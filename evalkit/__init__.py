"""evalkit: whether a fine-tuned chat model is better, by how much, and on what evidence."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from evalkit.api import (
        claim,
        compare,
        export,
        gate,
        import_votes,
        judge,
        judge_bridge,
        load_run,
        load_suite,
        run,
        watch,
    )

__all__ = [
    "claim",
    "compare",
    "export",
    "gate",
    "import_votes",
    "judge",
    "judge_bridge",
    "load_run",
    "load_suite",
    "run",
    "watch",
]


def __dir__() -> list[str]:
    return list(__all__)


def __getattr__(name: str) -> Any:
    """Import the library's functions when first used: `evalkit --help` must stay quick."""
    if name in __all__:
        from evalkit import api

        return getattr(api, name)
    raise AttributeError(f"module 'evalkit' has no attribute {name!r}; it has {', '.join(__all__)}")

"""Tools that tasks' own code uses: langdetect's seed, NLTK's data, compiled templates.

IFEval's checkers call langdetect, whose detector draws from a global generator that nobody seeds:
scores moved by one or two prompts from run to run.  They also want NLTK's punkt_tab, which they
would download while lm-eval imports them.  Jinja templates are compiled anew for each use, which
is nine tenths of the time prompts take.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from functools import lru_cache

__all__ = ["compile_templates_once", "langdetect_seeded", "use_nltk"]

_SEED = 0


@contextmanager
def langdetect_seeded() -> Iterator[None]:
    """Seed langdetect where it is in use, and put its seed back."""
    module = sys.modules.get("langdetect")
    if module is None:
        yield
        return
    factory = module.DetectorFactory
    before = factory.seed
    factory.seed = _SEED
    try:
        yield
    finally:
        factory.seed = before


def compile_templates_once() -> None:
    """Let lm-eval's Jinja environment remember the templates it has compiled.

    They hold no state, so what they render stays the same.
    """
    from lm_eval.utils import env

    if not hasattr(env.from_string, "cache_info"):
        env.from_string = lru_cache(maxsize=4096)(env.from_string)


def use_nltk(folder: str) -> None:
    """Look for NLTK's data in `folder` first, so that nothing is downloaded."""
    try:
        import nltk  # type: ignore[import-untyped]
    except ImportError:  # only the tasks that need it bring it
        return
    if folder not in nltk.data.path:
        nltk.data.path.insert(0, folder)

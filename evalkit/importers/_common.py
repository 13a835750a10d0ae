"""What importers share: which models of which files are meant, and which companions they have."""

from __future__ import annotations

from collections.abc import Sequence
from statistics import NormalDist

from pydantic import TypeAdapter, ValidationError

from evalkit import data
from evalkit.core import Finding
from evalkit.core.figures import Measured, Method
from evalkit.core.specs import Name
from evalkit.errors import DataError, did_you_mean

__all__ = [
    "few",
    "named_rows",
    "normal_interval",
    "pairs_of",
    "pick_models",
    "remark",
    "require_name",
]

_NAME: TypeAdapter[str] = TypeAdapter(Name)


def pick_models(stored: Sequence[str], wanted: Sequence[str]) -> list[tuple[int, str]]:
    """(index into `stored`, name to give it) of the models that are meant.

    Without `wanted` all, as they are called; names of the files pick, in the order wanted; else as
    many names as there are models rename them in order.

    Raises:
        DataError: neither, or a name that cannot be a model's.
    """
    picked = _picked(stored, wanted)
    for _, name in picked:
        require_name(name)
    return picked


def require_name(name: str) -> None:
    """Raises DataError where a suite could not call a model `name`."""
    if not name:
        raise DataError("the evidence does not say which model it is of; name it with --model NAME")
    try:
        _NAME.validate_python(name)
    except ValidationError as error:
        raise DataError(
            f"a model cannot be called {name!r}: expected up to 120 characters without : / \\ and "
            f"comma, and no space or dot in front; give another name with --model NAME"
        ) from error


def _picked(stored: Sequence[str], wanted: Sequence[str]) -> list[tuple[int, str]]:
    twice = next((name for name in wanted if list(wanted).count(name) > 1), None)
    if twice is not None:
        raise DataError(
            f"--model {twice!r} is given twice: two models under one name would be mixed; give "
            f"each a name of its own"
        )
    if not wanted:
        repeated = {name for name in stored if stored.count(name) > 1}
        if repeated:
            raise DataError(
                f"several files hold a model called {sorted(repeated)[0]!r}; give each a name of "
                f"its own with --model, in the order of the files"
            )
        return list(enumerate(stored))
    if all(list(stored).count(name) == 1 for name in wanted):
        return [(list(stored).index(name), name) for name in wanted]
    if len(wanted) == len(stored):
        return list(enumerate(wanted))
    unknown = next((name for name in wanted if name not in stored), wanted[0])
    raise DataError(
        f"no model {unknown!r} in the evidence, which has {', '.join(map(repr, stored))}"
        f"{did_you_mean(unknown, stored)}  Pick by these names, or rename all by giving as many "
        f"names as there are models ({len(stored)})"
    )


def pairs_of(
    stored: Sequence[str], companions: Sequence[data.Dataset], name_field: str
) -> list[data.Dataset | None]:
    """The companion file of each model: the one that names it, else by position if as many.

    Raises:
        DataError: a companion belongs to none of the models.
    """
    left = list(companions)
    found: list[data.Dataset | None] = [None] * len(stored)
    for index, name in enumerate(stored):
        for companion in left:
            if any(str(row.get(name_field)) == name for row in companion.records[:1]):
                found[index] = companion
                left.remove(companion)
                break
    open_places = [i for i, one in enumerate(found) if one is None]
    if left and len(left) != len(open_places):
        raise DataError(
            f"{left[0].path}: holds answers of none of {', '.join(map(repr, stored))}; "
            f"give one file for each model, in their order"
        )
    for index, companion in zip(open_places, left, strict=False):
        found[index] = companion
    return found


def few(values: Sequence[object], n: int = 3) -> str:
    """The first few, in words."""
    shown = ", ".join(str(v) for v in values[:n])
    return shown if len(values) <= n else f"{shown} and {len(values) - n} more"


def named_rows(n: int) -> str:
    """`1 row`, `2 rows`."""
    return "1 row" if n == 1 else f"{n} rows"


def remark(code: str, message: str) -> Finding:
    """Something worth knowing that does not damage the figures."""
    return Finding(code, message, damaged=False)


def normal_interval(
    point: float | None, error: float | None, *, n: int, level: float, method: Method
) -> Measured:
    """A number that someone states, with a normal interval where its standard error is known.

    `n`: scores in it; 0 where that is not known.
    """
    low = high = None
    if point is not None and error is not None:
        half = NormalDist().inv_cdf((1 + level) / 2) * error
        low, high = point - half, point + half
    return Measured(point, error, low, high, level, n, n, 0, method)

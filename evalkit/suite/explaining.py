"""What pydantic found wrong, in the words of a suite: value, expectation, nearest name."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from typing import Any, get_args

from pydantic import BaseModel, ValidationError

from evalkit.core import Json
from evalkit.suite.reading import Blank, FieldPath
from evalkit.suite.wording import choices_hint, nearest, shown

__all__ = ["explanations"]


def explanations(
    error: ValidationError, cls: type[BaseModel], value: Json
) -> Iterator[tuple[FieldPath, str]]:
    """Each place that is wrong, once, with everything that could stand there.

    Args:
        error: what `cls.model_validate(value)` raised.
        cls: the spec `value` should have been.
        value: what was written.
    """
    grouped: dict[FieldPath, list[str]] = {}
    inputs: dict[FieldPath, Json] = {}
    for detail in error.errors(include_url=False):
        loc = _real(detail["loc"], value)
        if isinstance(detail["input"], Blank):
            continue
        special = _special(detail, cls, loc)
        if special is not None:
            yield loc, special
            continue
        expectation = _expectation(detail, loc)
        if expectation not in grouped.setdefault(loc, []):
            grouped[loc].append(expectation)
        inputs[loc] = detail["input"]
    for loc, expectations in grouped.items():
        yield loc, f"{shown(inputs[loc])}; expected {' or '.join(expectations)}"


def _real(loc: Sequence[str | int], value: Json) -> FieldPath:
    """Pydantic's location without what is not in the file: union branches, `[key]`."""
    path: FieldPath = ()
    for step in loc:
        in_mapping = isinstance(value, dict) and step in value
        in_list = isinstance(value, list | tuple) and isinstance(step, int) and step < len(value)
        if in_mapping or in_list:
            value = value[step]
            path = (*path, step)
        elif isinstance(value, dict) and step == loc[-1] and step != "[key]":
            return (*path, step)
        else:
            break
    return path


def _special(detail: Any, cls: type[BaseModel], loc: FieldPath) -> str | None:
    """Messages that do not begin with the value."""
    kind = detail["type"]
    if kind == "missing":
        return f"missing; write `{loc[-1]}` ({_about(cls, loc)})"
    if kind == "extra_forbidden":
        owner = _model_at(cls, loc[:-1])
        fields = list(owner.model_fields) if owner else []
        return f"unknown field {str(loc[-1])!r}{choices_hint(loc[-1], fields)}"
    if kind in ("too_short", "string_too_short"):
        return f"is empty; expected {_about(cls, loc)}"
    if kind in ("value_error", "assertion_error"):
        return str(detail["msg"]).split(", ", maxsplit=1)[-1]
    if detail["loc"] and detail["loc"][-1] == "[key]":
        return f"the name {shown(detail['input'])} cannot be used; expected {_NAME}"
    return None


_NAME = (
    "1 to 120 characters without colon, comma or slash, no dot at the start, no space at either end"
)
_EXPECTED = {
    "string_type": "text",
    "bool_type": "true or false",
    "bool_parsing": "true or false",
    "int_type": "a whole number",
    "int_parsing": "a whole number",
    "int_from_float": "a whole number",
    "float_type": "a number",
    "float_parsing": "a number",
    "dict_type": "a mapping (name: value)",
    "model_type": "a mapping (name: value)",
    "list_type": "a list ([one, two])",
    "tuple_type": "a list ([one, two])",
    "none_required": "nothing",
    "string_unicode": "text that UTF-8 can hold",
    "string_pattern_mismatch": _NAME,
}


def _expectation(detail: Any, loc: FieldPath) -> str:
    kind, value = detail["type"], detail["input"]
    if kind == "string_type" and isinstance(value, int | float):
        return "text (put it in quotes)"
    if kind in ("literal_error", "enum"):
        return _choice(value, re.split(r", | or ", str(detail["ctx"]["expected"])))
    if kind == "string_pattern_mismatch" and loc[-1:] != ("name",):
        return f"text that matches {detail['ctx']['pattern']}"
    expected = str(detail["msg"]).removeprefix("Input should be ")
    if expected.startswith(("greater", "less")):
        return f"a number {expected}"
    return _EXPECTED.get(kind) or expected


def _choice(value: Json, choices: Sequence[str]) -> str:
    near = nearest(value, [c.strip("'") for c in choices])
    listed = choices[0] if len(choices) == 1 else f"one of {', '.join(choices)}"
    return listed + (f" (did you mean {near!r}?)" if near else "")


def _about(cls: type[BaseModel], loc: FieldPath) -> str:
    """What a field is, from its documentation."""
    owner = _model_at(cls, loc[:-1])
    info = owner.model_fields.get(str(loc[-1])) if owner and loc else None
    text = info.description if info and info.description else "a value"
    text = " ".join(text.rstrip(".").split())
    return text[0].lower() + text[1:] if text[1:2].islower() else text


def _model_at(cls: type[BaseModel], loc: FieldPath) -> type[BaseModel] | None:
    """The model class that holds the field `loc` leads to."""
    annotation: Any = cls
    for step in loc:
        model = _model_in(annotation)
        if model is not None and step in model.model_fields:
            annotation = model.model_fields[str(step)].annotation
    return _model_in(annotation)


def _model_in(annotation: Any) -> type[BaseModel] | None:
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return annotation
    return next((m for a in get_args(annotation) if (m := _model_in(a)) is not None), None)

"""A card's `model-index` changed in its text, without touching more.

The YAML is never written anew.  Its nodes know where in the text they stand, so evalkit's entries
are cut out and put in, and every other character (comments, quotes, order, line ends) stays.
Afterwards the new text is read again: what is not evalkit's must be as it was.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, TypeAlias

from evalkit.card import yaml_text
from evalkit.card.front_matter import LINE_END, Parts, load
from evalkit.card.index import identity, is_ours
from evalkit.core import Json
from evalkit.errors import CardError

__all__ = ["with_results"]

_INDEX = "model-index"
_Span: TypeAlias = tuple[int, int, tuple[int, ...]]
"""Where entries begin and end, and their indices."""
Node: TypeAlias = Any
"""A node of PyYAML's, whose type stubs lack half of its fields."""


def with_results(
    parts: Parts,
    name: str,
    results: Sequence[Json],
    places: Mapping[int, int] | None = None,
) -> tuple[Parts, dict[str, Json]]:
    """The card with `results` as evalkit's entries of the model `name`, and its front matter.

    Earlier entries of evalkit's are replaced where they stood; all else stays as it is.

    Args:
        parts: The card.
        name: A model of its index, or a new one where it has none.
        results: Evalkit's entries; empty takes the earlier ones out.
        places: By index of another's entry: that of the result which takes its place.

    Raises:
        CardError: the front matter cannot be read, or cannot be changed in place.
    """
    old = load(parts.yaml)
    edit = _Edit(parts.yaml, parts.line_end)
    found = _field(edit.root, _INDEX, "front matter")
    if found is None:
        _append(edit, name, results)
    else:
        _change(edit, found, _New(name, results, places or {}), old.get(_INDEX))
    new = _placed(parts, edit.text())
    data = load(new.yaml)
    _require_kept(old, data, _New(name, results, places or {}))
    return new, data


@dataclass(frozen=True)
class _New:
    """What is to be written."""

    name: str
    """Of the model."""
    results: Sequence[Json]
    places: Mapping[int, int]

    def is_replaced(self, i: int, result: Json) -> bool:
        """Whether an entry of the card makes room."""
        return is_ours(result) or i in self.places


def _placed(parts: Parts, yaml_: str) -> Parts:
    if parts.opening:
        return Parts(parts.before, parts.opening, yaml_, parts.closing, parts.body)
    end = parts.line_end
    return Parts(parts.before, f"---{end}", yaml_, f"{end}---{end}", parts.body)


# --- where things stand -------------------------------------------------------------------------


class _Edit:
    """Replacements in a text, made all at once."""

    def __init__(self, source: str, line_end: str) -> None:
        import yaml

        self.source, self.line_end = source, line_end
        self._cuts: list[tuple[int, int, str]] = []
        root: Any = yaml.compose(source, Loader=yaml.SafeLoader)
        self.root: Node = root
        if isinstance(root, yaml.ScalarNode):
            raise CardError(
                f"front matter: {source.strip()!r:.80}; expected fields by name (license: mit), or "
                f"nothing"
            )
        if root is not None and root.flow_style:
            raise CardError(
                "front matter: written in braces; write one field a line, then try again"
            )
        self._refuse_aliases()

    def _refuse_aliases(self) -> None:
        import yaml

        found = _field(self.root, _INDEX, "front matter")
        if found is None:
            return
        assert self.root is not None
        later = [k.start_mark.index for k, _ in self.root.value]
        start = found[0].start_mark.index
        end = min((i for i in later if i > start), default=len(self.source))
        inside = range(start, end)
        if "*" not in self.source[start:end]:
            return
        events: Iterator[Any] = yaml.parse(self.source, Loader=yaml.SafeLoader)
        for event in events:
            mark: Any = event.start_mark
            if isinstance(event, yaml.AliasEvent) and mark.index in inside:
                raise CardError(
                    f"{_INDEX}: line {mark.line + 1} refers to an anchor "
                    f"(*{event.anchor}); write it out, then try again"
                )

    def replace(self, start: int, end: int, text: str) -> None:
        """Put `text`, whose lines end with line feeds, in place of a part of the source."""
        self._cuts.append((start, end, text.replace("\n", self.line_end)))

    def text(self) -> str:
        made, at = [], 0
        for start, end, text in sorted(self._cuts):
            made += [self.source[at:start], text]
            at = end
        return "".join([*made, self.source[at:]])

    def line_of(self, index: int) -> int:
        """Where the line of a position begins."""
        found = [m.end() for m in LINE_END.finditer(self.source, 0, index)]
        return found[-1] if found else 0

    def rest_of_line(self, index: int) -> int:
        """Where the line of a position ends, before its line end."""
        found = LINE_END.search(self.source, index)
        return len(self.source) if found is None else found.start()

    def next_line(self, index: int) -> int:
        """Where the line after a position begins, or the text's end."""
        found = LINE_END.search(self.source, index)
        return len(self.source) if found is None else found.end()

    def last(self, node: Node) -> int:
        """Where a node's own text ends: a block scalar's mark stands after blank lines."""
        end = _end(node)
        return len(self.source[:end].rstrip(" \r\n"))


def _end(node: Node) -> int:
    """End of a node's last leaf: a block's own mark stands after the comments below it."""
    import yaml

    if isinstance(node, yaml.ScalarNode) or node.flow_style or not node.value:
        return int(node.end_mark.index)
    last = node.value[-1]
    return _end(last[1] if isinstance(node, yaml.MappingNode) else last)


def _field(node: Node, name: str, where: str) -> tuple[Node, Node] | None:
    """Key and value of a mapping's field."""
    import yaml

    if not isinstance(node, yaml.MappingNode):
        return None
    found = [(key, value) for key, value in node.value if key.value == name]
    if len(found) > 1:
        line = found[1][0].start_mark.line + 1
        raise CardError(f"{where}: {name!r} stands there twice, again in line {line}; keep one")
    return found[0] if found else None


# --- changes ------------------------------------------------------------------------------------


def _append(edit: _Edit, name: str, results: Sequence[Json]) -> None:
    model = {_INDEX: [{"name": name, "results": list(results)}]}
    text = yaml_text.block(model).rstrip("\n")
    end = len(edit.source)
    edit.replace(end, end, f"\n{text}" if edit.source else text)


def _change(edit: _Edit, field: tuple[Node, Node], new: _New, old: Json) -> None:
    import yaml

    name, results = new.name, new.results
    node = field[1]
    if not old:
        _fill(edit, field, [{"name": name, "results": list(results)}], _column(field[0]))
        return
    if not isinstance(node, yaml.SequenceNode) or not isinstance(old, list):
        raise CardError(f"{_INDEX}: {old!r:.80}; expected a list with one model")
    for item, model in zip(node.value, old, strict=True):
        if isinstance(model, Mapping) and model.get("name") == name:
            _change_model(edit, item, model, new)
            return
    raise CardError(f"{_INDEX}: has no model {name!r}")


def _change_model(edit: _Edit, item: Node, model: Mapping[str, Json], new: _New) -> None:
    results = new.results
    field = _field(item, "results", f"{_INDEX} of {model.get('name')!r}")
    old = model.get("results")
    if field is None:
        _add_results(edit, item, results)
    elif old and not isinstance(old, list):
        raise CardError(f"{_INDEX} of {model.get('name')!r}: {old!r:.80}; expected a list")
    elif not old:
        _fill(edit, field, list(results), _column(field[0]), flow=bool(item.flow_style))
    elif field[1].flow_style:
        _splice_flow(edit, field[1], old, new)
    else:
        _splice_block(edit, field, old, new)


def _column(key: Node) -> int:
    return int(key.start_mark.column)


def _add_results(edit: _Edit, item: Node, results: Sequence[Json]) -> None:
    if item.flow_style:
        at = item.value[-1][1].end_mark.index
        edit.replace(at, at, f", results: {yaml_text.flow(list(results))}")
        return
    at = edit.rest_of_line(edit.last(item))
    column = _column(item.value[0][0])
    text = yaml_text.block({"results": list(results)}, column).rstrip("\n")
    edit.replace(at, at, f"\n{text}")


def _fill(
    edit: _Edit, field: tuple[Node, Node], value: list[Json], column: int, *, flow: bool = False
) -> None:
    """A list in place of nothing or an empty one; a comment behind it stays behind the key."""
    key, node = field
    colon = edit.source.index(":", key.end_mark.index) + 1
    if flow or not value:
        edit.replace(colon, max(colon, node.end_mark.index), f" {yaml_text.flow(value)}")
        return
    end = max(colon, node.end_mark.index)
    if edit.source[colon:end].strip():
        edit.replace(colon, end, "")
    at = edit.rest_of_line(end)
    edit.replace(at, at, "\n" + yaml_text.block(value, column).rstrip("\n"))


def _splice_flow(edit: _Edit, node: Node, old: Sequence[Json], new: _New) -> None:
    text = ", ".join(yaml_text.flow(result) for result in new.results)
    ours = [i for i, result in enumerate(old) if new.is_replaced(i, result)]
    items = node.value
    if not ours:
        at = items[-1].end_mark.index
        edit.replace(at, at, f", {text}" if text else "")
        return
    for i in ours:
        start, end = items[i].start_mark.index, items[i].end_mark.index
        if i == ours[0] and text:
            edit.replace(start, end, text)
        elif i > 0:
            edit.replace(items[i - 1].end_mark.index, end, "")
        else:
            following = items[i + 1].start_mark.index if len(items) > 1 else end
            edit.replace(start, following, "")


def _splice_block(edit: _Edit, field: tuple[Node, Node], old: Sequence[Json], new: _New) -> None:
    node, results = field[1], new.results
    ours = [i for i, result in enumerate(old) if new.is_replaced(i, result)]
    if not ours:
        text = yaml_text.block(list(results), node.start_mark.column) if results else ""
        at = edit.rest_of_line(edit.last(node))
        edit.replace(at, at, f"\n{text}".rstrip("\n"))
        return
    if not results and len(ours) == len(old):
        colon = edit.source.index(":", field[0].end_mark.index) + 1
        edit.replace(colon, colon, " []")
    spans = _joined([(*_span(edit, node, i), (i,)) for i in ours])
    for (start, end, _), own in zip(spans, _by_span(spans, old, new), strict=True):
        text = yaml_text.block(own, node.start_mark.column) if own else ""
        if text:  # the last line keeps the end it has
            edit.replace(start, _without_end(edit, end), text.rstrip("\n"))
        elif end == len(edit.source) and not edit.source[start:end].endswith(("\n", "\r")):
            edit.replace(_without_end(edit, start), end, "")
        else:
            edit.replace(start, end, "")


def _joined(spans: Sequence[_Span]) -> list[_Span]:
    """Spans of which one begins where another ends, as one."""
    made: list[_Span] = []
    for start, end, members in spans:
        if made and made[-1][1] == start:
            made[-1] = made[-1][0], end, (*made[-1][2], *members)
        else:
            made.append((start, end, members))
    return made


def _by_span(spans: Sequence[_Span], old: Sequence[Json], new: _New) -> list[list[Json]]:
    """The new entries where those of the same data stood, others after the one before them."""
    home: dict[str, int] = {}
    for n, (_, _, members) in enumerate(spans):
        for i in members:
            known = new.results[new.places[i]] if i in new.places else old[i]
            home.setdefault(_identity(known), n)
    made: list[list[Json]] = [[] for _ in spans]
    at = 0
    for result in new.results:
        at = home.get(_identity(result), at)
        made[at].append(result)
    return made


def _identity(result: Json) -> str:
    try:
        return repr(identity(result))
    except (KeyError, TypeError, AttributeError):
        return ""


def _without_end(edit: _Edit, at: int) -> int:
    """Position before the line end that stands before `at`; `at` where none does."""
    found = re.search(r"(\r\n|\r|\n)\Z", edit.source[:at])
    return at if found is None else found.start()


def _span(edit: _Edit, node: Node, i: int) -> tuple[int, int]:
    """An item of a block list, from the line of its dash to the end of its last line."""
    column = node.start_mark.column
    start = edit.line_of(node.value[i].start_mark.index)
    first = edit.line_of(node.start_mark.index)
    while start > first and not re.match(rf" {{{column}}}-(?:\s|$)", edit.source[start:]):
        start = edit.line_of(start - 1)
    return start, edit.next_line(edit.last(node.value[i]))


# --- what must not change -----------------------------------------------------------------------


def _require_kept(old: Mapping[str, Json], made: Mapping[str, Json], new: _New) -> None:
    """A safety net: no way of writing YAML may make an edit change what is not evalkit's."""
    written = [
        r for m in _models(made) if m.get("name") == new.name for r in _results(m) if is_ours(r)
    ]
    # By their text: a foreign NaN equals itself there.
    kept = repr(_foreign(old, new)) == repr(_foreign(made, _New(new.name, (), {})))
    if not kept or sorted(map(repr, written)) != sorted(map(repr, new.results)):
        raise CardError(
            f"{_INDEX}: this way of writing it cannot be changed in place without changing more; "
            f"write it in block style (one field a line), then try again"
        )


def _foreign(data: Mapping[str, Json], new: _New) -> Any:
    models: list[Mapping[str, Json]] = []
    places = new.places  # of the first model of that name alone
    for model in _models(data):
        if model.get("name") == new.name:
            gone = _New(new.name, (), places)
            left = [r for i, r in enumerate(_results(model)) if not gone.is_replaced(i, r)]
            models.append({**model, "results": left})
            places = {}
        else:
            models.append(model)
    empty = {"name": new.name, "results": []}
    return {k: v for k, v in data.items() if k != _INDEX}, [m for m in models if m != empty]


def _models(data: Mapping[str, Json]) -> Iterator[Mapping[str, Json]]:
    found = data.get(_INDEX)
    yield from (m for m in (found or ()) if isinstance(m, Mapping))


def _results(model: Mapping[str, Json]) -> list[Json]:
    found = model.get("results")
    return found if isinstance(found, list) else []

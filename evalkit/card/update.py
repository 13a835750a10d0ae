"""A real card brought up to date in place: its `model-index` and its marked parts, nothing else.

    <!-- evalkit:chat -->        the chat table
    <!-- evalkit:academic -->    the academic tables
    <!-- evalkit:all -->         both
    <!-- evalkit:results -->     tables, statements, settings

Each ends with its own `<!-- /evalkit:... -->`, on a line of its own as the beginning is.  A card
without markers gets one `results` part below its heading on results, else at its end.

Of the front matter the lines of `model-index` are written anew, by a round trip through ruamel.yaml
that keeps comments; every other byte stays, and all of it where the index says the same already.
An entry of the card's author that is the same measurement with the same value becomes evalkit's,
unless it is more precise or measured at first hand and evalkit's is neither; one with another value
stays, and evalkit's is not written beside it.
"""

from __future__ import annotations

import difflib
import io
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal, cast, get_args

from evalkit import catalogue
from evalkit.card import checks
from evalkit.card.checks import Parts, line_end_of
from evalkit.card.write import Card, Part, plain_yaml
from evalkit.comparison.model_names import model_key
from evalkit.core.requests import Json
from evalkit.draw import one_line, visible
from evalkit.draw.numbers import Printed, read_number
from evalkit.errors import CardError, Problem
from evalkit.formats.model_index import identity, is_ours

__all__ = ["Updated", "update"]


@dataclass(frozen=True)
class Updated:
    """What an update makes of a card."""

    old: str
    new: str
    notes: tuple[str, ...]
    """What was left out of the index, or is wrong with what others wrote."""

    @property
    def is_stale(self) -> bool:
        """Whether the card differs from what the runs say."""
        return self.old != self.new

    def diff(self, name: str) -> str:
        """What changes, as a unified diff; empty where nothing does."""
        # At line feeds alone: other characters that end lines are part of a card's text.
        old, new = (re.findall(r"[^\n]*\n|[^\n]+\Z", text) for text in (self.old, self.new))
        made = difflib.unified_diff(old, new, f"a/{name}", f"b/{name}")
        return "".join(
            line if line.endswith("\n") else f"{line}\n\\ No newline at end of file\n"
            for line in made
        )


def update(text: str, card: Card, *, named: bool = False, other_model: bool = False) -> Updated:
    """The card `text` with the index entries and marked parts of `card`.

    Args:
        text: A whole card, with front matter or without.
        card: What the runs say.
        named: The card's name in the index was given (`--name`), and is not to be kept as it is.
        other_model: Whose figures they are was said (`--model`), so that the card's own name may
            be another one.

    Raises:
        CardError: the card cannot be read or changed in place, it is another model's, or the hub
            would refuse or lose something of what is written.
    """
    parts = checks.split(text)
    old = checks.load(parts.yaml)
    name = _name(old.get("model-index"), parts.body, card, named=named, other_model=other_model)
    known = _problems(old, parts.yaml)
    settled = settle(card.index.results, _entries(old.get("model-index"), name))
    yaml_ = _with_results(parts, name, settled, card)
    made = checks.load(yaml_)
    others = [{k: v for k, v in data.items() if k != "model-index"} for data in (old, made)]
    if parts.opening and others[0] != others[1]:
        raise CardError(
            "front matter: the model-index cannot be changed there without changing more; write "
            "it in block style, below a line `model-index:` of its own, then try again"
        )
    before = {_placeless(p) for p in known}
    found = [p for p in _problems(made, yaml_) if _placeless(p) not in before]
    checks.require(found, "the card")
    opening, closing = parts.opening, parts.closing
    if not opening:
        opening, closing = f"---{parts.line_end}", f"{parts.line_end}---{parts.line_end}"
    elif not closing.endswith("\n"):
        closing += parts.line_end
    lines_above = (parts.before + parts.opening + parts.yaml + parts.closing).count("\n")
    body = _filled(parts.body, card.part, lines_above, line_end_of(parts.body, parts.line_end))
    notes = [f"not in the index: {why}" for why in (*card.index.left_out, *settled.left_out)]
    notes += [f"taken over: {note}" for note in settled.taken_over]
    notes += [f"was there before: {problem}" for problem in known]
    new = str(Parts(parts.before, opening, yaml_, closing, body))
    return Updated(text, new, tuple(notes))


def _placeless(problem: Problem) -> str:
    """What a problem is, wherever the entries before it have moved it."""
    return re.sub(r"\[\d+\]", "[]", problem.message)


def _problems(data: Mapping[str, Json], text: str) -> list[Problem]:
    if not data.get("model-index"):
        return []
    return checks.check_front_matter(data, len(text.encode("utf-8", "surrogatepass")))


# --- whose card it is -----------------------------------------------------------------------------

_TITLE = re.compile(r"^ {0,3}#\s+(?P<title>.+?)(?:\s+#+)?\s*$", re.MULTILINE)


def _name(index: Json, body: str, card: Card, *, named: bool, other_model: bool) -> str:
    """The name that the index has for the model, or is to have.

    Raises CardError where the card is another model's, and nobody said that it is the same.
    """
    models = [m for m in index if isinstance(m, Mapping)] if isinstance(index, list) else []
    names = [str(m.get("name")) for m in models]
    mine, runs = card.material.candidate, card.material.runs
    said = dict.fromkeys(n for m in models for n in _said_models(m.get("results")))
    if said and mine not in said and not named:
        raise CardError(
            f"model-index: evalkit's entries there are of {', '.join(map(repr, said))}, the "
            f"figures of {mine!r}; give runs of that one, or --model {next(iter(said))!r}; if both "
            f"are one model, say so: --name {(names or [card.name])[0]!r}"
        )
    if card.name in names or (named and not names):
        return card.name
    if named:
        raise CardError(
            f"model-index: of {', '.join(map(repr, names))}, the figures are of {card.name!r}; an "
            f"index holds one model: name the one that is there, --name {names[0]!r}"
        )
    if len(names) > 1:
        raise CardError(
            f"model-index: {len(names)} models ({', '.join(map(repr, names))}), of which an index "
            f"holds one; name the one to change with --name {names[0]!r}"
        )
    title = _TITLE.search(body)
    whose = names[0] if names else title["title"] if title is not None else ""
    others = {f.model for run in runs for f in run.figures} - {mine}
    is_other = whose in others or model_key(whose) in {model_key(o) for o in others} - {()}
    ours = (mine, card.name, *_repositories(card))
    is_mine = whose in ours or model_key(whose) in {model_key(n) for n in ours} - {()}
    if names and not other_model and mine not in said and not is_mine:
        raise CardError(
            f"the card is of {whose!r}, the figures are of {mine!r}; if that is this model, say "
            f"so: --model {mine!r}"
        )
    if is_other and not other_model and mine not in said:
        raise CardError(
            f"the card is of {whose!r}, which is another model of the runs than {mine!r}; write "
            f"its own figures with --model {whose!r}, or say whose they are with --model {mine!r}"
        )
    return names[0] if names else card.name


def _repositories(card: Card) -> Iterator[str]:
    for run in card.material.runs:
        entry = run.model(card.material.candidate)
        for place in (entry.provenance.source, entry.provenance.adapter) if entry else ():
            if isinstance(place, Mapping) and place.get("repo"):
                yield str(place["repo"])


def _said_models(results: Json) -> Iterator[str]:
    """Models that evalkit's own entries say they are of."""
    for result in results if isinstance(results, list) else ():
        for metric in result["metrics"] if is_ours(result) else ():
            if isinstance(metric["args"].get("model"), str):
                yield metric["args"]["model"]


def _entries(index: Json, name: str) -> list[Json]:
    """What the card's index has of a model; the first of that name is the one that is changed."""
    for model in index if isinstance(index, list) else ():
        if isinstance(model, Mapping) and model.get("name") == name:
            results = model.get("results")
            return results if isinstance(results, list) else []
    return []


# --- evalkit's entries beside others' -------------------------------------------------------------


@dataclass(frozen=True)
class Measurement:
    """One metric of an index, read: of which data, by which metric, what value."""

    data: str
    """The data set by today's identifier, or what there is of a name."""
    is_known: bool
    place: tuple[str | None, ...]
    """Config, split and revision."""
    name: str
    """The data set's name for people, without its shots, letters and digits alone."""
    shots: int | None
    metric: str
    variant: str
    printed: Printed
    first_hand: bool
    """Not quoted from someone else, as far as it says."""
    said: str


@dataclass(frozen=True)
class Settled:
    """Which of evalkit's entries are written, and where."""

    results: tuple[dict[str, Json], ...]
    places: Mapping[int, int]
    """By index of an entry of the card: the index in `results` of the one that takes its place."""
    left_out: tuple[str, ...]
    """Why others are not written, a sentence each."""
    taken_over: tuple[str, ...]
    """What stands in other entries' place, a sentence each."""


def settle(ours: Sequence[dict[str, Json]], card: Sequence[Json]) -> Settled:
    """Hold evalkit's new entries against those of a card: never the same measurement twice."""
    matches = [[i for i, e in enumerate(card) if _meet(e, one)] for one in ours]
    written: list[dict[str, Json]] = []
    places: dict[int, int] = {}
    left_out: list[str] = []
    taken_over: list[str] = []
    for one, found in zip(ours, matches, strict=True):
        open_ = [i for i in found if i not in places]
        if len(open_) == 1 and _is_covered(card[open_[0]], one):
            places[open_[0]] = len(written)
            pairs = _pairs(card[open_[0]], one)
            was, now = (", ".join(pair[n].said for pair in pairs) for n in (0, 1))
            taken_over.append(
                f"{was}: the same measurement as {now}, which is written in its place"
            )
        elif open_:
            said = ", ".join(t.said for t in measurements(card[open_[0]])) or "an entry"
            agrees = any(likeness(t, o) for t, o in _pairs(card[open_[0]], one))
            why = (
                "as its author's own figure, or more precisely" if agrees
                else "that says otherwise, and the hub keeps one; remove it to have evalkit's"
            )  # fmt: skip
            name = one["dataset"]["name"]
            left_out.append(f"{name}: the card has an entry of that data set ({said}) {why}")
            continue
        written.append(one)
    return Settled(tuple(written), places, tuple(left_out), tuple(taken_over))


def _meet(theirs: Json, ours: Mapping[str, Json]) -> bool:
    """Whether someone else's entry and evalkit's cannot both stand."""
    if is_ours(theirs):
        return False
    return _identity_of(theirs) == identity(ours) or bool(_pairs(theirs, ours))


def _pairs(theirs: Json, ours: Json) -> list[tuple[Measurement, Measurement]]:
    known = measurements(ours)
    return [(t, o) for t in measurements(theirs) for o in known if _same_measure(t, o)]


def _is_covered(theirs: Json, ours: Mapping[str, Json]) -> bool:
    """Whether evalkit's entry says all that someone else's does, with values as good."""
    metrics = theirs.get("metrics")
    if not isinstance(metrics, list):
        return False
    if any(isinstance(m, Mapping) and m.get("verifyToken") for m in metrics):
        return False  # the hub vouches for what it says
    pairs = _pairs(theirs, ours)
    agreed = [
        t for t, o in pairs
        if likeness(t, o) is not None and (o.first_hand or not _is_finer(t, o))
        and (o.first_hand or not t.first_hand or "source" in theirs)
    ]  # fmt: skip
    read = measurements(theirs)
    return bool(agreed) and len(read) == len(metrics) and all(t in agreed for t in read)


def _is_finer(a: Measurement, b: Measurement) -> bool:
    return a.printed.significant_digits > b.printed.significant_digits


def measurements(result: Json) -> list[Measurement]:
    """Every figure of an entry; none where it is no entry that the hub would read."""
    if not isinstance(result, Mapping):
        return []
    data, metrics = result.get("dataset"), result.get("metrics")
    if not isinstance(data, Mapping) or not isinstance(metrics, list):
        return []
    found = (_measurement(data, m) for m in metrics if isinstance(m, Mapping))
    return [one for one in found if one is not None]


_PUNCTUATION = re.compile(r"[\W_]+")
_SHOT = re.compile(r"\(?\b(\d+)[- ]?shots?\b\)?", re.IGNORECASE)
_ASIDE = re.compile(r"\((?P<variant>[^)]*)\)")
_TELLING = 4
"""Digits at which two equal values are no chance."""


def _measurement(data: Mapping[str, Json], metric: Mapping[str, Json]) -> Measurement | None:
    value = metric.get("value")
    if isinstance(value, bool) or not isinstance(value, int | float | str):
        return None
    printed = read_number(str(value).lstrip("-"))
    if printed is None:
        return None
    kind, name = str(data.get("type") or ""), str(data.get("name") or "")
    is_named = kind in ("", "unknown")
    plain = _plain(_SHOT.sub("", name))
    benchmark = catalogue.by_name(_SHOT.sub("", name)) if is_named else None
    known = None if is_named else catalogue.hub_data_set(kind)
    known_id = known.id if known else benchmark.data.type if benchmark and benchmark.data else None
    given = data.get("args")
    shots = given.get("num_few_shot") if isinstance(given, Mapping) else None
    match = _SHOT.search(name)
    shots = shots if isinstance(shots, int) else int(match[1]) if match else None
    place = tuple(None if data.get(k) is None else str(data[k])
                  for k in ("config", "split", "revision"))  # fmt: skip
    words = [_ASIDE.sub("", str(metric.get(key) or "")) for key in ("type", "name")]
    named = [m.hub_type or m.name for w in words if (m := catalogue.metric_by_name(w))]
    found = (named or [_plain(w) for w in words if w and w != "unknown"] or [""])[0]
    # What the Open LLM Leaderboard called the metric of a data set.
    found = "exact_match" if (known_id, found) == ("openai/gsm8k", "acc") else found
    aside = _ASIDE.search(str(metric.get("name") or ""))
    args = metric.get("args")
    return Measurement(
        data=known_id or (plain if is_named else kind),
        is_known=known_id is not None,
        place=place,
        name=plain,
        shots=shots,
        metric=found,
        variant=_plain(aside["variant"]) if aside is not None else "",
        printed=printed,
        first_hand=not (isinstance(args, Mapping) and args.get("published")),
        said=f"{name if is_named else kind} {metric.get('type')} {value}",
    )


def _plain(text: str) -> str:
    return _PUNCTUATION.sub("", text).casefold()


def _same_measure(a: Measurement, b: Measurement) -> bool:
    """Whether two figures are of the same data by the same metric, so far as both say which."""
    if a.data != b.data:
        return False
    if not a.is_known:
        same_data = a.place == b.place and a.name == b.name
    else:
        same_data = all(x == y or None in (x, y) for x, y in zip(a.place, b.place, strict=True))
    alike = a.metric == b.metric and (not (a.variant and b.variant) or a.variant == b.variant)
    if not alike:
        digits = min(m.printed.significant_digits for m in (a, b))
        return same_data and likeness(a, b) is not None and digits >= _TELLING
    return same_data and (None in (a.shots, b.shots) or a.shots == b.shots)


def likeness(a: Measurement, b: Measurement) -> Literal["equal", "unit"] | None:
    """How two values agree within their last digits: as they are, or as share and percentage."""
    first, second = a.printed, b.printed
    room = (first.last_digit + second.last_digit) / 2 + 1e-9
    if abs(first.value - second.value) <= room:
        return "equal"
    share, percent = sorted((first, second), key=lambda p: p.value)
    room = (100 * share.last_digit + percent.last_digit) / 2 + 1e-9
    fits = abs(100 * share.value - percent.value) <= room
    return "unit" if 0 < share.value <= 1 and share.decimals >= 2 and fits else None


# --- the front matter -----------------------------------------------------------------------------


def _with_results(parts: Parts, name: str, settled: Settled, card: Card) -> str:
    """The YAML with evalkit's entries; as it was where it says the same already."""
    if not parts.opening:
        front = {**card.front, "model-index": [{"name": name, "results": list(settled.results)}]}
        return _ended(plain_yaml(front), parts.line_end).rstrip("\r\n")
    yaml, tree = _round_trip(parts.yaml)
    if tree is None:
        tree = yaml.map()
    index = tree.get("model-index")
    if index is not None and not isinstance(index, list):
        raise CardError(
            f"model-index: {index!r:.80}; expected a list with one model: correct it, then try "
            f"again"
        )
    had = "model-index" in tree
    index = [] if index is None else index
    model = next((m for m in index if isinstance(m, Mapping) and m.get("name") == name), None)
    if model is None:
        model = {"name": name, "results": []}
        index.append(model)
    theirs = model.get("results")
    entries = list(theirs) if isinstance(theirs, list) else []
    # As evalkit writes them in a new card, quotes included.
    fresh = yaml.load(plain_yaml(list(settled.results)))
    wanted = _placed(entries, settled, fresh)
    plain = [_data(e) for e in entries]
    if had and plain == [_data(e) for e in wanted] and isinstance(theirs, list):
        return parts.yaml
    _write_into(model, entries, wanted)
    tree["model-index"] = index
    return _spliced(parts, yaml, tree, had=had)


def _round_trip(text: str) -> tuple[Any, Any]:
    from ruamel.yaml import YAML
    from ruamel.yaml.error import YAMLError

    if odd := re.search("[\x85\u2028\u2029]", text):
        raise CardError(
            f"front matter: it holds the character U+{ord(odd[0]):04X}, which some readers of YAML "
            f"take for the end of a line; replace it, then try again"
        )
    yaml = YAML(typ="rt")
    yaml.preserve_quotes = True
    yaml.width = 10**9
    yaml.allow_unicode = True
    try:
        return yaml, yaml.load(text.replace("\r\n", "\n") + "\n")
    except (YAMLError, ValueError, TypeError, RecursionError, OverflowError) as error:
        raise CardError(
            f"front matter: {one_line(str(error), 300)}; correct it, then try again"
        ) from error


def _placed(entries: Sequence[Any], settled: Settled, fresh: Sequence[Any]) -> list[Any]:
    """Others' entries where they are, evalkit's where they were, new ones in their order."""
    new = settled.results
    by_identity = {
        repr(identity(r)): n for n, r in enumerate(new) if n not in settled.places.values()
    }
    kept: list[tuple[Any, int | None]] = []
    for i, entry in enumerate(entries):
        if i in settled.places:
            kept.append((fresh[settled.places[i]], settled.places[i]))
        elif not is_ours(_data(entry)):
            kept.append((entry, None))
        elif (n := by_identity.pop(repr(_identity_of(entry)), None)) is not None:
            kept.append((entry if _data(entry) == new[n] else fresh[n], n))
    there = {n for _, n in kept}
    for n in range(len(new)):
        if n not in there:
            later = (i for i, (_, other) in enumerate(kept) if other is not None and other > n)
            kept.insert(next(later, len(kept)), (fresh[n], n))
    return [entry for entry, _ in kept]


def _identity_of(entry: Json) -> Any:
    try:
        return identity(entry)
    except (KeyError, TypeError, AttributeError):
        return None


def _data(value: Any) -> Any:
    """Plain data of what ruamel holds."""
    if isinstance(value, Mapping):
        return {str(k): _data(v) for k, v in value.items()}
    if isinstance(value, list | tuple):
        return [_data(v) for v in value]
    for kind in (bool, int, float, str):
        if isinstance(value, kind):
            return kind(value)
    return value


def _write_into(model: Any, entries: Sequence[Any], wanted: Sequence[Any]) -> None:
    """Change a model's list of results in place, so that ruamel keeps the comments in it."""
    results = model.get("results")
    if not hasattr(results, "fa") or isinstance(
        results, Mapping
    ):  # nothing of the author's, or an index that is new
        model["results"] = list(wanted)
        return
    if wanted and not entries:
        results.fa.set_block_style()
    kept, there = {id(e) for e in wanted}, {id(e) for e in entries}
    for i, entry in enumerate(wanted):
        while i < len(results) and id(results[i]) not in kept and id(entry) in there:
            del results[i]
        if i < len(results) and results[i] is entry:
            continue
        if i < len(results) and id(results[i]) not in kept:
            _hand_over(results[i], entry)
            results[i] = entry
        else:
            results.insert(i, entry)
    del results[len(wanted) :]


def _hand_over(old: Any, new: Any) -> None:
    """The comment lines behind an entry are above the next: they stay where another replaces it."""
    (node, key), (into, at) = _last(old), _last(new)
    found = node.ca.items.get(key)
    token = next((part for part in found or () if part is not None), None)
    below = getattr(token, "value", "").partition("\n")[2]
    if below.strip() and token is not None:
        token.value = f"\n{below}"
        is_map = isinstance(into, Mapping)
        into.ca.items[at] = [None, None, token, None] if is_map else [token, None, None, None]


def _last(node: Any) -> tuple[Any, Any]:
    """The innermost block that ends an entry, and its last key."""
    while True:
        key = list(node)[-1] if isinstance(node, Mapping) else len(node) - 1
        inner: Any = node[key]
        if not hasattr(inner, "fa") or not inner or inner.fa.flow_style():
            return node, key
        node = inner


def _spliced(parts: Parts, yaml: Any, tree: Any, *, had: bool) -> str:
    """The YAML text with the lines of `model-index` written anew, everything else as it was."""
    text = parts.yaml.replace("\r\n", "\n")
    lines = text.split("\n")
    if tree.fa.flow_style():  # all of it in braces
        out = io.StringIO()
        tree.fa.set_block_style()
        yaml.dump(tree, out)
        return _ended(out.getvalue(), parts.line_end).rstrip("\r\n")
    if not had:
        made = plain_yaml({"model-index": _data(tree["model-index"])})
        return _ended(f"{text}\n{made}" if text else made, parts.line_end).rstrip("\r\n")
    first = tree.lc.key("model-index")[0]
    after = [tree.lc.key(k)[0] for k in tree if k != "model-index"]
    last = min((n for n in after if n > first), default=len(lines))
    out = io.StringIO()
    alone = type(tree)()
    alone["model-index"] = tree["model-index"]
    _set_indent(yaml, lines[first:last])
    yaml.dump(alone, out)
    made = out.getvalue()
    tail = lines[last:]
    block = made.rstrip("\n").split("\n")
    # Lines behind the block that ruamel did not take for part of it.
    behind = lines[first:last]
    while behind and not behind[-1].strip() and not (block and not block[-1].strip()):
        tail = [behind.pop(), *tail]
    return _ended("\n".join([*lines[:first], *block, *tail]), parts.line_end)


def _set_indent(yaml: Any, lines: Sequence[str]) -> None:
    """Lists as far in as the card has them."""
    dash = next((line for line in lines[1:] if line.lstrip().startswith("- ")), "- ")
    offset = len(dash) - len(dash.lstrip())
    yaml.indent(mapping=2, sequence=offset + 2, offset=offset)


def _ended(text: str, line_end: str) -> str:
    return text.replace("\n", line_end)


# --- marked parts ---------------------------------------------------------------------------------

_MARKER = re.compile(r" {0,3}<!--[ \t]*(?P<end>/?)[ \t]*evalkit:(?P<part>[^\s>]*)[ \t]*-->[ \t]*")
_FENCE = re.compile(r" {0,3}(?P<fence>`{3,}(?=[^`]*$)|~{3,})")
_LINE = re.compile(r"[^\r\n]*(?:\r\n|\r|\n|\Z)")
_HEADING = re.compile(r" {0,3}#{1,6}[ \t]+(?P<title>.*?)(?:[ \t]+#+)?[ \t]*")
_TITLES = (
    re.compile(r"(?:evaluation |benchmark )?results", re.IGNORECASE),
    re.compile(r"(?:model )?evaluations?(?: on .*)?", re.IGNORECASE),
    re.compile(r"(?:model )?performance|benchmarks?", re.IGNORECASE),
)
"""Headings below which results belong, the best first."""


@dataclass(frozen=True)
class _Line:
    number: int
    start: int
    end: int
    """Behind its line end."""
    text: str


def _filled(body: str, render: Callable[[Part], str], above: int, line_end: str) -> str:
    """The body with every marked part rendered anew.

    Raises:
        CardError: markers that do not fit, or a body that has no end.
    """
    places = _places(body, above)
    if not places:
        made = _inserted(body, render("results"), line_end)
        if not _places(made, above):
            raise CardError(
                "the card's body ends in a code block or comment that has no end; close it, then "
                "try again"
            )
        return made
    made, at = "", 0
    for part, start, end in places:
        made += body[at:start] + f"\n{render(part)}\n\n".replace("\n", line_end)
        at = end
    return made + body[at:]


def _places(body: str, above: int) -> list[tuple[Part, int, int]]:
    """(part, start, end) between each pair of markers; raises CardError where they do not fit."""
    found: list[tuple[Part, int, int]] = []
    opened: tuple[str, _Line] | None = None
    for line in _text_lines(body):
        match = _MARKER.fullmatch(line.text)
        if match is None:
            continue
        where = f"line {above + line.number}: {one_line(visible(line.text.strip()), 80)!r}"
        if match["part"] not in get_args(Part):
            raise CardError(f"{where}: no such part; expected one of {', '.join(get_args(Part))}")
        if not match["end"]:
            if opened is not None:
                raise CardError(
                    f"{where} begins inside of evalkit:{opened[0]}; end that first: "
                    f"<!-- /evalkit:{opened[0]} -->"
                )
            opened = match["part"], line
        elif opened is None or opened[0] != match["part"]:
            raise CardError(
                f"{where} ends what did not begin; put <!-- evalkit:{match['part']} --> before "
                f"it, or remove it"
            )
        else:
            found.append((cast("Part", opened[0]), opened[1].end, line.start))
            opened = None
    if opened is not None:
        raise CardError(
            f"line {above + opened[1].number}: <!-- evalkit:{opened[0]} --> has no end; put "
            f"<!-- /evalkit:{opened[0]} --> below it, on a line of its own"
        )
    return found


def _text_lines(body: str) -> Iterator[_Line]:
    """Lines outside of code blocks and of comments of several lines."""
    fence, in_comment = "", False
    for number, match in enumerate(_LINE.finditer(body), 1):
        if not match[0]:
            continue
        line = _Line(number, match.start(), match.end(), match[0].rstrip("\r\n"))
        code = _FENCE.match(line.text)
        if fence:
            if code and code["fence"].startswith(fence) and line.text.strip() == code["fence"]:
                fence = ""
        elif in_comment:
            in_comment = "-->" not in line.text
        elif code is not None:
            fence = code["fence"]
        else:
            in_comment = "<!--" in line.text and "-->" not in line.text.rpartition("<!--")[2]
            if not in_comment:
                yield line


def _inserted(body: str, text: str, line_end: str) -> str:
    part = f"<!-- evalkit:results -->\n\n{text}\n\n<!-- /evalkit:results -->\n"
    headings = [
        (re.sub(r"^[\W_]+|[\W_]+$", "", match["title"]), line)
        for line in _text_lines(body) if (match := _HEADING.fullmatch(line.text))
    ]  # fmt: skip
    for wanted in _TITLES:
        for title, line in headings:
            if wanted.fullmatch(title):
                before = "\n" if body[: line.end].endswith(("\n", "\r")) else "\n\n"
                added = f"{before}{part}".replace("\n", line_end)
                return body[: line.end] + added + body[line.end :]
    gap = "" if not body.strip() else "\n" if body.endswith(("\n", "\r")) else "\n\n"
    return body + f"{gap}## Evaluation\n\n{part}".replace("\n", line_end)

"""A model card from runs: front matter, what the model is, tables, statements, use, how measured.

    Material ─ Card ─┬─ front_matter     license, base, library, ... and the `model-index`
                     ├─ part("results")  what stands between the markers, and `update` writes anew
                     └─ text()           the whole card, or a user's Jinja template

Tables are set out as the community prints them: a row a model, the card's own in bold, at most
three footnotes; everything else is in a collapsed section on how it was measured.  A template sees,
as Markdown that is safe as it stands (whatever else it prints is escaped):

    model, front_matter, index (data), about, warnings, chat, academic (a list), statements (a
    list), refused, settings (a list), made_by (a list), use, results (all of the marked part)
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Any, Literal

from evalkit import catalogue
from evalkit.card import checks
from evalkit.comparison.contests import Options, contests
from evalkit.comparison.model_names import model_key
from evalkit.comparison.resolve import by_role, find, recorded
from evalkit.core.figures import FigureKey
from evalkit.core.requests import Json
from evalkit.core.specs import CardSpec
from evalkit.draw import (
    MISSING,
    contest_sentence,
    count,
    escape_markdown,
    fenced,
    figure,
    one_line,
    visible,
)
from evalkit.errors import CardError, ComparisonError
from evalkit.formats.model_index import LINK, Block, Index, Item, Material, make_index

__all__ = ["Card", "Markdown", "Part", "linked", "plain_yaml"]

Part = Literal["all", "chat", "academic", "results"]
"""`all`: both kinds of tables; `results`: tables, statements and settings."""
CHAT = ("mt_bench", "alpaca_eval")
"""Types of benchmarks that judge conversations, in the order of the chat table."""
_LC, _CAPPED = "length_controlled_win_rate", "length_capped_win_rate"
_WIDE = 12
"""Most tasks that stand side by side; more stand one below the other."""
_FOLDERS = re.compile(r"(?<![^\s'\"=])/(?:[^\s'\"/]+/)+(?=[^\s'\"/])")
"""Absolute paths say nothing to those who read a card elsewhere."""
_SHOTS = re.compile(r"\d+[- ]shots?$")


class Markdown(str):
    """Text that is Markdown already; everything else is escaped where a card places it."""

    __slots__ = ()


def linked(text: str) -> Markdown:
    """`text` on one line as Markdown, with plain addresses as links and all else escaped."""
    text = one_line(visible(text))
    made, at = "", 0
    for match in LINK.finditer(text):
        made += _escaped(text[at : match.start()]) + f"<{match[0]}>"
        at = match.end()
    return Markdown(made + _escaped(text[at:]))


def _escaped(text: str) -> str:
    """Escaped, with the blanks at its ends kept."""
    body = text.strip(" ")
    if not body:
        return text
    start = text.index(body)
    return " " * start + escape_markdown(body) + " " * (len(text) - start - len(body))


_PLAIN = re.compile(r"[A-Za-z][A-Za-z0-9_./-]*(?: [A-Za-z0-9(][A-Za-z0-9_./()-]*)*")
_WORDS = frozenset({"true", "false", "yes", "no", "on", "off", "y", "n", "null", "nan", "inf"})


def plain_yaml(value: Json) -> str:
    """Plain data as YAML that PyYAML, ruamel and JavaScript's readers read as the same.

    Strings that any of them could take for something else are in double quotes, with line ends as
    escapes: no line of the text can then look like the end of a card's front matter.
    """
    import yaml

    class Dumper(yaml.SafeDumper):
        def ignore_aliases(self, data: Any) -> bool:
            return True

    def string(dumper: Any, text: str) -> Any:
        is_plain = _PLAIN.fullmatch(text) is not None and text.lower() not in _WORDS
        style = None if is_plain else '"'
        return dumper.represent_scalar("tag:yaml.org,2002:str", text, style=style)

    Dumper.add_representer(str, string)
    made = yaml.dump(value, Dumper=Dumper, sort_keys=False, allow_unicode=True, width=10**9)
    return str(made)


# --- the card -----------------------------------------------------------------------------------


@dataclass(frozen=True)
class Card:
    """A card's parts, each made when it is wanted."""

    material: Material
    name: str
    """The model's name in the index."""
    published_at: str | None = None
    """Where the runs can be seen."""
    license: str | None = None
    """In place of the suite's."""

    def __post_init__(self) -> None:
        if self.published_at is not None and LINK.fullmatch(self.published_at) is None:
            raise CardError(
                f"source {self.published_at!r}: expected an address without blanks that begins "
                f"with https://"
            )

    @cached_property
    def index(self) -> Index:
        """The model's entries."""
        return make_index(self.material, self.published_at)

    @property
    def model_index(self) -> list[dict[str, Json]]:
        """`model-index` as data."""
        return [{"name": self.name, "results": list(self.index.results)}]

    @cached_property
    def said(self) -> CardSpec:
        """What the suites say of the card; the first that says something wins."""
        found: dict[str, Any] = {}
        for run in self.material.runs:
            spec = run.manifest.suite.card
            for name in CardSpec.model_fields:
                if getattr(spec, name):
                    found.setdefault(name, getattr(spec, name))
        if self.license:
            found["license"] = self.license
        return CardSpec.model_construct(**{**CardSpec().__dict__, **found})

    @cached_property
    def model(self) -> _Model:
        """What the manifests know of the model."""
        for run in self.material.runs:
            entry = run.model(self.material.candidate)
            if entry is not None:
                known = entry.provenance
                base = known.base.get("repo") if isinstance(known.base, Mapping) else None
                config = (known.adapter or {}).get("config")
                return _Model(
                    base=self.said.base_model or (str(base) if base else None),
                    method=_method(config if isinstance(config, Mapping) else {}),
                    is_adapter=bool(known.adapter),
                    is_local=entry.engine.type in ("vllm", "transformers", "fake", "ray"),
                    template=entry.template_source or "",
                )
        return _Model(self.said.base_model)

    @property
    def front(self) -> dict[str, Json]:
        """The front matter as data: what is known or was given, then the index."""
        model, said = self.model, self.said
        library = "peft" if model.is_adapter else "transformers" if model.is_local else None
        found: dict[str, Json] = {
            "license": said.license,
            "library_name": library,
            "pipeline_tag": "text-generation",
            "base_model": model.base,
            "language": list(said.language),
            "datasets": list(said.datasets),
            "tags": list(said.tags),
            "model-index": self.model_index,
        }
        return {k: v for k, v in found.items() if v}

    @cached_property
    def statements(self) -> tuple[tuple[Markdown, ...], str]:
        """Sentences that the samples support, and why there are none where there are none."""
        runs, candidate = self.material.runs, self.material.candidate
        others = by_role(runs, "baseline") or recorded(runs)
        level = next((f.value.level for run in runs for f in run.figures), 0.95)
        try:
            ours = find(runs, candidate)
            shared = [
                name for name in others
                if name != candidate and set(ours.parts) & set(find(runs, name).parts)
            ]  # fmt: skip
            if not shared:
                return (), "no other model has samples of the same benchmark"
            found = contests(runs, candidate, shared, Options(level))
        except ComparisonError as error:
            return (), str(error)
        entries = {block.entry for block in self.material.blocks}
        wanted = [c for c in found if c.family == "headline" and c.key.benchmark in entries]
        texts = (one_line(visible(contest_sentence(c))) for c in wanted)
        return tuple(Markdown(escape_markdown(text)) for text in texts), ""

    def part(self, part: Part) -> str:
        """Some of the card's body, as Markdown without an end of line.

        Raises:
            CardError: the runs have nothing of that kind.
        """
        if part == "results":
            return "\n\n".join(self._results())
        chat = [self._chat] if self._chat is not None else []
        found = {"chat": chat, "academic": self._academic, "all": [*chat, *self._academic]}[part]
        if not found:
            wanted = "AlpacaEval or MT-Bench" if part == "chat" else "tasks with right answers"
            raise CardError(
                f"no table {part!r}: the runs have no figures of {self.material.candidate!r} of "
                f"{wanted}, only of {', '.join(b.entry for b in self.material.blocks) or 'nothing'}"
                f"; add a run that has, or choose another table"
            )
        return "\n\n".join([*self._warnings, *(str(table) for table in found)])

    def require_valid(self) -> None:
        """Raise CardError where the hub would refuse or lose something of the index."""
        size = len(plain_yaml(self.front).encode("utf-8", "surrogatepass"))
        checks.require(checks.check_front_matter(self.front, size), "the card")

    def text(self, template: Path | None = None) -> str:
        """The whole card.

        Args:
            template: A Jinja file in place of evalkit's own layout; see the module.

        Raises:
            CardError: the template cannot be read or rendered.
        """
        if template is not None:
            return self._rendered(template)
        title = escape_markdown(one_line(visible(self.material.candidate)))
        parts = [f"---\n{plain_yaml(self.front)}---", f"# {title}"]
        parts += [self._about] if self._about else []
        parts += ["## Evaluation", "<!-- evalkit:results -->", *self._results()]
        parts += ["<!-- /evalkit:results -->"]
        parts += [f"## How to use\n\n{self._use}"] if self._use else []
        return "\n\n".join(parts) + "\n"

    # --- its pieces ---

    @property
    def _about(self) -> Markdown:
        """What the model is, in a sentence."""
        model, name = self.model, linked(self.material.candidate)
        how = escape_markdown(f"made with {model.method}") if model.method else ""
        if not model.base:
            return Markdown(f"{name} was {how}." if how else "")
        base = escape_markdown(model.base)
        if re.fullmatch(r"[\w.-]+/[\w.-]+", model.base):
            base = f"[{base}](https://huggingface.co/{model.base})"
        return Markdown(f"{name} is a fine-tune of {base}{f', {how}' if how else ''}.")

    @property
    def _use(self) -> Markdown:
        """Code that loads the model and generates; empty where how it is served is not known."""
        model = self.model
        if not model.is_local:
            return Markdown("")
        name = json.dumps(one_line(visible(self.name)), ensure_ascii=False)
        if model.is_adapter:
            load = [
                "from peft import AutoPeftModelForCausalLM",
                "from transformers import AutoTokenizer",
                "",
                f"model = AutoPeftModelForCausalLM.from_pretrained({name}).merge_and_unload()",
            ]
        else:
            load = ["from transformers import AutoModelForCausalLM, AutoTokenizer", "",
                    f"model = AutoModelForCausalLM.from_pretrained({name})"]  # fmt: skip
        code = [*load,
                f"tokenizer = AutoTokenizer.from_pretrained({name})",
                'chat = [{"role": "user", "content": "What is the capital of France?"}]',
                "inputs = tokenizer.apply_chat_template(",
                '    chat, add_generation_prompt=True, return_dict=True, return_tensors="pt"', ")",
                "answer = model.generate(**inputs, max_new_tokens=256)",
                'start = inputs["input_ids"].shape[1]',
                "print(tokenizer.decode(answer[0, start:], skip_special_tokens=True))"]  # fmt: skip
        said = ["The adapter is merged into its base, as it was for the evaluation."
                ] if model.is_adapter else []  # fmt: skip
        source = model.template
        if source and source not in ("none", "tokenizer"):
            said.append(f"It was evaluated with the chat template {source}.")
        above = f"{linked(' '.join(said))}\n\n" if said else ""
        return Markdown(above + fenced("\n".join(code), "python"))

    @cached_property
    def _warnings(self) -> list[Markdown]:
        """What stands above everything of a card that must not be published."""
        why = [linked(f"Not for publication: {reason}.") for reason in self.material.warnings]
        return [Markdown(f"> **{text}**") for text in why]

    @cached_property
    def _chat(self) -> _Table | None:
        blocks = [b for kind in CHAT for b in self.material.blocks if b.kind == kind]
        columns = [c for block in blocks for c in _columns(block)]
        return _table("Chat benchmarks", columns, self.material, self.said.columns)

    @cached_property
    def _academic(self) -> list[_Table]:
        found = [
            _table(block.title, list(_columns(block)), self.material, self.said.columns)
            for block in self.material.blocks if block.kind not in CHAT
        ]  # fmt: skip
        return [table for table in found if table is not None]

    def _results(self) -> list[str]:
        """What stands between the markers."""
        tables = [*([self._chat] if self._chat else []), *self._academic]
        sentences, _ = self.statements
        parts = [*self._warnings, *(str(table) for table in tables)]
        if sentences:
            parts += ["**What the samples say**", "\n".join(f"- {s}" for s in sentences)]
        lines = [*self._settings, *(line for table in tables for line in table.sources)]
        if lines:
            listed = "\n".join(f"- {line}" for line in dict.fromkeys(lines))
            parts += ["<details>\n<summary>How it was measured</summary>", listed, "</details>"]
        return [*parts, *self._made_by]

    @cached_property
    def _settings(self) -> list[Markdown]:
        """One line for each benchmark of which something was measured."""
        lines = []
        for block in self.material.blocks:
            known = [item for item in block.items if not item.published]
            mine = [i for i in known if i.figure.model == self.material.candidate] or known
            if mine:
                said = [part for part in _settings(block, mine[0]) if part]
                lines.append(linked(f"{block.title}: {'; '.join(said)}."))
        return lines

    @cached_property
    def _made_by(self) -> list[Markdown]:
        """Which runs the card is of, and the commands that recompute them."""
        lines = []
        for run in self.material.runs:
            m = run.manifest
            commands = "; ".join(_FOLDERS.sub("", c) for c in m.commands)
            again = f"; to reproduce: {commands}" if commands else ""
            if commands.startswith("evalkit import "):
                again += " (where those files are)"
            version = m.versions.get("evalkit", "of unknown version")
            lines.append(
                linked(f"Made by evalkit {version}, suite {m.suite_name}, run {m.run_id}{again}.")
            )
        return lines

    # --- a user's template ---

    def _rendered(self, template: Path) -> str:
        import jinja2
        from jinja2.sandbox import SandboxedEnvironment

        known: dict[str, Any] = {
            "model": self.material.candidate,
            "front_matter": Markdown(plain_yaml(self.front).rstrip()),
            "index": self.model_index,
            "about": self._about,
            "warnings": self._warnings,
            "chat": self._chat and Markdown(str(self._chat)),
            "academic": [Markdown(str(table)) for table in self._academic],
            "statements": self.statements[0],
            "refused": self.statements[1],
            "settings": self._settings,
            "made_by": self._made_by,
            "use": self._use,
            "results": Markdown(self.part("results")),
        }
        try:
            source = template.read_text(encoding="utf-8")
        except (OSError, UnicodeDecodeError) as error:
            raise CardError(f"{str(template)!r}: the template cannot be read: {error}") from error
        try:
            environment = SandboxedEnvironment(
                loader=jinja2.FileSystemLoader(template.parent),
                undefined=jinja2.StrictUndefined,
                finalize=_finalized,
                trim_blocks=True,
                lstrip_blocks=True,
                keep_trailing_newline=True,
                autoescape=False,  # HTML's escaping is not Markdown's: `finalize` does that
            )
            text = environment.from_string(source).render(**known)
        except Exception as error:
            line = getattr(error, "lineno", None)
            raise CardError(
                f"{template}{'' if line is None else f':{line}'}: the template cannot be rendered: "
                f"{type(error).__name__}: {error}; it may use {', '.join(known)}"
            ) from error
        checks.require(checks.check_text(text), "what the template makes")
        return text


def _finalized(value: Any) -> Any:
    """What a template prints, as Markdown."""
    if isinstance(value, Markdown):
        return str(value)
    if value is None:
        return MISSING
    if isinstance(value, Sequence) and not isinstance(value, str):
        return ", ".join(str(_finalized(v)) for v in value)
    return escape_markdown(one_line(visible(str(value))))


@dataclass(frozen=True)
class _Model:
    """What is known of the card's model."""

    base: str | None = None
    """Hub repository."""
    method: str = ""
    """How it was fine-tuned, in words."""
    is_adapter: bool = False
    is_local: bool = False
    """Its weights were loaded, not a server or recorded answers."""
    template: str = ""


def _method(config: Mapping[str, Json]) -> str:
    if not config:
        return ""
    kind = "DoRA" if config.get("use_dora") else str(config.get("peft_type") or "PEFT")
    kind = {"LORA": "LoRA"}.get(kind, kind)
    details = [f"{word} {config[key]}" for key, word in (("r", "rank"), ("lora_alpha", "alpha"))
               if config.get(key)]  # fmt: skip
    return f"a {kind} adapter" + (f" ({', '.join(details)})" if details else "")


# --- tables -------------------------------------------------------------------------------------


@dataclass(frozen=True)
class _Column:
    """A heading, and what a model's cell in it is."""

    heading: str
    block: Block
    key: FigureKey
    render: Callable[[Item, _Notes], str]
    is_key: bool = False
    """The table may be sorted by it."""

    def find(self, model: str) -> Item | None:
        """A model's figure."""
        return self.block.find(model, self.key)


class _Notes:
    """Footnotes by letter, at most four, and lines for the section below."""

    def __init__(self) -> None:
        self._texts: dict[str, None] = {}
        self._sources: dict[str, dict[str, dict[str, None]]] = {}
        self._remarks: dict[str, dict[str, None]] = {}

    def mark(self, text: str) -> str:
        """The mark of a note, as Markdown: letters, which nobody takes for digits of a figure."""
        self._texts.setdefault(text)
        letter = chr(ord("a") + list(self._texts).index(text))
        return f"<sup>{letter}</sup>"

    def remark(self, text: str, of: str) -> None:
        """Something that the section below says of a model."""
        self._remarks.setdefault(text, {})[of] = None

    def source(self, item: Item, column: str) -> str:
        """Mark of a figure that was not computed here; its source goes below."""
        if item.figure.source is None:
            return ""
        where, _, row = item.where.partition(", row ")
        stated, model = item.stated, item.figure.model
        where = where if item.published else f"result files, {where.partition(',')[0]}"
        where += f", {stated.date}" if stated is not None and stated.date else ""
        other = row and model_key(row.strip("'\"")) != model_key(model)
        name = f"{model} (row {row})" if other else model
        self._sources.setdefault(where, {}).setdefault(column, {})[name] = None
        said = (stated.settings or "") if stated is not None else ""
        more = [p for part in re.split("[;,]", said) if (p := part.strip()) and not _SHOTS.match(p)]
        if more:
            self.remark(f"{column}, as stated: {'; '.join(more)}", model)
        if not item.published:
            return self.mark("As its result files state it")
        return self.mark("Published, not measured here; the sources are listed below")

    def judge(self, item: Item) -> str:
        """Mark of a figure whose judge is not validated or not fit; the index has none of these."""
        if item.figure.unit == "characters" or not (item.local_judge or item.unfit_judge):
            return ""
        if not item.local_judge:
            return self.mark(f"{item.unfit_judge[0].upper()}{item.unfit_judge[1:]}")
        return self.mark(
            "Judged by a model of the same suite, which is not validated against people: not for "
            "publication"
        )

    def bridged(self, item: Item) -> str:
        """Mark of a figure on another judge's scale."""
        if (of := item.figure.bridged) is None:
            return ""
        self.remark(f"Bridged: {of.text}", item.figure.model)
        return self.mark(
            f"Bridged: {of.scored_by} judged, and the figure is estimated on the scale of "
            f"{of.scale_of}"
        )

    def lines(self) -> Iterator[Markdown]:
        """Each note as a line of Markdown, in order."""
        for n, text in enumerate(self._texts):
            yield Markdown(f"<sup>{chr(ord('a') + n)}</sup> {linked(f'{text}.')}")

    def below(self) -> Iterator[Markdown]:
        """What the section on how it was measured says of remarks and sources."""
        for text, of in self._remarks.items():
            yield linked(f"{text}: {', '.join(of)}.")
        for where, columns in self._sources.items():
            by_models: dict[str, list[str]] = {}
            for column, models in columns.items():
                by_models.setdefault(", ".join(models), []).append(column)
            said = (f"{', '.join(of)}: {models}" for models, of in by_models.items())
            yield linked(f"Source {where}: {'; '.join(said)}.")


@dataclass(frozen=True)
class _Table:
    """One table, its notes, and what the section below says of its sources."""

    title: str
    lines: tuple[str, ...]
    notes: tuple[Markdown, ...]
    sources: tuple[Markdown, ...]

    def __str__(self) -> str:
        head = f"**{escape_markdown(self.title)}**"
        return "\n".join([head, "", *self.lines, "", "<br>\n".join(self.notes)]).rstrip()


def _columns(block: Block) -> Iterator[_Column]:
    units = {i.figure.unit for i in block.items if i.key in block.keys}
    for key in block.keys:
        items = [i for i in block.items if i.key == key and i.figure.value.point is not None]
        if not items:
            continue
        is_average = block.is_average(key)
        heading = "Average" if is_average else _heading(block, items, mixed=len(units) > 1)
        yield _Column(heading, block, key, _cell(heading, block), is_key=is_average)
        if block.kind == "alpaca_eval" and key.metric == "win_rate":
            yield _Column(f"n of {block.title}", block, key, lambda i, _: _count(i))
    for key in block.keys if block.kind == "alpaca_eval" else ():
        length = replace(key, metric="avg_length")
        if key.metric == "win_rate" and any(i.key == length for i in block.items):
            name = f"{block.title} length (mean, characters)"
            yield _Column(name, block, length, _cell(name, block))


def _heading(block: Block, items: Sequence[Item], *, mixed: bool) -> str:
    """A column's heading, which the audit reads back."""
    key, unit = items[0].key, items[0].figure.unit
    if block.kind == "mt_bench":
        name = f"{block.title} " + ("" if key.metric == "score" else
                                    catalogue.metric(key.metric).words)  # fmt: skip
        return f"{name.rstrip()} (1 to 10)"
    if block.kind == "alpaca_eval":
        name = "LC win rate" if key.metric == _LC else catalogue.metric(key.metric).words
        return f"{block.title} {name}{' (%)' if unit == 'percent' else ''}"
    shots = {item.shots for item in items} - {None}
    name = catalogue.label(key.task) + (f" ({shots.pop()}-shot)" if len(shots) == 1 else "")
    metric = items[0].entry.metric(key.task, key.metric)
    if mixed and unit == "percent":
        name += ", %"
    return name + ("" if metric is None or metric.higher_is_better else ", lower is better")


def _cell(heading: str, block: Block) -> Callable[[Item, _Notes], str]:
    def render(item: Item, notes: _Notes) -> str:
        model = item.figure.model
        if block.is_average(item.key):
            how = item.where if item.published else item.figure.value.how
            notes.remark(f"Average: {how}", model)
            return _value(item)
        if item.key.metric == _LC and not item.published:
            # Without the penalty, which differs from model to model.
            parts = item.figure.value.how.split("; ")
            how = "; ".join(p.removesuffix(" at that C") for p in parts if not p.startswith("C "))
            notes.remark(f"{heading}: {how}", model)
            capped = block.find(model, replace(item.key, metric=_CAPPED))
            if capped is not None:
                text = "LC win rate with lengths capped at their 99% quantile"
                notes.remark(text, f"{model} {_value(capped)}")
        return _value(item) + notes.judge(item) + notes.source(item, heading) + notes.bridged(item)

    return render


def _value(item: Item) -> str:
    value, unit = item.figure.value, item.figure.unit
    text = figure(value.point, unit)
    # Where no sample differs from another the error is 0, which measures nothing.
    if not value.standard_error or unit == "characters":
        return text
    return f"{text} ± {figure(value.standard_error, unit)}"


def _count(item: Item) -> str:
    return count(item.figure.value.n) if item.figure.value.n else MISSING


def _table(
    title: str, columns: Sequence[_Column], material: Material,
    more: Mapping[str, Mapping[str, str]],
) -> _Table | None:  # fmt: skip
    """A table; None where it would have no row for the card's model."""
    if not any(c.find(material.candidate) for c in columns):
        return None
    counted = [c for c in columns if c.heading.startswith("n of ")]
    columns = [replace(c, heading="n") if counted == [c] else c for c in columns]
    models = list(dict.fromkeys(m for c in columns for m in c.block.models))
    models = [m for m in models if any(c.find(m) for c in columns)]
    key = next((c for c in columns if c.is_key), None)
    key = key or next((c for c in columns if c.key.metric == "win_rate"), None)
    if key is None and (columns[0].block.kind in CHAT or len(columns) == 1):
        key = columns[0]
    if key is not None:
        models = _sorted(models, key)
    notes = _Notes()
    names = {m: _name(m, material.candidate) for m in models}
    extra = {h: of for h, of in more.items() if any(m in of for m in models)}
    before = [h for h in extra if h.casefold() not in ("license", "licence")]
    after = [h for h in extra if h not in before]
    rows = [
        [names[m], *(_text(extra[h].get(m)) for h in before),
         *(_filled(c, m, notes) for c in columns), *(_text(extra[h].get(m)) for h in after)]
        for m in models
    ]  # fmt: skip
    head = ["Model", *map(escape_markdown, before), *(escape_markdown(c.heading) for c in columns),
            *map(escape_markdown, after)]  # fmt: skip
    right = [False, *(False for _ in before), *(True for _ in columns), *(False for _ in after)]
    if len(columns) > _WIDE:
        turned = [list(row) for row in zip(head, *rows, strict=True)]
        head, rows = ["Task", *turned[0][1:]], turned[1:]
        right = [False, *(True for _ in models)]
    lines = [_row(head), _row(["---:" if r else "---" for r in right]), *map(_row, rows)]
    how = [f"Sorted by {key.heading}; neighbouring rows need not differ significantly."
           ] if key is not None and len(models) > 1 else []  # fmt: skip
    shown = [item.figure.unit for c in columns for m in models if (item := c.find(m))]
    if set(shown) == {"percent"} and not any("%" in c.heading for c in columns):
        how.append("In percent.")
    how += (
        ["± is one standard error."] if any(" ± " in cell for row in rows for cell in row) else []
    )
    how += ["Bold: the model of this card."] if len(models) > 1 else []
    read = [Markdown(escape_markdown(" ".join(how)))] if how else []
    return _Table(title, tuple(lines), (*read, *notes.lines()), tuple(notes.below()))


def _sorted(models: Sequence[str], key: _Column) -> list[str]:
    """Best first, models without that figure last."""

    def rank(model: str) -> tuple[bool, float]:
        item = key.find(model)
        if item is None or item.figure.value.point is None:
            return True, 0.0
        metric = item.entry.metric(key.key.task, key.key.metric)
        sign = 1 if metric is not None and not metric.higher_is_better else -1
        return False, sign * item.figure.value.point

    return sorted(models, key=rank)


def _name(model: str, candidate: str) -> str:
    name = escape_markdown(one_line(visible(model)))
    return f"**{name}**" if model == candidate else name


def _text(text: str | None) -> str:
    return MISSING if text is None else escape_markdown(one_line(visible(text)))


def _filled(column: _Column, model: str, notes: _Notes) -> str:
    item = column.find(model)
    return MISSING if item is None else column.render(item, notes)


def _row(cells: Sequence[str]) -> str:
    return "| " + " | ".join(cells) + " |"


# --- how it was measured ------------------------------------------------------------------------


def _settings(block: Block, example: Item) -> Iterator[str]:
    about = example.described
    if example.figure.source is None:
        yield f"scored by evalkit's {block.kind}, version {about.version}"
    if example.own_data:
        yield f"own questions ({example.own_data}), not the public ones"
    if about.lm_eval:
        yield f"lm_eval {about.lm_eval}"
    elif example.figure.source is not None:
        yield "read from result files that do not state the harness's version"
    if about.settings:
        yield f"the leaderboard's settings: {about.settings}"
    size = "" if about.n_questions is None else f"{count(about.n_questions)} questions "
    yield (size + (f"against {about.reference}" if about.reference else "")).rstrip()
    if block.kind in CHAT:
        yield from _judge(example)
    yield from _generation(example)
    if block.kind not in CHAT and len(block.keys) <= _WIDE:
        named = [f"{catalogue.label(k.task)} {k.metric}" for k in block.keys
                 if not block.is_average(k)]  # fmt: skip
        yield f"metrics: {', '.join(named)}"
    for key in block.keys:
        data = about.task(key.task).dataset
        for remark in data.remarks if data is not None else ():
            yield f"{catalogue.label(key.task)}: {remark}"


def _generation(example: Item) -> Iterator[str]:
    """Sampling, chat template, engine."""
    about = example.described
    limits = []
    if about.max_tokens is not None:
        limits.append(f"at most {about.max_tokens} new tokens")
    if about.temperature is not None:
        limits.append(f"temperature {about.temperature}")
    elif about.temperatures is not None:
        limits.append("FastChat's temperature for each category")
    yield ", ".join(limits)
    entry = example.run.model(example.figure.model)
    template = entry.template_source if entry is not None else None
    if about.apply_chat_template is False:
        yield "without chat template"
    elif template and template != "none":
        yield f"chat template from {template}"
    if entry is not None and entry.engine.type not in (None, "recorded"):
        engine = (entry.engine.type, entry.engine.version, entry.engine.dtype)
        yield f"engine {' '.join(part for part in engine if part)}"


def _judge(example: Item) -> Iterator[str]:
    judge = example.judge
    if judge is None:
        return
    yield f"judge {judge.who}" + (" (recorded judgments)" if judge.protocol == "recorded" else "")
    if example.local_judge:
        yield "a model of the same suite, not validated against people"
    if judge.protocol and judge.protocol != "recorded":
        sha = f" (sha256 {judge.prompt_sha256[:12]})" if judge.prompt_sha256 else ""
        yield f"judge prompts {judge.protocol}{sha}"

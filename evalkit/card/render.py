"""A card's text: front matter and tables through a Jinja template, the package's or the user's.

A template sees (all text is Markdown that is safe as it stands; whatever else a template
prints is escaped, so that a name cannot break a table):

    model          the card's model, by its name in the runs
    front_matter   YAML with `model-index` alone, without the `---` lines
    index          the same as data: a list with one model
    warnings       why the card must not be published; empty for publishable runs
    chat           the chat table with its footnotes, or none
    academic       the academic tables with theirs, a list
    claims         sentences that may be said of the model against its baselines, a list
    refused        why there are no such sentences, where there are none
    settings       how each benchmark was asked and judged, a list
    made_by        runs and commands, a list
    results        all of the above but the front matter, as the package's own card has it, where
                   it stands between markers: `card update` writes anew what does

It runs in Jinja's sandbox and may include files of its own folder.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from importlib import resources
from pathlib import Path
from typing import Any, Literal

from evalkit.card import checks, tables, yaml_text
from evalkit.card.claims import Claims, claims
from evalkit.card.figures import Material
from evalkit.card.footnotes import Markdown, linked
from evalkit.card.index import Index, make_index
from evalkit.card.settings import made_by, settings
from evalkit.card.sources import LINK
from evalkit.core import Json
from evalkit.draw import MISSING, escape_markdown, one_line, visible
from evalkit.errors import CardError

__all__ = ["Card", "Part"]

Part = Literal["all", "chat", "academic", "results"]
"""`all`: both kinds of tables; `results`: tables, sentences and settings."""


@dataclass(frozen=True)
class Card:
    """A card's parts, each made when it is asked for."""

    material: Material
    name: str
    """The model's name in the index."""
    published_at: str | None = None
    """Where the runs can be seen."""

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
    def claims(self) -> Claims:
        """What may be said."""
        return claims(self.material)

    def part(self, part: Part) -> str:
        """Some of the card's body, as Markdown without an end of line.

        Raises:
            CardError: the runs have nothing of that kind.
        """
        if part == "results":
            return self._body("results.md.j2")
        chat, academic = self._chat, self._academic
        found: dict[str, list[Markdown | None]] = {
            "chat": [chat],
            "academic": [*academic],
            "all": [chat, *academic],
        }
        shown = [str(table) for table in found[part] if table]
        if not shown:
            wanted = "AlpacaEval or MT-Bench" if part == "chat" else "tasks with right answers"
            raise CardError(
                f"no table {part!r}: the runs have no figures of {wanted}, only of "
                f"{', '.join(block.entry for block in self.material.blocks) or 'nothing'}; add a "
                f"run that has, or ask for another table"
            )
        return "\n\n".join([*self._marked, *shown])

    def require_valid(self) -> None:
        """Raise CardError where the hub would refuse or lose something of the index."""
        front = yaml_text.block({"model-index": self.model_index})
        size = len(front.encode("utf-8", "surrogatepass"))
        checks.require(
            checks.check_front_matter({"model-index": self.model_index}, size), "the card"
        )

    def text(self, template: Path | None = None) -> str:
        """The whole card.

        Args:
            template: A Jinja file in place of the package's; see the module for what it sees.

        Raises:
            CardError: the template cannot be read or rendered.
        """
        if template is None:
            return self._body("card.md.j2") + "\n"
        try:
            source = template.read_text(encoding="utf-8")
        except (OSError, UnicodeDecodeError) as error:
            raise CardError(f"{str(template)!r}: the template cannot be read: {error}") from error
        try:
            text = self._render(source, template.parent)
        except CardError:
            raise
        except Exception as error:
            line = getattr(error, "lineno", None)
            raise CardError(
                f"{template}{'' if line is None else f':{line}'}: the template cannot be rendered: "
                f"{type(error).__name__}: {error}; it may use {', '.join(self._context)}, results"
            ) from error
        checks.require(checks.check_text(text), "what the template makes")
        return text

    @cached_property
    def _chat(self) -> Markdown | None:
        table = tables.chat_table(self.material)
        return None if table is None else Markdown(str(table))

    @cached_property
    def _academic(self) -> list[Markdown]:
        return [Markdown(str(table)) for table in tables.academic_tables(self.material)]

    @property
    def _marked(self) -> list[Markdown]:
        """What stands above everything of a card that must not be published."""
        why = [linked(f"Not for publication: {reason}.") for reason in self.material.warnings]
        return [Markdown(f"> **{text}**") for text in why]

    @property
    def _context(self) -> Mapping[str, Any]:
        return {
            "model": self.material.candidate,
            "front_matter": Markdown(yaml_text.block({"model-index": self.model_index}).rstrip()),
            "index": self.model_index,
            "warnings": self._marked,
            "chat": self._chat,
            "academic": self._academic,
            "claims": self.claims.sentences,
            "refused": self.claims.refused,
            "settings": settings(self.material),
            "made_by": made_by(self.material),
        }

    def _body(self, name: str) -> str:
        source = resources.files("evalkit.card").joinpath("templates", name)
        return self._render(source.read_text(encoding="utf-8")).strip("\n")

    def _render(self, source: str, folder: Path | None = None) -> str:
        """`folder`: where files are that a template includes."""
        import jinja2
        from jinja2.sandbox import SandboxedEnvironment

        environment = SandboxedEnvironment(
            loader=None if folder is None else jinja2.FileSystemLoader(folder),
            undefined=jinja2.StrictUndefined,
            finalize=_escaped,
            trim_blocks=True,
            lstrip_blocks=True,
            keep_trailing_newline=True,
            autoescape=False,  # HTML's escaping is not Markdown's: `finalize` does that
        )
        environment.globals["results"] = _Later(self)
        return environment.from_string(source).render(**self._context)


class _Later:
    """`results`, rendered only by templates that print it."""

    def __init__(self, card: Card) -> None:
        self._card = card

    def markdown(self) -> Markdown:
        return Markdown(self._card.part("results"))


def _escaped(value: Any) -> Any:
    """What a template prints, as Markdown."""
    if isinstance(value, _Later):
        return value.markdown()
    if isinstance(value, Markdown):
        return str(value)
    if value is None:
        return MISSING
    if isinstance(value, Sequence) and not isinstance(value, str):
        return ", ".join(str(_escaped(v)) for v in value)
    return escape_markdown(one_line(visible(str(value))))

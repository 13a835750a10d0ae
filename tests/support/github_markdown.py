"""What GitHub makes of Markdown: its own parser (cmark-gfm), raw HTML let through to be seen."""

from __future__ import annotations

from dataclasses import dataclass, field
from html.parser import HTMLParser

import cmarkgfm
from cmarkgfm.cmark import Options

__all__ = ["Rendered", "rendered"]


@dataclass
class Rendered(HTMLParser):
    """Tags, and the text of every table cell."""

    tags: set[str] = field(default_factory=set)
    attributes: set[str] = field(default_factory=set)
    comments: list[str] = field(default_factory=list)
    cells: list[str] = field(default_factory=list)
    texts: list[str] = field(default_factory=list)
    inside: bool = False

    def __post_init__(self) -> None:
        super().__init__()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.add(tag)
        self.attributes |= {name for name, _ in attrs}
        if tag == "td":
            self.inside = True
            self.cells.append("")
        elif tag == "br":
            self.handle_data("\n")

    def handle_endtag(self, tag: str) -> None:
        if tag == "td":
            self.inside = False

    def handle_comment(self, data: str) -> None:
        self.comments.append(data)

    def handle_data(self, data: str) -> None:
        self.texts.append(data)
        if self.inside:
            self.cells[-1] += data


def rendered(markdown: str) -> Rendered:
    """`markdown` as GitHub would show it, before its sanitiser."""
    html = cmarkgfm.github_flavored_markdown_to_html(markdown, Options.CMARK_OPT_UNSAFE)
    found = Rendered()
    found.feed(html)
    found.close()
    return found

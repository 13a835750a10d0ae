"""The site is built without a broken link or anchor, and quotes messages that evalkit prints."""

from __future__ import annotations

import ast
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

REPOSITORY = Path(__file__).parents[2]


@pytest.mark.slow
def test_the_site_has_no_broken_link(tmp_path: Path) -> None:
    script = REPOSITORY / "scripts/make_docs.py"
    made = [sys.executable, str(script), str(tmp_path / "docs")]
    done = subprocess.run(made, capture_output=True, text=True, timeout=300, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    page = (tmp_path / "docs/site/reference/python/index.html").read_text(encoding="utf-8")
    assert "load_run" in page
    assert not re.search(r"(?:src|href)=\"?https?://fonts", page), "the site loads nothing"
    for name in ("suite", "commands"):
        assert (tmp_path / f"docs/site/reference/{name}/index.html").is_file()


def test_links_of_the_readme_lead_somewhere() -> None:
    text = (REPOSITORY / "README.md").read_text(encoding="utf-8")
    links = re.findall(r"\]\(([^)#]+)", text)
    assert len(links) > 15
    for link in links:
        assert (REPOSITORY / link).exists(), link


def messages() -> Iterator[str]:
    """Texts of the code, with … for what is put into them."""
    for path in (REPOSITORY / "evalkit").rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.JoinedStr):
                parts = (v.value if isinstance(v, ast.Constant) else "…" for v in node.values)
                yield "".join(map(str, parts))
            elif isinstance(node, ast.Constant) and isinstance(node.value, str):
                yield node.value


def holds(text: str, parts: list[str]) -> bool:
    """Whether `text` has all parts, one after the other."""
    for part in parts:
        _, found, text = text.partition(part)
        if not found:
            return False
    return True


def test_quoted_messages_are_evalkits() -> None:
    page = (REPOSITORY / "docs/troubleshooting.md").read_text(encoding="utf-8")
    quoted = re.findall(r"```text\n(.*?)\n```", page, re.DOTALL)
    known = list(messages())
    assert len(quoted) > 15
    for message in quoted:
        parts = [part for part in message.split("…") if part.strip()]
        assert any(holds(text, parts) for text in known), message

"""A manifest that somebody damaged is one line of the index, and stops none of the other runs."""

from __future__ import annotations

import copy
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from evalkit.viewer import Library, Server, serving
from evalkit.viewer.shape import fault
from tests.support.properties import examples
from tests.support.runs import Plan
from tests.support.stored import stored_run
from tests.viewer.conftest import asker

SMALL = Plan(samples=(3, 2, 2))
Place = tuple[str | int, ...]


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("damaged")
    stored_run(folder / "whole", SMALL, run_id="aaaaaaaaaaaa")
    stored_run(folder / "hurt", SMALL, run_id="bbbbbbbbbbbb")
    return folder


@pytest.fixture(scope="module")
def shown(home: Path) -> Iterator[Server]:
    with serving(Library([home])) as server:
        yield server


def places(value: Any, above: Place = ()) -> Iterator[Place]:
    """Every place of a JSON value, of lists the first two items."""
    inner: dict[Any, Any] = {}
    if isinstance(value, dict):
        inner = value
    elif isinstance(value, list):
        inner = dict(enumerate(value[:2]))
    for key, item in inner.items():
        yield (*above, key)
        yield from places(item, (*above, key))


def put(value: Any, place: Place, item: Any) -> Any:
    changed = copy.deepcopy(value)
    inside = changed
    for key in place[:-1]:
        inside = inside[key]
    inside[place[-1]] = item
    return changed


ITEMS: tuple[Any, ...] = ([], {}, "x", 5, None, [5], {"a": 1}, [{}], -1.5, True, [[]], {"": None})


@pytest.mark.slow
@pytest.mark.parametrize("name", ["manifest.json", "results.json"])
@examples(150)
@given(data=st.data())
def test_whatever_stands_where_something_else_should(
    home: Path, shown: Server, name: str, data: st.DataObject
) -> None:
    file = home / "hurt" / name
    text = file.read_text(encoding="utf-8")
    whole = json.loads(text)
    place = data.draw(st.sampled_from(list(places(whole))))
    item = data.draw(st.sampled_from(ITEMS))
    try:
        file.write_text(json.dumps(put(whole, place, item)), encoding="utf-8")
        slugs = {e.folder.name: e.slug for e in shown.library.entries()}
        ask = asker(shown)
        index = ask("/")
        assert index.status == 200
        assert "aaaaaaaaaaaa" in index.text
        report = ask(f"/runs/{slugs['hurt']}/index.html")
        # Figures that no computation gives (a level of -1.5) are not looked for.
        assert report.status in (200, 400, 404) or name == "results.json"
        both = ask(f"/compare?run={slugs['whole']}&run={slugs['hurt']}")
        assert both.status in (200, 400)
    finally:
        file.write_text(text, encoding="utf-8")


@pytest.mark.parametrize(
    ("place", "item", "said"),
    [
        (("benchmarks", 0), "x", "manifest.json: benchmarks.0: "),
        (("benchmarks", 0, "tasks", "alpaca_eval", "metrics", 0, "unit"), 5, "metrics.0.unit: "),
        (("models", 1, "name"), None, "manifest.json: models.1.name: "),
        (("judges",), 5, "manifest.json: judges: "),
        (("suite",), [], "manifest.json: suite: "),
    ],
)
def test_the_index_says_where_it_is_wrong(
    home: Path, tmp_path: Path, place: Place, item: Any, said: str
) -> None:
    manifest = json.loads((home / "whole" / "manifest.json").read_text())
    assert fault(manifest) == ""
    stored_run(tmp_path / "run", SMALL)
    wrong = json.dumps(put(manifest, place, item))
    (tmp_path / "run" / "manifest.json").write_text(wrong)
    with serving(Library([tmp_path])) as server:
        text = asker(server)("/").text
    assert "unreadable" in text
    assert said in text
    assert "run its suite again" in text

"""The house rules that a reader should be able to rely on, held by the code's own syntax trees."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

import evalkit

PACKAGE = Path(__file__).resolve().parents[2] / "evalkit"

LAYERS: tuple[frozenset[str], ...] = (
    frozenset({"__main__"}),
    frozenset({"cli"}),
    frozenset({"api"}),
    frozenset({"watch"}),
    frozenset({"runner"}),
    frozenset({"card", "evidence", "gate", "history", "report"}),
    frozenset({"formats"}),
    frozenset({"compare"}),
    frozenset({"benchmarks", "judges"}),
    frozenset({"engines", "models", "data", "store", "stats", "draw", "suite"}),
    frozenset({"catalogue", "plugins"}),
    frozenset({"core"}),
    frozenset({"errors"}),
)
LEVEL = {room: level for level, rooms in enumerate(LAYERS) for room in rooms}
HEAVY = {
    "alpaca_eval",
    "datasets",
    "fastchat",
    "lm_eval",
    "pandas",
    "peft",
    "pyarrow",
    "scipy",
    "sklearn",
    "torch",
    "transformers",
    "vllm",
}
FILES = sorted(PACKAGE.rglob("*.py"))


def room_of(path: Path) -> str:
    return path.relative_to(PACKAGE).parts[0].removesuffix(".py")


def imported(node: ast.AST) -> Iterator[str]:
    if isinstance(node, ast.Import):
        yield from (alias.name for alias in node.names)
    elif isinstance(node, ast.ImportFrom) and node.module:
        assert node.level == 0, f"from .{node.module}: write evalkit.…, which these checks can read"
        if node.module == "evalkit":
            yield from (f"evalkit.{alias.name}" for alias in node.names)
        else:
            yield node.module


def test_every_room_has_a_layer() -> None:
    rooms = {room_of(f) for f in FILES} - {"__init__"}
    assert rooms <= set(LEVEL), f"give {rooms - set(LEVEL)} a place in LAYERS and in the README"


@pytest.mark.parametrize("path", FILES, ids=lambda p: str(p.relative_to(PACKAGE)))
def test_imports_point_down(path: Path) -> None:
    room = room_of(path)
    if room == "__init__":
        return
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        for name in imported(node):
            parts = name.split(".")
            if parts[0] != "evalkit" or len(parts) == 1 or parts[1] == room:
                continue
            assert LEVEL[parts[1]] > LEVEL[room], (
                f"{path.name}:{getattr(node, 'lineno', '?')} imports {name}: {room} may only "
                f"import rooms below it; hand it a callable from the runner instead"
            )


@pytest.mark.parametrize("path", FILES, ids=lambda p: str(p.relative_to(PACKAGE)))
def test_heavy_libraries_are_imported_where_they_are_used(path: Path) -> None:
    tree = ast.parse(path.read_text(encoding="utf-8"))
    for node in tree.body:
        for name in imported(node):
            assert name.split(".")[0] not in HEAVY, (
                f"{path.name} imports {name} when it is imported itself; move the import into "
                f"the function that needs it, so that `evalkit --help` stays quick"
            )


@pytest.mark.parametrize("path", FILES, ids=lambda p: str(p.relative_to(PACKAGE)))
def test_files_say_what_belongs_in_them_and_stay_short(path: Path) -> None:
    text = path.read_text(encoding="utf-8")
    assert ast.get_docstring(ast.parse(text)), f"{path.name} needs a docstring: what belongs here?"
    assert text.count("\n") <= 850, f"{path.name} is long: which part is a file of its own?"


@pytest.mark.parametrize("path", FILES, ids=lambda p: str(p.relative_to(PACKAGE)))
def test_public_names_are_declared(path: Path) -> None:
    tree = ast.parse(path.read_text(encoding="utf-8"))
    defined = {
        node.name
        for node in tree.body
        if isinstance(node, ast.FunctionDef | ast.ClassDef) and not node.name.startswith("_")
    }
    declared: set[str] = set()
    for node in tree.body:
        if isinstance(node, ast.Assign) and ast.unparse(node.targets[0]) == "__all__":
            declared = set(ast.literal_eval(node.value))
    if not path.name.startswith("_") or path.name == "__init__.py":
        assert defined <= declared, (
            f"{path.name}: {defined - declared} is public but not in __all__"
        )


def test_the_library_offers_what_it_declares() -> None:
    assert list(evalkit.__all__) == sorted(evalkit.__all__)
    for name in evalkit.__all__:
        assert callable(getattr(evalkit, name))

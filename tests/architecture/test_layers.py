"""The house rules that a reader may rely on, held by the code's own syntax trees."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from graphlib import TopologicalSorter
from pathlib import Path

import evalkit

PACKAGE = Path(__file__).resolve().parents[2] / "evalkit"
BASE = {"errors", "core"}
MAY_IMPORT: dict[str, set[str]] = {
    "errors": set(),
    "core": {"errors"},
    "plugins": BASE,
    "catalogue": BASE,
    "stats": BASE,
    "store": BASE,
    "models": BASE,
    "engines": BASE,
    "suite": BASE | {"catalogue"},
    "data": BASE | {"catalogue"},
    "draw": BASE | {"catalogue"},
    "judges": BASE | {"catalogue", "data"},
    "benchmarks": BASE | {"catalogue", "data", "stats"},
    "comparison": BASE | {"catalogue", "stats", "store", "draw"},
}
MAY_IMPORT["formats"] = {*BASE, "catalogue", "stats", "store", "data", "judges", "benchmarks"}
MAY_IMPORT["formats"] |= {"draw", "comparison", "plugins"}
MAY_IMPORT["report"] = {*BASE, "catalogue", "store", "draw", "comparison"}
MAY_IMPORT["card"] = {*MAY_IMPORT["report"], "formats"}
MAY_IMPORT["runner"] = {*MAY_IMPORT} - {"runner"}
MAY_IMPORT["api"] = {*MAY_IMPORT}
MAY_IMPORT["cli"] = {*MAY_IMPORT}
MAY_IMPORT["__main__"] = {"cli"}
"""The table of docs/architecture.md."""
HEAVY = {
    "alpaca_eval", "datasets", "fastchat", "lm_eval", "pandas", "peft", "pyarrow", "scipy",
    "sklearn", "statsmodels", "torch", "transformers", "vllm",
}  # fmt: skip
TREES = {
    path: ast.parse(path.read_text(encoding="utf-8")) for path in sorted(PACKAGE.rglob("*.py"))
}


class _Loading(ast.NodeTransformer):
    """What runs when a module is loaded: no functions, nothing that only type checkers see."""

    def visit_FunctionDef(self, node: ast.FunctionDef) -> None:
        """Dropped."""

    def visit_If(self, node: ast.If) -> ast.If | None:
        return None if ast.unparse(node.test) == "TYPE_CHECKING" else node


def name_of(path: Path) -> str:
    parts = ("evalkit", *path.relative_to(PACKAGE).with_suffix("").parts)
    return ".".join(parts).removesuffix(".__init__")


LOADED: dict[str, ast.AST] = {
    name_of(path): _Loading().visit(ast.parse(path.read_text(encoding="utf-8"))) for path in TREES
}


def room_of(path: Path) -> str:
    return path.relative_to(PACKAGE).parts[0].removesuffix(".py")


def imported(tree: ast.AST) -> Iterator[tuple[int, str]]:
    """Line and module of every import of a tree, those inside functions too."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from ((node.lineno, alias.name) for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            package = node.module or "." * node.level
            within = (f"{package}.{alias.name}" for alias in node.names)
            yield from ((node.lineno, name if name in LOADED else package) for name in within)


def test_rooms_import_only_what_the_table_allows() -> None:
    wrong = [
        f"{path.relative_to(PACKAGE)}:{line} imports {name}"
        for path, tree in TREES.items()
        for line, name in imported(tree)
        if (room := room_of(path)) != "__init__" and name.startswith(("evalkit.", "."))
        if name.startswith(".") or name.split(".")[1] not in {*MAY_IMPORT[room], room}
    ]
    assert not wrong, "\n".join(["hand it a callable from the runner instead:", *wrong])


def test_no_modules_import_each_other_in_a_circle() -> None:
    graph = {
        name: {other for _, other in imported(tree) if other in LOADED and other != name}
        for name, tree in LOADED.items()
    }
    TopologicalSorter(graph).prepare()  # raises CycleError, which names the circle


def test_heavy_libraries_are_imported_where_they_are_used() -> None:
    wrong = [
        f"{module} imports {name}"
        for module, tree in LOADED.items()
        for _, name in imported(tree)
        if name.split(".")[0] in HEAVY
    ]
    assert not wrong, "\n".join(["move it into the function that needs it:", *wrong])


def test_every_file_says_what_belongs_in_it() -> None:
    silent = [str(path) for path, tree in TREES.items() if not ast.get_docstring(tree)]
    assert not silent


def test_the_library_offers_what_it_declares() -> None:
    assert list(evalkit.__all__) == sorted(evalkit.__all__)
    assert all(callable(getattr(evalkit, name)) for name in evalkit.__all__)


def test_the_table_of_the_docs_is_this_one() -> None:
    text = (PACKAGE.parent / "docs/architecture.md").read_text(encoding="utf-8")
    rows = [[cell.strip() for cell in line.split("|")[1:-1]] for line in text.splitlines()]
    rooms = {
        room.strip(" `/").removesuffix(".py"): may
        for row in rows
        if len(row) == 3 and row[0].startswith("`")
        for room, may in [(one, row[2]) for one in row[0].split(",")]
    }
    assert {*rooms} == {*MAY_IMPORT} - {"__main__"}
    for room, may in rooms.items():
        if not may.startswith("all"):
            assert {*filter(None, may.split(", "))} == MAY_IMPORT[room] - BASE, room

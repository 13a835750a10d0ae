"""Set up: `init` and `check` a suite, `list` what there is to choose from."""

from __future__ import annotations

import shutil
import sys
from collections.abc import Callable, Mapping
from pathlib import Path

import click

from evalkit.cli.console import PATH, json_option, print_json, set_option, write_out
from evalkit.errors import SuiteError, did_you_mean

__all__ = ["check", "init", "list_"]


# --- init -----------------------------------------------------------------------------------


@click.command("init")
@click.option("--adapter", metavar="A", help="Compare this adapter with its base.")
@click.option("--base", metavar="MODEL", help="The adapter's base, if not the one it names.")
@click.option("--prompts", type=PATH, metavar="FILE", help="Prompts: .jsonl, .json, .csv or .txt.")
@click.option("--results", type=PATH, multiple=True, metavar="PATH",
              help="Results of other tools, a model each; may be repeated.")  # fmt: skip
@click.option("--out", type=PATH, default="my-suite.yaml", show_default=True, help="The suite.")
def init(
    adapter: str | None,
    base: str | None,
    prompts: Path | None,
    results: tuple[Path, ...],
    out: Path,
) -> None:
    """Write a suite with comments: for an adapter, for prompts of your own, or of results.

    Prompts may have reference answers or choices: fields prompt, answer, choices, or what the file
    calls them.  With short answers or choices no judge is needed; else a judge compares with the
    answers, or with the baseline's.  Nothing is overwritten.
    """
    from evalkit.runner.drafting import draft

    made = draft(out, adapter, base, prompts, results)
    files = {out: made.text} | {made.folder / name: text for name, text in made.files.items()}
    for path in files:
        if path.exists():
            raise SuiteError(f"{str(path)!r} is there already; name another file with --out")
    for path, text in files.items():
        path.parent.mkdir(parents=True, exist_ok=True)
        write_out(text, path, "suite" if path == out else "prompts")
    click.echo(f"next: evalkit check {made.file}; evalkit run {made.file}", err=True)


# --- check ----------------------------------------------------------------------------------


@click.command("check")
@click.argument("suite")
@set_option
@json_option
def check(suite: str, overrides: tuple[str, ...], as_json: bool) -> int:
    """Say all that is wrong with SUITE (a YAML file or a bundled suite), and what would stop a run.

    The file itself; then keys, data, models, engines and tasks as they are on this machine.
    Nothing is downloaded, loaded or sent.  Exit code 0: it would run; 2: it would not.
    """
    from evalkit import plugins, runner, store
    from evalkit import suite as suites
    from evalkit.core import trust
    from evalkit.runner.preflight import preflight

    try:
        path = suites.locate(suite)
        checked = suites.check(path, overrides, plugins, runner.names(path.parent))
        origin = runner.Origin(suite, path.parent, store.find_workspace(), ())
        found = list(preflight(checked.suite, origin))
    except SuiteError as error:
        if not as_json:
            raise
        problems = [{"where": p.where, "message": p.message} for p in error.problems]
        print_json({"ok": False, "problems": problems, "warnings": []})
        return 2
    where = checked.where
    problems = [{"where": where(f.path), "message": f.message} for f in found if f.stops]
    stopping = {f.message for f in found if f.stops}
    warnings = [str(w) for w in checked.warnings if w.message not in stopping]
    warnings += [f"{code} runs, by your consent" for code in trust.current().used]
    warnings += [f"{where(f.path)}: {f.message}" for f in found if not f.stops]
    if as_json:
        print_json({"ok": not problems, "problems": problems, "warnings": warnings})
        return 2 if problems else 0
    for warning in warnings:
        click.echo(f"warning: {warning}", err=True)
    for problem in problems:
        click.echo(f"error: {problem['where']}: {problem['message']}", err=True)
    made = checked.suite
    click.echo(
        f"{suite}: {_would(len(problems))}; models {', '.join(made.models)}; "
        f"benchmarks {', '.join(b.entry for b in made.benchmarks)}"
        + (f"; judges {', '.join(made.judges)}" if made.judges else ""),
        err=bool(problems),
    )
    return 2 if problems else 0


def _would(problems: int) -> str:
    if not problems:
        return "fine"
    return f"the file is fine, but {problems} thing{'s' * (problems > 1)} would stop its run here"


# --- list -----------------------------------------------------------------------------------

_MOST = 40
"""Lines of one kind that a terminal is shown."""


@click.command("list")
@click.argument("words", metavar="[KIND] [SEARCH]...", nargs=-1)
@json_option
def list_(words: tuple[str, ...], as_json: bool) -> None:
    """List what suites may name, with a line on each: evalkit list tasks french.

    KIND is suites, benchmarks, tasks (lm-eval's, with groups and tags), judges, engines or formats;
    without one all but the tasks are listed, and all are searched.
    """
    kind, search = (words[0], words[1:]) if words and words[0] in _KINDS else ("", words)
    chosen = [kind] if kind else [k for k in _KINDS if search or k != "tasks"]
    every = {k: _KINDS[k]() for k in chosen}
    found = {k: _matching(search, rows) for k, rows in every.items()}
    if as_json:
        print_json(found)
        return
    if not any(found.values()):
        names = [name for rows in every.values() for name in rows]
        wrong = " ".join(search)
        hint = did_you_mean(wrong, [*names, *_KINDS], 3) or "; try a shorter word"
        raise click.UsageError(f"nothing matches {wrong!r}{hint}")
    for title, rows in found.items():
        if rows:
            click.echo(f"{title}:" if len(found) > 1 else "", nl=len(found) > 1)
            _print(rows, indent=2 if len(found) > 1 else 0)
    if not words:
        click.echo("tasks: search lm-eval's with `evalkit list tasks WORD`")


def _matching(search: tuple[str, ...], rows: Mapping[str, str]) -> dict[str, str]:
    """Rows that have every word, in any case; where names have them first, short names first."""
    words = [word.casefold() for word in search]

    def place(name: str) -> tuple[bool, bool, int]:
        has = [name.casefold().find(word) for word in words]
        return min(has) < 0, min(has) > 0, len(name)

    found = [n for n, a in rows.items() if all(w in f"{n} {a}".casefold() for w in words)]
    return {name: rows[name] for name in (sorted(found, key=place) if words else found)}


def _print(rows: Mapping[str, str], indent: int) -> None:
    from evalkit.draw.text import one_line, visible

    on_terminal = sys.stdout.isatty()
    shown = dict(list(rows.items())[: _MOST if on_terminal else None])
    left = min(max(map(len, shown)), 36)
    width = shutil.get_terminal_size().columns - 1 if on_terminal else 10_000
    for name, about in shown.items():
        line = f"{'':<{indent}}{name:<{left}}  {one_line(visible(about))}"
        click.echo(line if len(line) <= width else f"{line[: width - 1]}…")
    if len(shown) < len(rows):
        click.echo(f"{'':<{indent}}… and {len(rows) - len(shown):,} more: add a word to search for")


def _first_line(text: str | None) -> str:
    return (text or "").partition("\n")[0]


def _suites() -> dict[str, str]:
    """Each with the first paragraph of its comment."""
    from evalkit import suite as suites

    found = {}
    for name, path in suites.bundled().items():
        lines = path.read_text(encoding="utf-8").splitlines()
        comment = [line.removeprefix("#").strip() for line in lines if line.startswith("#")]
        text = " ".join(line for line in comment if not line.startswith("yaml-language-server"))
        found[name] = text.strip().partition(". ")[0]
    return found


def _benchmarks() -> dict[str, str]:
    from evalkit import plugins

    found = {name: plugins.find("benchmarks", name).spec for name in plugins.names("benchmarks")}
    return {name: _first_line(spec.__doc__ if spec else "") for name, spec in found.items()}


def _engines() -> dict[str, str]:
    from evalkit import plugins

    names = plugins.names("engines")
    return {name: _first_line(plugins.find("engines", name).cls.__doc__) for name in names}


def _judges() -> dict[str, str]:
    """Types of a suite's `judges`, and models that their vendors retire."""
    from datetime import date

    from evalkit import plugins
    from evalkit.core.protocols import Keyed
    from evalkit.core.specs import LocalJudgeSpec, RecordedJudgeSpec
    from evalkit.engines._judge_models import RETIREMENTS

    found = {"engine": _first_line(LocalJudgeSpec.__doc__)}
    found["recorded"] = _first_line(RecordedJudgeSpec.__doc__)
    for name, about in _engines().items():
        spec = plugins.find("engines", name).spec
        if spec is not None and issubclass(spec, Keyed):
            found[name] = about
    today = date.today()
    models = {m: r.text(m, today) for r in RETIREMENTS for m in r.models}
    return found | {name: text.removeprefix(f"{name!r} ") for name, text in models.items()}


def _formats() -> dict[str, str]:
    from evalkit import formats, plugins
    from evalkit.core.evidence import KINDS

    modules = {n: plugins.find("formats", n).cls.__module__ for n in plugins.names("formats")}
    ways = dict.fromkeys(modules, "export")
    for kind in KINDS:
        modules[kind] = formats.reader(kind).__module__
        ways[kind] = "import, export" if kind in ways else "import"
    return {n: f"{ways[n]}: {_first_line(sys.modules[m].__doc__)}" for n, m in modules.items()}


def _tasks() -> dict[str, str]:
    from evalkit.benchmarks._lm_eval_tasks import known_tasks

    found = {}
    for name, task in known_tasks().items():
        kind = task.kind.removeprefix("PY_").lower()
        parts = (kind, task.output, task.data, task.about.strip())
        found[name] = " · ".join(part for part in parts if part)
    return found


_KINDS: Mapping[str, Callable[[], dict[str, str]]] = {
    "suites": _suites,
    "benchmarks": _benchmarks,
    "judges": _judges,
    "engines": _engines,
    "formats": _formats,
    "tasks": _tasks,
}

"""Each kind of mistake: its line, its field, its value, what was expected, the nearest name."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from evalkit import plugins, suite
from evalkit.core.secrets import looks_secret
from evalkit.errors import SuiteError, did_you_mean
from evalkit.suite.reading import names_secret, shown
from tests.suite.conftest import Catalogue, Finder

OLD = """\
  old: {role: published, figures: [{benchmark: pear, metric: m, value: 1, source: s}]}
judges:"""
TWICE = """\
  old: {role: published, figures: [{benchmark: pairs, metric: m, value: 1, source: s},
    {benchmark: pairs, metric: m, value: 2, source: s}]}
judges:"""
CASES = [
    # (replace, by, where, parts of the message)
    ("name: small", "nmae: small", "1: nmae", ["unknown field 'nmae'", "did you mean 'name'?"]),
    ("name: small", "name: a/b", "1: name", ["'a/b'", "slash"]),
    ("name: small", "name: ..", "1: name", ["'..'", "no dot at the start"]),
    ("role: candidate", "role: candidat", "4: models.tuned.role",
     ["'candidat'; expected one of 'candidate', 'baseline', 'published'", "mean 'candidate'"]),
    ("role: candidate", "rolle: candidate", "4: models.tuned.rolle", ["did you mean 'role'?"]),
    ("path: ./base", "path: 12345", "7: models.plain.path", ["12345; expected text", "quotes"]),
    ("  plain:", "  \"a:b\": {path: x}\n  plain:", "7: models.a:b", ["'a:b' cannot be used"]),
    ("judges:", "engine: {type: vlm}\njudges:", "8: engine.type",
     ["unknown type 'vlm'; did you mean 'vllm'?", "'served', 'vllm'"]),
    ("judges:", "engine: {max_len: 3}\njudges:", "8: engine.max_len",
     ["3; expected a number greater than or equal to 16"]),
    ("judges:", "engine: 3\njudges:", "8: engine", ["3; expected a mapping with a `type`"]),
    ("judges:", "engine: {type: [x]}\njudges:", "8: engine.type", ["unknown type (a list)"]),
    ("path: ./base}", "path: ./base, engine: {dtyp: auto}}", "7: models.plain.engine.dtyp",
     ["did you mean 'dtype'?"]),
    ("{type: engine, model: plain}", "{model: plain}", "9: judges.self.type",
     ["missing; expected one of 'engine', 'served'"]),
    ("{type: engine, model: plain}", "{type: engine}", "9: judges.self.model",
     ["missing; write `model` (name of the model"]),
    ("{type: engine, model: plain}", "{type: vllm}", "9: judges.self.type",
     ["{type: engine, model: NAME}"]),
    ("model: plain", "model: plan", "9: judges.self.model",
     ["no model 'plan'; did you mean 'plain'? expected one of 'tuned', 'plain'"]),
    ("{type: pairs, judge: self}", "{type: pair, judge: self}", "11: benchmarks.0.type",
     ["did you mean 'pairs'?"]),
    ("{type: pairs, judge: self}", "pairs", "11: benchmarks.0", ["'pairs'; expected a mapping"]),
    ("judge: self", "judge: slef", "11: benchmarks.0.judge", ["no judge 'slef'", "mean 'self'"]),
    ("{type: pairs, judge: self}", "{type: pairs}", "11: benchmarks.0.judge",
     ["missing; pairs answers are judged; expected one of 'self'"]),
    ("type: choices", "type: choices\n    judge: self", "13: benchmarks.1.judge",
     ["choices has no judge"]),
    ("tasks: [a, b]", "tasks: [a, 7]", "13: benchmarks.1.tasks.1", ["7; expected text"]),
    ("tasks: [a, b]", "tasks:\n      - a\n      - {}", "15: benchmarks.1.tasks.1",
     ["a mapping; expected text"]),
    ("tasks: [a, b]", "tasks: [a, a]", "12: benchmarks.1", ["tasks has one twice"]),
    ("tasks: [a, b]", "limits: {a: few}", "13: benchmarks.1.limits.a",
     ["'few'; expected a whole number or 'all'"]),
    ("judge: self", "judge: self, version: 3", "11: benchmarks.0.version",
     ["3; expected one of 1, 2"]),
    ("baseline: plain", "baseline: plane", "15: gate.baseline",
     ["no model 'plane'; did you mean 'plain'?"]),
    ("baseline: plain", "baseline: tuned", "15: gate.baseline", ["has the role 'candidate'"]),
    ("{pairs: 3,", "{pears: 3,", "16: gate.margins.pears",
     ["no benchmark 'pears'; did you mean 'pairs'?", "'choices', 'default'"]),
    ("{pairs: 3,", "{pairs: -3,", "16: gate.margins.pairs", ["-3; expected a number greater"]),
    ("    base: ./base\n", "", "5: models.tuned.adapter", ["'./adapter' has no `base`"]),
    ("    adapter: ./adapter\n", "", "5: models.tuned.base", ["write `path` instead"]),
    ("    base: ./base\n    adapter: ./adapter\n", "", "3: models.tuned", ["has no weights"]),
    ("    base: ./base\n", "    base: ./base\n    path: ./x\n", "5: models.tuned.base",
     ["stands beside `path`"]),
    ("path: ./base}", "path: ./base, allow_different_base: x}",
     "7: models.plain.allow_different_base", ["given without `adapter`"]),
    ("path: ./base}", "path: ./base, base_revision: x}", "7: models.plain.base_revision",
     ["given without `base`"]),
    ("path: ./base}", "path: ./base, leaderboard: true}", "7: models.plain.leaderboard",
     ["only for published and recorded models"]),
    ("judges:", "  old: {role: published}\njudges:", "8: models.old", ["has no figures"]),
    ("judges:", "  old: {role: published, leaderboard: true, path: x}\njudges:",
     "8: models.old.path", ["known by its figures only"]),
    ("judges:", OLD, "8: models.old.figures.0.benchmark", ["did you mean 'pairs'?"]),
    ("judges:", OLD.replace("source: s", "source: ''"), "8: models.old.figures.0.source",
     ["is empty"]),
    ("judges:", TWICE, "9: models.old.figures.1", ["'m' of 'pairs' a second time", "figures.0"]),
    ("    tasks: [a, b]\n", "  - {type: choices}\n", "13: benchmarks.2",
     ["a second benchmark 'choices' (the first: suite.yaml:12: benchmarks.1)", "`name`"]),
    ("role: candidate", "role: baseline", "2: models", ["no model with `role: candidate`"]),
]  # fmt: skip


@pytest.mark.parametrize(("old", "new", "where", "parts"), CASES, ids=[c[2] for c in CASES])
def test_one_mistake(
    old: str, new: str, where: str, parts: list[str], problems: Finder, good: str
) -> None:
    assert old in good
    found = problems(good.replace(old, new, 1))
    hits = [p for p in found if p.where == f"suite.yaml:{where}"]
    assert hits, found
    for part in parts:
        assert any(part in p.message for p in hits), hits
    # The one mistake is told once (a missing `name` beside the misspelt one is a second).
    assert len(found) == (2 if "nmae" in new else 1), found


FIVE = """\
# A LoRA adapter against its base, with five mistakes.
name: five

models:
  tuned: # ours
    role: candidate
    base: ./base
    adapter: ./adapter
  plain:
    role: baseline
    path: ./base
    revison: main

engine:
  type: vllm
  max_len: 8

judges:
  strong:
    type: served
    model: m
    max_cost_usd: lots
  self:
    type: engine
    model: plain

benchmarks:
  - type: pairs
    judge: self
  - type: choices
    tasks:
      - a
      - b
    shots: 3

gate:
  baseline: plain
  margins: {pairs: 3, default: 1}
  alpha: 5
"""


def test_five_mistakes_in_five_sections_come_at_once(problems: Finder) -> None:
    found = {p.where.removeprefix("suite.yaml:"): p.message for p in problems(FIVE)}
    assert list(found) == [
        "12: models.plain.revison",
        "16: engine.max_len",
        "22: judges.strong.max_cost_usd",
        "34: benchmarks.1.shots",
        "39: gate.alpha",
    ]
    assert found["12: models.plain.revison"].startswith(
        "unknown field 'revison'; did you mean 'revision'?"
    )
    assert found["16: engine.max_len"] == "8; expected a number greater than or equal to 16"
    assert found["22: judges.strong.max_cost_usd"] == "'lots'; expected a number"
    assert "expected one of 'type', 'name', 'judge'" in found["34: benchmarks.1.shots"]
    assert found["39: gate.alpha"] == "5; expected a number less than 0.5"


def test_everything_at_once(problems: Finder) -> None:
    text = """\
models:
  a: {role: candidat, path: x}
  b: {rol: baseline, base: x}
judges: {j: {type: engin}}
benchmarks:
  - {type: pairs, judge: k, max_tokens: 0}
  - {type: choices, shots: 3}
gate: {baseline: c, margins: {pairz: 1}}
report: {formats: [pdf]}
sed: 1
"""
    found = problems(text, "engine.dtyp=float32", "benchmarks.9.version=1")
    assert [p.where for p in found] == [
        "suite.yaml:1: name",
        "suite.yaml:2: models.a.role",
        "suite.yaml:3: models.b.rol",
        "suite.yaml:3: models.b.base",
        "suite.yaml:4: judges.j.type",
        "suite.yaml:6: benchmarks.0.max_tokens",
        "suite.yaml:6: benchmarks.0.judge",
        "suite.yaml:7: benchmarks.1.shots",
        "suite.yaml:8: gate.baseline",
        "suite.yaml:8: gate.margins.pairz",
        "suite.yaml:9: report.formats.0",
        "suite.yaml:10: sed",
        "--set benchmarks.9.version",
        "--set engine.dtyp: engine.dtyp",
    ]


@pytest.mark.parametrize("section", ["models", "benchmarks"])
def test_missing_section(section: str, problems: Finder) -> None:
    text = "name: a\nmodels: {m: {path: x}}\nbenchmarks: [{type: choices}]\n"
    lines = [line for line in text.splitlines() if not line.startswith(section)]
    (found,) = problems("\n".join(lines))
    assert found.where == f"suite.yaml:1: {section}"
    assert found.message.startswith("missing; write")


WRONG = {
    "models": ["", "3", "[]", "{}", "text"],
    "judges": ["", "3", "[]", "text"],
    "benchmarks": ["", "3", "[]", "{}", "text"],
    "engine": ["", "3", "[]", "text"],
    "report": ["", "3", "[]", "text"],
    "gate": ["3", "[]", "{}", "text"],
}


@pytest.mark.parametrize(("section", "value"), [(s, v) for s, vs in WRONG.items() for v in vs])
def test_section_of_a_wrong_kind(section: str, value: str, problems: Finder) -> None:
    text = {"name": "a", "models": "{m: {path: x}}", "benchmarks": "[{type: choices}]"}
    found = problems("\n".join(f"{k}: {v}" for k, v in {**text, section: value}.items()))
    assert len(found) == 1, found
    assert f": {section}" in found[0].where


@pytest.mark.parametrize(
    ("wrong", "most", "says"),
    [
        ("arc_chalenge", 1, "; did you mean 'arc_challenge'?"),
        ("arc_easy_", 2, "; did you mean 'arc_easy' or 'arc_eas'?"),
        ("drop", 3, ""),
        ("", 1, ""),
    ],
)
def test_the_nearest_names_are_quoted(wrong: str, most: int, says: str) -> None:
    assert did_you_mean(wrong, ("arc_challenge", "arc_easy", "arc_eas", "winogrande"), most) == says


# Files that a suite names


FILES = """\
name: files
models:
  tuned: {base: ./bsae, adapter: ../none/adapter, chat_template: own.jinja}
  plain:
    role: baseline
    path: package://evalkit/none.gguf
  other: {role: baseline, path: package://no_such_package/x.gguf}
  hub: {role: baseline, path: org/model, chat_template: "fastchat:vicuna_v1.1"}
  served: {role: baseline, path: nowhere, engine: {type: fake}}
judges: {local: {type: engine, model: plain}}
benchmarks:
  - {type: alpaca_eval, judge: local, data: answers.jsonl}
  - {type: lm_eval, tasks: [a], include: tasks}
"""


def wrong(text: str, folder: Path, *overrides: str) -> dict[str, str]:
    path = folder / "s.yaml"
    path.write_text(text)
    with pytest.raises(SuiteError) as caught:
        suite.check(path, overrides, plugins)
    return {p.where.removeprefix(f"{path}:"): p.message for p in caught.value.problems}


def test_everything_that_is_not_there_at_once(tmp_path: Path) -> None:
    (tmp_path / "base").mkdir()
    found = wrong(FILES, tmp_path)
    assert list(found) == [
        "3: models.tuned.base",
        "3: models.tuned.adapter",
        "3: models.tuned.chat_template",
        "6: models.plain.path",
        "7: models.other.path",
        "12: benchmarks.0.data",
        "13: benchmarks.1.include",
    ]
    assert "'./bsae': there is no folder" in found["3: models.tuned.base"]
    assert "did you mean 'base'?" in found["3: models.tuned.base"]
    assert "'no_such_package' is not installed" in found["7: models.other.path"]


def test_what_is_there_is_fine(tmp_path: Path) -> None:
    for name in ("bsae", "adapter", "tasks"):
        (tmp_path / name).mkdir()
    for name in ("own.jinja", "answers.jsonl"):
        (tmp_path / name).write_text("")
    text = FILES.replace("../none/adapter", str(tmp_path / "adapter")).replace(
        "none.gguf", "api.py"
    )
    text = text.replace("no_such_package/x.gguf", "evalkit/api.py")
    path = tmp_path / "s.yaml"
    path.write_text(text)
    assert suite.check(path, [], plugins).suite.name == "files"


@pytest.mark.parametrize("path", ["./org/model", "x.gguf", "a/b/c", "org/model.gguf", "/no/where"])
def test_what_no_repository_is_called_must_be_here(path: str, tmp_path: Path) -> None:
    text = (
        f"name: f\nmodels: {{m: {{path: {path}}}}}\nbenchmarks: [{{type: lm_eval, tasks: [a]}}]\n"
    )
    assert list(wrong(text, tmp_path)) == ["2: models.m.path"]


def test_bundled_suites_name_only_what_is_there() -> None:
    for path in suite.bundled().values():
        suite.check(path, [], plugins)


def test_missing_files_and_other_mistakes_come_together(tmp_path: Path) -> None:
    text = FILES.replace("name: files", "nmae: files").replace("type: fake", "type: fkae")
    found = wrong(text, tmp_path)
    assert "3: models.tuned.base" in found
    assert "did you mean 'name'?" in found["1: nmae"]
    assert "did you mean 'fake'?" in found["9: models.served.engine.type"]
    # Whether a model needs weights is not known while its engine is not.
    assert "9: models.served.path" not in found


# Keys are refused and never shown


KEY = "sk-proj-4f9aZ81kQx7Lm2Tn5Vb3"


@pytest.mark.parametrize(
    "judge",
    [
        f"{{type: served, model: m, api_key: {KEY}}}",
        "{type: served, model: m, api_key: hunter2}",
        f"{{type: served, model: {KEY}}}",
        f"{{type: served, model: m, api_key_env: {KEY}}}",
        f"{{type: served, model: m, headers: {{Authorization: Bearer {KEY}}}}}",
        f"{{type: {KEY}}}",
        f"[{KEY}]",
        f"{{type: served, model: m, {KEY}: x}}",
        f"{{type: served, model: m, url: 'https://me:{KEY}@host.example/v1'}}",
    ],
)
def test_refused_and_not_shown(judge: str, problems: Finder, good: str) -> None:
    found = problems(good.replace("{type: engine, model: plain}", judge))
    text = "\n".join(map(str, found))
    assert KEY not in text
    assert "hunter2" not in text
    assert any("api_key_env" in p.message and p.where.startswith("suite.yaml:9") for p in found)


@pytest.mark.parametrize("override", [f"judges.self.api_key={KEY}", f"seed={KEY}", f"seed=[{KEY}"])
def test_override_does_not_show_it(override: str, problems: Finder, good: str) -> None:
    assert KEY not in "\n".join(map(str, problems(good, override)))


def test_mapping_does_not_show_it(catalogue: Catalogue) -> None:
    with pytest.raises(SuiteError) as caught:
        suite.load_mapping({"judges": {"j": {"api_key": KEY}}}, "--base", [], catalogue)
    assert KEY not in str(caught.value)


def test_what_is_a_secret() -> None:
    secret = "api_key apikey API-KEY x-api-key openai_api_key password hf_token token secret"
    plain = "api_key_env max_tokens bos_token keys model"
    assert all(map(names_secret, [*secret.split(), "Authorization"]))
    assert not any(map(names_secret, plain.split()))
    values = "task-force-7b-2024-long-name HuggingFaceH4/zephyr-7b-beta https://host.example:8000"
    assert not any(map(looks_secret, [*values.split(), 3, None]))
    assert len(shown("x" * 500)) <= 82


# Struck values


STRUCK = """\
name: s
models:
  a: {path: org/a, engine: {type: vllm, serve: lora}}
engine:
  type: vllm
  serve: lora
benchmarks: [{type: lm_eval, tasks: [arc_easy], include: gone}]
report:
  charts: radar
"""


def test_a_file_that_has_them_is_told_what_to_write(tmp_path: Path) -> None:
    path = tmp_path / "s.yaml"
    path.write_text(STRUCK)
    (tmp_path / "gone").mkdir()
    with pytest.raises(SuiteError) as caught:
        suite.load(path, [], plugins)
    found = {p.where.removeprefix(f"{path}:"): p.message for p in caught.value.problems}
    assert list(found) == ["3: models.a.engine.serve", "6: engine.serve", "9: report.charts"]
    assert found["6: engine.serve"].startswith("'lora' is no longer offered; expected 'merged'")
    assert found["9: report.charts"].startswith("'radar' is no longer drawn; expected 'bars'")


def test_a_stored_run_that_has_them_reads_without_its_files() -> None:
    stored: dict[str, Any] = {
        "name": "s",
        "models": {"a": {"path": "./gone", "engine": {"type": "vllm", "serve": "lora"}}},
        "engine": {"type": "vllm", "serve": "lora"},
        "benchmarks": [{"type": "lm_eval", "tasks": ["arc_easy"], "include": "gone"}],
        "report": {"charts": "radar"},
    }
    made = suite.load_stored(stored, "manifest.json", plugins)
    assert made.report.charts == "bars"
    assert made.engine.model_dump()["serve"] == "merged"
    assert stored["report"] == {"charts": "radar"}, "reading changes nothing"
    with pytest.raises(SuiteError, match=r"manifest\.json: sed: unknown field 'sed'"):
        suite.load_stored({**stored, "sed": 1}, "manifest.json", plugins)

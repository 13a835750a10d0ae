"""Each kind of mistake: its line, its field, its value, what was expected, the nearest name."""

from __future__ import annotations

import pytest

from tests.suite.conftest import Finder

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

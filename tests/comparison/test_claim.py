"""Claims: whether runs support a sentence, within the family of all that they compare."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import pytest
from scipy import stats
from statsmodels.stats.multitest import multipletests

from evalkit.comparison.claim import ClaimResult
from evalkit.comparison.claim import claim as checked
from evalkit.comparison.contests import Options, contests, stored
from evalkit.comparison.guard import allowed_fields
from evalkit.comparison.ranking import floors, rankings
from evalkit.comparison.resolve import Names, Place
from evalkit.core import Record
from evalkit.core.contests import Contest
from evalkit.core.figures import (
    Estimator,
    Figure,
    FigureKey,
    Finding,
    Interval,
    Measured,
    Method,
    Source,
)
from evalkit.core.run import EvidenceEntry, Run
from evalkit.core.specs import GateSpec
from evalkit.draw import contest_label, contest_sentence, metric_label
from evalkit.errors import ComparisonError
from tests.support.leaderboards import ENTRY, V1_SIZES, board_run
from tests.support.runs import Plan, build_run, with_manifest, with_suite

OPTIONS = Options()
TWO = Plan(models=("a", "b"), advantage=0.5, local_judge=False)
PLACES = ("alpaca_eval", "mt_bench", "lm_eval/sums", "lm_eval/opposites")
SUMS = FigureKey("lm_eval", "sums", "exact_match,strict-match")


def made(folder: Path, plan: Plan = TWO) -> Run:
    return build_run(plan, folder)


@pytest.fixture
def run(tmp_path: Path) -> Run:
    return made(tmp_path / "one")


def claim(run: Run, text: str) -> ClaimResult:
    return checked([run], text, OPTIONS)


def answer(run: Run, text: str) -> str:
    return claim(run, text).answer


def row(run: Run, key: FigureKey, baseline: str = "b") -> Contest:
    return next(c for c in stored(run) if (c.key, c.comparison.baseline) == (key, baseline))


def with_finding(run: Run, model: str) -> Run:
    finding = Finding("x", "rows repeat", damaged=True)
    entry = EvidenceEntry(model=model, entry="lm_eval", kind="lm_eval", findings=(finding,))
    return with_manifest(run, evidence=(entry,))


def without(run: Run, model: str, benchmark: str = "", task: str = "") -> Run:
    """Without some of a model's records."""
    kept = (
        r for r in run.records
        if r.model != model or benchmark not in ("", r.benchmark) or task not in ("", r.task)
    )  # fmt: skip
    return replace(run, records=tuple(kept), figures=())


def published(model: str, key: FigureKey, point: float) -> Figure:
    method = Method(Estimator.PUBLISHED, Interval.STATED)
    value = Measured(point, None, None, None, 0.95, 0, 0, 0, method)
    return Figure(model, key, "points", value, Source(f"card of {model}"))


# --- answers ------------------------------------------------------------------------------------


def test_a_better_model_beats_and_is_not_beaten(run: Run) -> None:
    assert row(run, SUMS).verdict == "better"
    for text, said in {
        "a beats b on lm_eval/sums": "supported",
        "a clearly surpasses B on the lm_eval/sums benchmark.": "supported",
        "b is outperformed by a on lm_eval/sums": "supported",
        "b beats a on lm_eval/sums": "contradicted",
        "a is worse than b on lm_eval/sums": "contradicted",
        "a is best on lm_eval/sums": "supported",
        "b is the best on lm_eval/sums": "contradicted",
        "a is not worse than b by more than 1 point on lm_eval/sums": "supported",
        "b is not worse than a by more than 1 point on lm_eval/sums": "contradicted",
        "a was not beaten by b on lm_eval/sums": "supported",
        "b was not beaten by a on lm_eval/sums": "contradicted",
        "a does not outperform b on lm_eval/sums": "contradicted",
    }.items():
        assert answer(run, text) == said, text


def test_all_parts_and_all_statements_must_hold(tmp_path: Path) -> None:
    """Intersection-union (Berger 1982): the p is the largest of the parts'."""
    run = made(tmp_path, replace(TWO, models=("a", "b", "c")))
    each = [claim(run, f"a beats {other} on lm_eval/sums").p_one_sided for other in "bc"]
    both = claim(run, "a beats both b and c on lm_eval/sums")
    two = claim(run, "a beats b on lm_eval/sums and surpasses c on lm_eval/sums")
    for found in (both, two):
        assert found.answer == "supported"
        assert found.p_one_sided == max(p for p in each if p is not None)
        assert len(found.reasons) == 2
    assert answer(run, "b beats c on lm_eval") == "not supported"
    assert answer(run, "a beats b on lm_eval/sums, and b beats a on lm_eval/sums") == "contradicted"


def test_on_par_needs_a_margin_and_both_sides(run: Run) -> None:
    assert answer(run, "a matches b on lm_eval/sums") == "not supported"
    assert answer(run, "a matches b within 90 points on lm_eval/sums") == "supported"
    assert answer(run, "a matches b within 1 point on lm_eval/sums") != "supported"
    gated = with_suite(
        run, gate=GateSpec(baseline="b", margins={"default": {"percent": 90.0, "points": 90.0}})
    )
    assert answer(gated, "a matches b on lm_eval/sums") == "supported"
    reason = claim(gated, "a matches b on lm_eval/sums").reasons[0]
    assert "margin 90.00 (of the suite's gate); " in reason
    assert "is in points of 10, not in percent" in claim(
        run, "a matches b within 30% on mt_bench"
    ).reasons[0]  # fmt: skip


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("a beats b by more than 1 point on lm_eval/sums", "supported"),
        ("a beats b by more than {point} points on lm_eval/sums", "not supported"),
        ("a beats b by more than 95 points on lm_eval/sums", "contradicted"),
        ("b is worse than a by more than 1 point on lm_eval/sums", "supported"),
        ("b beats a by more than 1 point on lm_eval/sums", "contradicted"),
        ("a beats b by {point} points on lm_eval/sums", "supported"),
        ("a is {point} points better than b on lm_eval/sums", "supported"),
        ("a beats b by {near} points on lm_eval/sums", "not supported"),
        ("a beats b by 95.0 points on lm_eval/sums", "contradicted"),
        ("b beats a by {point} points on lm_eval/sums", "contradicted"),
    ],
)
def test_an_amount_is_a_bound_or_the_difference_as_printed(run: Run, text: str, said: str) -> None:
    d = row(run, SUMS).comparison.difference
    assert d.point is not None
    assert d.low is not None
    assert d.high is not None
    assert 1 < d.low < d.point - 2 < d.high < 95
    assert answer(run, text.format(point=f"{d.point:.1f}", near=f"{d.point - 2:.1f}")) == said


def test_a_claim_by_an_amount_has_a_p(run: Run) -> None:
    """One-sided t test against the amount, by scipy."""
    d = row(run, SUMS).comparison.difference
    assert d.point is not None
    assert d.standard_error is not None
    found = claim(run, "a beats b by more than 30 points on lm_eval/sums")
    t = (d.point - 30) / d.standard_error
    assert found.p_one_sided == pytest.approx(stats.t.sf(t, d.n_units - 1), abs=1e-9)


def test_a_figure_is_stated_as_it_is_printed(tmp_path: Path) -> None:
    run = made(tmp_path, replace(TWO, published=True))
    own = run.figure("a", SUMS)
    assert own is not None
    point = own.value.point
    assert point is not None
    for text, said in {
        f"a scores {point:.2f} on lm_eval/sums": "supported",
        f"a reaches {point:.0f}% on lm_eval/sums": "supported",
        f"a scores {point + 1:.2f} on lm_eval/sums": "contradicted",
        "claude-2 scores 91.38 on AlpacaEval": "supported",
        "claude-2 scores 92.38 on AlpacaEval": "not supported",
    }.items():
        assert answer(run, text) == said, text
    with pytest.raises(ComparisonError, match="several figures"):
        claim(run, "a scores 91.38 on lm_eval")


def test_the_suggestion_is_what_the_data_show(tmp_path: Path) -> None:
    run = made(tmp_path, replace(TWO, models=("a", "b", "c")))
    found = claim(run, "b beats c on lm_eval/sums")
    assert found.answer == "not supported"
    assert "No significant difference between b and c on lm-eval: sums" in found.suggestion


def test_lower_is_better_turns_the_sides(run: Run) -> None:
    entries = [
        entry.model_copy(
            update={
                "tasks": {
                    name: about.model_copy(
                        update={
                            "metrics": tuple(
                                replace(m, higher_is_better=False) for m in about.metrics
                            )
                        }
                    )
                    for name, about in entry.tasks.items()
                }
            }
        )
        for entry in run.manifest.benchmarks
    ]
    turned = replace(run, manifest=run.manifest.model_copy(update={"benchmarks": tuple(entries)}))
    assert answer(turned, "b beats a on lm_eval/sums") == "supported"
    assert answer(turned, "a is not worse than b by more than 1 point on lm_eval/sums") == (
        "contradicted"
    )


# --- the family ---------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory) -> list[Run]:
    """In some of them a difference holds alone and not among the eight of the report."""
    plan = Plan(models=("a", "b", "c"), samples=(60, 30, 60), advantage=0.1, local_judge=False)
    folder = tmp_path_factory.mktemp("runs")
    return [made(folder / str(n), replace(plan, seed=n)) for n in range(1, 4)]


@pytest.mark.slow
def test_the_correction_is_that_of_the_report(runs: Sequence[Run]) -> None:
    """Holm, as statsmodels computes it over all headline contests of the run."""
    for run in runs:
        rows = [c for c in stored(run) if c.family == "headline"]
        oracle = multipletests([c.comparison.p for c in rows], method="holm")[1]
        for one, p in zip(rows, oracle, strict=True):
            key = one.key
            place = key.benchmark if key.benchmark == key.task else f"{key.benchmark}/{key.task}"
            found = claim(run, f"a beats {one.comparison.baseline} on {place}")
            assert found.p_adjusted == pytest.approx(p)
            assert found.tests == len(rows) == 8


@pytest.mark.slow
def test_a_claim_says_what_the_report_says(runs: Sequence[Run]) -> None:
    hidden = 0
    for run in runs:
        said = {
            (c.comparison.baseline, c.key.task): c for c in stored(run) if c.family == "headline"
        }
        for other in "bc":
            for place in PLACES:
                one = said[other, place.rpartition("/")[2]]
                found = claim(run, f"a beats {other} on {place}")
                wanted = {"better": "supported", "worse": "contradicted"}
                assert found.answer == wanted.get(one.verdict, "not supported")
                assert found.reasons[0].startswith(contest_sentence(one))
                turned = claim(run, f"{other} beats a on {place}")
                wanted = {"better": "contradicted", "worse": "supported"}
                assert turned.answer == wanted.get(one.verdict, "not supported")
                if one.verdict == "not_significant" and (one.comparison.p or 1) < 0.05:
                    hidden += 1
                    assert "among the 8 headline comparisons of the run" in found.reasons[0]
    assert hidden, "in no run does the correction change a verdict"


def test_an_amount_is_corrected_too(runs: Sequence[Run]) -> None:
    """Better by more than next to nothing is no way around the correction."""
    alike = 0
    for run in runs:
        for place in PLACES:
            plain = claim(run, f"a beats b on {place}")
            amount = claim(run, f"a beats b by more than 0.0001 points on {place}")
            assert amount.p_adjusted == pytest.approx(plain.p_adjusted, abs=1e-3)
            alike += plain.answer == amount.answer
    assert alike >= 4 * len(runs) - 1


def test_best_needs_the_leaderboards_first_place(runs: Sequence[Run]) -> None:
    for run in runs:
        floor = floors(stored(run))
        first = {
            key.task: ranking.place("a")
            for key, ranking, _ in rankings(run.records, run.benchmarks, 0.95, floor)
        }
        for place in PLACES:
            found, own = claim(run, f"a is best on {place}"), first[place.rpartition("/")[2]]
            assert own is not None
            if own.last > 1:
                assert found.answer != "supported"


@pytest.mark.slow
def test_one_part_of_many_contradicts_only_after_correction(tmp_path: Path) -> None:
    """Twelve equal models: that some look better than the first is chance, not a finding.

    Holm over the parts, as statsmodels computes it.
    """
    plan = Plan(models=tuple("abcdefghijkl"), samples=(1, 1, 40), advantage=0.0, local_judge=False)
    against: list[float] = []
    for seed in range(40):
        run = made(tmp_path / str(seed), replace(plan, seed=seed))
        rows = [c for c in run.comparisons if c.key == SUMS]
        against = [
            c.p / 2 if c.difference.point < 0 else 1 - c.p / 2
            for c in rows
            if c.p is not None and c.difference.point is not None
        ]
        if len(against) == len(rows) and 0.004 < min(against) < 0.02:
            break
    assert min(against) < 0.025, "alone it would contradict"
    assert min(multipletests(against, method="holm")[1]) > 0.025
    found = claim(run, "a is best on lm_eval/sums")
    assert found.answer == "not supported"
    assert sum("Taken alone a would be worse" in r for r in found.reasons) == sum(
        p <= 0.025 for p in against
    )


# --- what speaks against the evidence -----------------------------------------------------------


@pytest.mark.parametrize(
    "text",
    [
        "a beats b on alpaca_eval",
        "a is best on alpaca_eval",
        "a beats b by more than 1 point on alpaca_eval",
        "a is not worse than b by more than 30 points on alpaca_eval",
        "b beats a on alpaca_eval",
        "a matches b within 90 points on alpaca_eval",
    ],
)
def test_no_claim_stands_or_falls_on_a_local_judge(tmp_path: Path, text: str) -> None:
    plan = Plan(models=("a", "b"), samples=(200, 4, 8), advantage=0.4)
    found = claim(made(tmp_path, plan), text)
    assert found.answer == "not supported"
    assert "What a local judge prefers supports no claim." in found.reasons[0]
    assert any("judged by base-judge, a model of the suite" in note for note in found.notes)
    assert "better" not in found.suggestion
    sound = claim(made(tmp_path, replace(plan, local_judge=False)), text)
    assert sound.answer == ("contradicted" if text.startswith("b beats") else "supported")


def test_damaged_evidence_supports_nothing_unless_accepted(run: Run) -> None:
    damaged, text = with_finding(run, "a"), "a beats b on lm_eval/sums"
    found = claim(damaged, text)
    assert found.answer == "not supported"
    assert "Damaged evidence of a: rows repeat." in found.reasons
    limited = replace(run, manifest=run.manifest.model_copy(update={"limit": 20}))
    (note,) = claim(limited, text).notes
    assert note.startswith("Limited run: at most 20 samples per task")
    assert claim(limited, text).reasons[0].endswith(note)
    assert found.suggestion == ""
    assert checked([damaged], text, replace(OPTIONS, accept_damaged=True)).answer == "supported"
    named = claim(with_finding(run, "b"), "a beats one:b on lm_eval/sums")
    assert "Damaged evidence of b: rows repeat." in named.reasons


def test_settings_that_may_differ_are_said_and_others_stop_no_claim(
    run: Run, tmp_path: Path
) -> None:
    entry, *others = run.manifest.benchmarks
    description = entry.description.model_copy(update={"max_tokens": 512})
    changed = (entry.model_copy(update={"description": description}), *others)
    other = replace(
        run,
        folder=tmp_path / "two",
        manifest=run.manifest.model_copy(update={"benchmarks": changed}),
    )
    sides = [without(run, "b"), without(other, "a")]
    assert entry.name == "alpaca_eval"
    assert checked(sides, "a beats b on lm_eval/sums", OPTIONS).answer == "supported"
    with pytest.raises(ComparisonError, match="max_tokens"):
        checked(sides, "a beats b on alpaca_eval", OPTIONS)
    allowed = Options(allow_different=frozenset({"max_tokens"}))
    for text in (
        "a beats b on alpaca_eval",
        "a is not worse than b by more than 3 points on alpaca_eval",
        "a beats b by more than 1 point on alpaca_eval",
    ):
        (reason,) = checked(sides, text, allowed).reasons
        assert "Settings differ: max_tokens: 256 against 512" in reason


# --- lengths ------------------------------------------------------------------------------------


def lengthened(run: Run, by: float) -> Run:
    """Every answer of a is about so many characters longer."""

    def longer(n: int, record: Record) -> Record:
        more = by + n % 7 if record.model == "a" else 0
        scores = tuple(
            replace(s, value=s.value + more) if s.metric == "avg_length" else s
            for s in record.outcome.scores
        )
        return replace(record, outcome=replace(record.outcome, scores=scores))

    records = tuple(longer(n, r) for n, r in enumerate(run.records))
    return replace(run, records=records, figures=(), comparisons=())


def test_a_length_is_longer_or_shorter_and_never_better(run: Run) -> None:
    for by, word, other in ((3000, "longer", "shorter"), (-3000, "shorter", "longer")):
        moved = lengthened(run, by)
        for text, said in {
            f"a is {word} than b on AlpacaEval (average length)": "supported",
            f"a gives {word} answers than b": "supported",
            f"a gives {other} answers than b on AlpacaEval": "contradicted",
            f"a is {word} than b by more than 300 characters on alpaca_eval avg_length":
                "supported",
            f"a is {word} than b by more than 9000 characters on alpaca_eval avg_length":
                "contradicted",
            "a matches b within 5000 characters on alpaca_eval avg_length": "supported",
            f"a is {word} than b on AlpacaEval win rate": "not supported",
            f"a gives {word} answers than b on mt_bench": "not supported",
        }.items():  # fmt: skip
            assert answer(moved, text) == said, text
        for text in ("a beats b", "b beats a", "a is worse than b", "a is best",
                     "a is not worse than b by more than 900 characters"):  # fmt: skip
            found = claim(moved, f"{text} on alpaca_eval avg_length")
            assert found.answer == "not supported"
            assert "AlpacaEval (average length) has no better direction" in found.reasons[0]
            assert "better" not in found.suggestion


# --- what is not there --------------------------------------------------------------------------

MT_BENCH = FigureKey("mt_bench", "mt_bench", "score")


def test_figures_without_samples_are_printed_with_the_reason(run: Run) -> None:
    kept = tuple(r for r in run.records if r.benchmark != "mt_bench")
    figures = (published("a", MT_BENCH, 7.3), published("b", MT_BENCH, 7.34))
    found = claim(replace(run, records=kept, figures=figures), "a beats b on mt_bench")
    assert found.answer == "not supported"
    reason, ours, theirs = found.reasons
    assert reason.startswith("a and b have no samples of MT-Bench in common: without scores of")
    assert ours == "a, MT-Bench, score, both turns: 7.30 (card of a)"
    assert theirs == "b, MT-Bench, score, both turns: 7.34 (card of b)"
    assert found.suggestion == ""
    apart = tuple(r for r in run.records if (r.model == "a") == (r.benchmark == "lm_eval"))
    bare = replace(run, records=apart, figures=figures)
    assert "7.30 (card of a)" in claim(bare, "a beats b on mt_bench").reasons[1]
    assert answer(replace(run, records=apart, figures=()), "a beats b") == "not supported"


def test_published_figures_support_no_difference(tmp_path: Path) -> None:
    run = made(tmp_path, replace(TWO, published=True, advantage=0.9))
    found = claim(run, "a beats claude 2 on alpaca_eval")
    assert found.answer == "not supported"
    assert "Only published figures of claude-2" in found.reasons[0]
    assert [r.partition(":")[0] for r in found.reasons[1:]] == [
        "a, AlpacaEval, win rate",
        "claude-2, AlpacaEval, win rate",
    ]
    assert "91.38 (https://leaderboard.example" in found.reasons[2]
    best = claim(run, "a is best on alpaca_eval")
    assert best.answer == "not supported"
    assert any("Only published figures of claude-2" in reason for reason in best.reasons)
    assert any("a is better than b" in reason for reason in best.reasons)


def test_what_one_side_lacks_is_missed_where_it_is_named(run: Run) -> None:
    bare = without(run, "b", "lm_eval", "opposites")
    assert answer(bare, "a beats b on lm_eval/sums") == "supported"
    found = claim(bare, "a beats b on lm_eval/sums and lm_eval/opposites")
    assert found.answer == "not supported"
    assert any("no samples of lm-eval: opposites in common" in r for r in found.reasons)
    whole = claim(bare, "a beats b on lm_eval")
    said = "Not compared: lm-eval: opposites: a has samples, b has none."
    assert (whole.answer, said in whole.reasons) == ("not supported", True)


def test_a_claim_on_what_is_common_says_what_is_not(run: Run) -> None:
    bare = without(without(without(run, "b", "mt_bench"), "b", "alpaca_eval"), "a", "alpaca_eval")
    bare = without(without(bare, "a", "lm_eval", "opposites"), "b", "lm_eval", "opposites")
    found = claim(bare, "a beats b")
    assert found.answer == "supported"
    assert "Not compared: MT-Bench: a has samples, b has none." in found.reasons


def test_what_has_figures_but_no_samples_is_not_passed_over(tmp_path: Path) -> None:
    run = made(tmp_path, replace(TWO, advantage=0.9))
    arena = FigureKey("arena", "arena", "rating")
    more = replace(run, figures=(*run.figures, *(published(m, arena, 1.0) for m in "ab")))
    assert answer(run, "a beats b") == "supported"
    for text in ("a beats b", "a beats b on all benchmarks", "a beats b on arena"):
        found = claim(more, text)
        assert found.answer == "not supported"
        assert any("arena" in reason for reason in found.reasons)


def test_a_figure_over_all_samples_has_no_paired_interval(run: Run) -> None:
    """Length-controlled win rates come from a model of all games, not from single ones."""
    own = [f for f in run.figures if (f.key.benchmark, f.key.metric) == ("alpaca_eval", "win_rate")]
    more = [replace(f, key=replace(f.key, metric="length_controlled_win_rate")) for f in own]
    whole = replace(run, figures=(*run.figures, *more))
    found = claim(whole, "a significantly outperforms b on length-controlled AlpacaEval")
    assert found.answer == "not supported"
    first, *known = found.reasons
    assert "of a and b has no paired interval: it is computed over all samples at once" in first
    assert len(known) == 2


# --- places -------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "place", ["mt_bench/coding", "MT-Bench/mt_bench/coding", "MT-Bench coding", "MT-Bench, coding"]
)
def test_a_category_can_be_claimed_and_is_not_its_benchmark(place: str, run: Run) -> None:
    one = next(
        c for c in contests([run], "a", ["b"], OPTIONS)
        if (c.key.metric, c.key.category) == ("score", "coding")
    )  # fmt: skip
    (reason,) = claim(run, f"a beats b on {place}").reasons
    assert "MT-Bench, coding" in reason
    assert f"{one.comparison.difference.n} scores" in reason
    (reason,) = claim(run, "a beats b on mt_bench").reasons
    assert "coding" not in reason
    with pytest.raises(ComparisonError, match=r"nearest: .*mt_bench/coding"):
        claim(run, "a beats b in coding and math")


def test_what_compare_prints_of_a_row_is_a_place(run: Run) -> None:
    """Every label of `compare --all`, given back, is that row's and no other's."""
    names = Names([run])
    found = contests([run], "a", ["b"], OPTIONS)
    assert {c.key.category for c in found} >= {None, "coding"}
    for one in found:
        key, exact = one.key, contest_label(replace(one, primary=True))
        place = names.place(contest_label(one))
        assert (place.benchmark, place.category) == (key.benchmark, key.category)
        assert place.task in (None, key.task)
        assert place.metric in (None, key.metric)
        assert place.metric is not None or one.primary
        named = names.place(f"{exact} ({metric_label(key.metric)})")
        assert named == Place(key.benchmark, key.task, key.metric, key.category)


def test_a_label_of_several_places_is_none_of_them(run: Run) -> None:
    """An entry of another name may carry the label that lm_eval has."""
    entry = run.benchmark("lm_eval").model_copy(update={"name": "lm-eval"})
    other = tuple(replace(r, benchmark="lm-eval") for r in run.records if r.benchmark == "lm_eval")
    both = replace(
        run,
        records=(*run.records, *other),
        manifest=run.manifest.model_copy(update={"benchmarks": (*run.manifest.benchmarks, entry)}),
    )
    for label in ("lm-eval: sums", "LM-Eval: sums"):
        with pytest.raises(ComparisonError, match=r"'lm-eval/sums', 'lm_eval/sums'; write one"):
            claim(both, f"a beats b on {label}")
    for name in ("lm_eval", "lm-eval"):
        assert Names([both]).place(f"{name}/sums") == Place(name, "sums")


def test_a_setting_that_may_differ_must_be_one(run: Run) -> None:
    assert allowed_fields([run], ()) == frozenset()
    for name in ("data", "max_tokens", "fingerprint"):
        assert allowed_fields([run], [name]) == {name}
    with pytest.raises(ComparisonError, match=r"'max_tokns' .*did you mean 'max_tokens'"):
        allowed_fields([run], ["data", "max_tokns"])


def test_a_claim_on_the_leaderboard_is_about_its_average(tmp_path: Path) -> None:
    run = board_run(tmp_path, {"a": 0.62, "b": 0.5})
    for place in (ENTRY, "Open LLM Leaderboard", f"{ENTRY}/average", f"{ENTRY} average"):
        found = claim(run, f"a beats b on {place}")
        assert found.answer == "supported"
        (reason,) = found.reasons
        assert "Open LLM Leaderboard average" in reason
    assert answer(run, "b beats a") == "contradicted"
    assert "mmlu" in claim(run, f"a beats b on {ENTRY}/mmlu").reasons[0]
    assert "mmlu_anatomy" in claim(run, f"a beats b on {ENTRY}/mmlu_anatomy").reasons[0]
    gated = with_suite(run, gate=GateSpec(baseline="b", margins={f"{ENTRY}/average": 99.0}))
    assert "margin 99.00" in claim(gated, "a matches b").reasons[0]
    sizes = {task: n for task, n in V1_SIZES.items() if task != "gsm8k"}
    half = board_run(tmp_path, {"a": 0.9, "b": 0.2}, sizes=sizes)
    found = claim(half, f"a beats b on {ENTRY}")
    assert found.answer == "not supported"
    assert "gsm8k" in found.reasons[0] or "No conclusion" in found.reasons[0]


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("a is nice", "is not understood: no relation between models is named; expected one of"),
        ("a almost reaches b on alpaca_eval", "'almost' names no margin"),
        ("x beats b", "no model is called 'x'"),
        ("a beats b on arc", "no benchmark is called 'arc'"),
        ("a beats a on alpaca_eval", "compared with itself"),
        ("a beats b on AlpacaEval 2", "no benchmark is called 'AlpacaEval 2'"),
    ],
)
def test_what_cannot_be_checked_says_why(run: Run, text: str, said: str) -> None:
    with pytest.raises(ComparisonError, match=said):
        claim(run, text)

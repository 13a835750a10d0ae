"""A training run followed in this process: what is measured, what is spent, what is said."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

import evalkit
from evalkit import runner, store
from evalkit.comparison import history
from evalkit.core.contests import GateResult
from evalkit.errors import DataError, SuiteError
from evalkit.runner import watch, watch_ledger
from tests.support.terminal import screen
from tests.watch.conftest import SUITE, break_weights, faults, remove, save, save_adapter, trained

pytestmark = pytest.mark.slow

LOOKS = 5


class Listener:
    """Remembers what it was told, and does what a test wants to happen meanwhile."""

    def __init__(self) -> None:
        self.notes: list[str] = []
        self.looks: list[watch_ledger.Look] = []

    def progress(self) -> runner.Progress:
        return runner.Silent()

    def note(self, text: str) -> None:
        self.notes.append(text)

    def decided(self, plan: watch_ledger.Plan, look: watch_ledger.Look, result: GateResult) -> None:
        self.looks.append(look)


def follow(
    listener: Listener | None = None,
    *,
    looks: int = LOOKS,
    once: bool = True,
    stop_on_regression: bool = False,
) -> watch.Summary:
    """`evalkit watch out small.yaml` in the current folder."""
    training = watch.training(Path("out"), "small.yaml")
    options = watch.Options(0.05, once, stop_on_regression)
    return watch.follow(training, looks, None, options, listener or watch.Silent())


def names(summary: watch.Summary) -> list[str]:
    return [look.checkpoint for look, _ in summary.looks]


def set_policy(workspace: Path, old: str, new: str) -> None:
    path = workspace / "small.yaml"
    text = path.read_text()
    assert old in text
    path.write_text(text.replace(old, new))


def test_each_whole_checkpoint_is_gated_in_the_order_of_training(workspace: Path) -> None:
    for step in (1000, 90, 500):
        save(workspace / "out" / f"checkpoint-{step}", step)
    listener = Listener()
    summary = follow(listener)
    assert names(summary) == ["checkpoint-90", "checkpoint-500", "checkpoint-1000"]
    assert [look.look for look in listener.looks] == [1, 2, 3]
    assert [verdict.verdict for _, verdict in summary.looks] == ["pass"] * 3
    assert summary.exit_code == 0
    assert summary.spent == pytest.approx(0.03)
    assert summary.left == pytest.approx(0.02)
    assert [verdict.gate["alpha"] for _, verdict in summary.looks] == pytest.approx([0.01] * 3)
    (series,) = summary.series
    assert [str(p.checkpoint.step) for p in series.points] == ["90", "500", "1,000"]
    assert history.best_of(series) is not None


def test_runs_are_ordinary_ones_that_history_reads(workspace: Path) -> None:
    for step in (20, 100):
        save(workspace / "out" / f"checkpoint-{step}", step)
    follow()
    runs, left_out = history.find_runs([workspace / "reports" / "small"])
    assert left_out == []
    found = history.checkpoints(runs).checkpoints
    assert [c.label for c in found] == ["tuned-checkpoint-20", "tuned-checkpoint-100"]
    (spec, _) = runs[0].manifest.suite.models.values()
    assert spec.path is not None
    assert spec.path.startswith("./out/checkpoint-")
    assert spec.model_dump()["revision"] is None


def test_nothing_is_done_twice(workspace: Path) -> None:
    save(workspace / "out" / "checkpoint-10")
    first = follow()
    faults(workspace, down=True)
    assert follow() == first
    save(workspace / "out" / "checkpoint-20", 1)
    faults(workspace)
    second = follow()
    assert names(second) == ["checkpoint-10", "checkpoint-20"]
    assert second.looks[0] == first.looks[0]


def test_a_half_written_one_is_taken_when_it_is_whole(workspace: Path) -> None:
    save(workspace / "out" / "checkpoint-10")
    half = save(workspace / "out" / "checkpoint-20", 1)
    break_weights(half)
    summary = follow()
    assert names(summary) == ["checkpoint-10"]
    assert "cut short" in summary.standing.lacking["checkpoint-20"]
    assert summary.exit_code == 0, "what is being written is not overdue"
    save(half, 1)
    assert names(follow()) == ["checkpoint-10", "checkpoint-20"]


def test_nothing_at_all_is_not_passed(workspace: Path) -> None:
    summary = follow()
    assert summary.exit_code == 3
    assert "no checkpoint has a verdict yet" in screen(watch.summary_lines(summary))


def test_deleted_after_evaluation_is_fine(workspace: Path) -> None:
    folder = save(workspace / "out" / "checkpoint-10")
    before = follow()
    remove(folder)
    after = follow()
    assert after.looks == before.looks
    assert after.exit_code == 0


def test_deleted_while_it_is_evaluated_is_fine(workspace: Path) -> None:
    folder = save(workspace / "out" / "checkpoint-10")

    class Deletes(Listener):
        def progress(self) -> runner.Progress:
            remove(folder)
            return runner.Silent()

    training = watch.training(Path("out"), "small.yaml")
    with watch_ledger.Ledger(training.ledger_folder) as ledger:
        ledger.begin(training.plan(LOOKS, "even"))
        watch.watch(training, ledger, watch.Options(0.05, once=True), Deletes())
        (failure,) = ledger.failures
        assert "deleted before it was read" in failure.reason
        assert ledger.looks == []


def test_overwritten_while_it_is_evaluated_spends_nothing(workspace: Path) -> None:
    folder = save(workspace / "out" / "checkpoint-10")

    class Writes(runner.Silent):
        def stop(self) -> None:
            save(folder, 7.0)

    class Overwrites(Listener):
        def progress(self) -> runner.Progress:
            return Writes()

    summary = follow(Overwrites())
    assert names(summary) == []
    assert "changed while it was evaluated" in summary.failures[0].reason
    assert summary.exit_code == 3
    assert names(follow()) == ["checkpoint-10"]


def test_one_that_does_not_load_spends_nothing_and_is_tried_again(workspace: Path) -> None:
    save(workspace / "out" / "checkpoint-10")
    faults(workspace, down=True)
    listener = Listener()
    summary = follow(listener)
    assert (names(summary), summary.spent, summary.exit_code) == ([], 0.0, 3)
    assert "the fake engine is down" in summary.failures[0].reason
    assert any("spends nothing" in note for note in listener.notes)
    assert any("tries it again" in line for line in screen(watch.summary_lines(summary)))
    faults(workspace)
    again = follow()
    assert (names(again), again.failures, again.exit_code) == (["checkpoint-10"], (), 0)


def test_unanswered_samples_hold_a_look_back(workspace: Path) -> None:
    save(workspace / "out" / "checkpoint-10")
    faults(workspace, fail_every=6)
    summary = follow()
    assert names(summary) == []
    assert summary.failures[0].unanswered > 0
    assert summary.exit_code == 3
    faults(workspace)
    assert names(follow()) == ["checkpoint-10"]


def test_a_failure_is_tried_again_after_the_next_verdict(workspace: Path) -> None:
    """As when the device was full for a while."""
    save(workspace / "out" / "checkpoint-10")
    faults(workspace, down=True)

    class Recovers(Listener):
        def note(self, text: str) -> None:
            super().note(text)
            if "spends nothing" in text:
                faults(workspace)
                trained(save(workspace / "out" / "checkpoint-20", 1), 20, 20)

    summary = follow(Recovers(), once=False)
    assert names(summary) == ["checkpoint-20", "checkpoint-10"]
    assert [look.look for look, _ in summary.looks] == [1, 2]
    assert summary.exit_code == 0


def test_what_stays_unfinished_is_said_once(workspace: Path) -> None:
    save_adapter(workspace / "out" / "checkpoint-10")

    class Ends(Listener):
        def note(self, text: str) -> None:
            super().note(text)
            trained(save(workspace / "out" / "checkpoint-20", 1), 20, 20)

    listener = Ends()
    follow(listener, once=False)
    said = [note for note in listener.notes if "checkpoint-10" in note]
    assert len(said) == 1
    assert "it is a PEFT adapter" in said[0]


def test_a_failed_one_that_is_gone_is_said_and_does_not_count(workspace: Path) -> None:
    broken = save(workspace / "out" / "checkpoint-10")
    faults(workspace, down=True)
    follow()
    remove(broken)
    faults(workspace)
    save(workspace / "out" / "checkpoint-20", 1)
    summary = follow()
    assert summary.exit_code == 0
    assert any("it is not there any more" in line for line in screen(watch.summary_lines(summary)))


def test_changed_contents_are_said_and_have_no_verdict(workspace: Path) -> None:
    folder = save(workspace / "out" / "checkpoint-10")
    before = follow()
    save(folder, 5.0)
    listener = Listener()
    summary = follow(listener)
    assert summary.looks == before.looks
    assert summary.standing.changed == ("checkpoint-10",)
    assert summary.exit_code == 3
    assert any("has changed since it was evaluated" in note for note in listener.notes)
    assert any("changed: checkpoint-10" in line for line in screen(watch.summary_lines(summary)))


def test_the_plan_ends_the_watch(workspace: Path) -> None:
    for step in (10, 20, 30):
        save(workspace / "out" / f"checkpoint-{step}", step)
    summary = follow(looks=2, once=False)
    assert summary.standing.ended == "all planned looks are used"
    assert names(summary) == ["checkpoint-10", "checkpoint-20"]
    assert summary.standing.beyond == ("checkpoint-30",)
    assert summary.left == pytest.approx(0)
    assert any(
        "not evaluated: checkpoint-30" in line for line in screen(watch.summary_lines(summary))
    )


def test_the_last_step_ends_the_watch(workspace: Path) -> None:
    save(workspace / "out" / "checkpoint-10")
    trained(save(workspace / "out" / "checkpoint-20", 1), 20, 20)
    summary = follow(once=False)
    assert summary.standing.ended == "training has reached its last step"
    assert names(summary) == ["checkpoint-10", "checkpoint-20"]


def test_a_regression_ends_the_watch_where_that_is_asked(workspace: Path) -> None:
    set_policy(workspace, "default: 60", "default: 0")
    set_policy(workspace, "alpha: 0.05", "alpha: 0.45")
    set_policy(workspace, "exclusive: true", "exclusive: true, seed: 11")
    for step in (10, 20, 30):
        save(workspace / "out" / f"checkpoint-{step}", step)
    stopped = follow(looks=3, once=False, stop_on_regression=True)
    assert [v.verdict for _, v in stopped.looks] == ["inconclusive", "regression"]
    assert (stopped.exit_code, stopped.standing.ended) == (1, "a checkpoint regressed")
    assert follow(looks=3, stop_on_regression=True) == stopped
    every = follow(looks=3)
    assert every.looks[:2] == stopped.looks
    assert len(every.looks) == 3
    assert every.exit_code == 1, "what regressed stays so"


def test_undecided_looks_fail_where_the_policy_says_so(workspace: Path) -> None:
    set_policy(workspace, "default: 60", "default: 0")
    set_policy(workspace, "alpha: 0.05", "alpha: 0.0001, on_inconclusive: fail")
    save(workspace / "out" / "checkpoint-10")
    summary = follow()
    assert summary.looks[0][1].verdict == "inconclusive"
    assert summary.exit_code == 3


def test_a_look_that_may_spend_nothing_is_undecided(workspace: Path) -> None:
    save(workspace / "out" / "checkpoint-10")
    training = watch.training(Path("out"), "small.yaml")
    with watch_ledger.Ledger(training.ledger_folder) as ledger:
        ledger.begin(training.plan(100, "obrien_fleming"))
        standing = watch.watch(training, ledger, watch.Options(0.05, once=True), Listener())
        summary = watch.summarise(training, ledger, standing)
    (_, verdict) = summary.looks[0]
    assert verdict.verdict == "inconclusive"
    assert "keeps alpha for later looks" in verdict.reasons[0]
    json.dumps(watch.summary_json(summary), allow_nan=False)


def test_adapters_take_the_place_of_the_suites_adapter(workspace: Path) -> None:
    set_policy(workspace, "path: not/there/yet, revision: abc", "base: some/base")
    save_adapter(workspace / "out" / "checkpoint-10")
    save(workspace / "out" / "checkpoint-20")
    summary = follow()
    assert names(summary) == ["checkpoint-10"]
    assert "is not a PEFT adapter" in summary.standing.lacking["checkpoint-20"]
    run = store.load(workspace / "reports" / "small" / summary.looks[0][0].run)
    spec = run.manifest.suite.models["tuned-checkpoint-10"]
    assert (spec.base, spec.adapter) == ("some/base", "./out/checkpoint-10")


def test_another_suite_is_another_plan(workspace: Path) -> None:
    save(workspace / "out" / "checkpoint-10")
    follow()
    set_policy(workspace, "default: 60", "default: 70")
    with pytest.raises(SuiteError, match=r"gate\.margins"):
        follow()
    set_policy(workspace, "default: 70", "default: 60")
    set_policy(workspace, "exclusive: true", "exclusive: true, seed: 3")
    with pytest.raises(SuiteError, match="suite section 'engine'"):
        follow()
    set_policy(workspace, "seed: 3", "delay_s: 0.0")
    assert names(follow()) == ["checkpoint-10"], "what changes no answer changes no plan"


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        ("gate: {baseline: plain, margins: {default: 60}, alpha: 0.05}\n", "", "no gate section"),
        ("  plain: {role: baseline", "  more: {path: plain}\n  plain: {role: baseline", "2 cand"),
        ("type: engine, model: plain", "type: engine, model: tuned", "would change with every"),
        ("path: not/there/yet, revision: abc", "engine: {type: recorded}", "are recorded"),
        ("baseline: plain, m", "baseline: tuned, m", "baseline"),
        ("plain: {role: baseline", "tuned-checkpoint-1: {role: baseline", "plain"),
    ],
)
def test_suites_that_cannot_be_a_template(workspace: Path, old: str, new: str, said: str) -> None:
    set_policy(workspace, old, new)
    with pytest.raises(SuiteError, match=said):
        watch.training(Path("out"), "small.yaml")


def test_a_model_may_not_be_called_as_a_checkpoint_would_be(workspace: Path) -> None:
    text = SUITE.replace("plain: {", "tuned-checkpoint-1: {").replace(
        ": plain", ": tuned-checkpoint-1"
    )
    (workspace / "small.yaml").write_text(text)
    save(workspace / "out" / "checkpoint-1")
    with pytest.raises(SuiteError, match="rename that model"):
        follow()


def test_an_open_look_is_decided_from_its_run(workspace: Path) -> None:
    """As after `kill -9` between the two, with the checkpoint gone since."""
    folder = save(workspace / "out" / "checkpoint-10")
    before = follow()
    training = watch.training(Path("out"), "small.yaml")
    ledger = training.ledger_folder / "ledger.jsonl"
    whole = ledger.read_bytes()
    ledger.write_bytes(b"".join(whole.splitlines(keepends=True)[:-1]) + b'{"entry":"verd')
    remove(folder)
    listener = Listener()
    assert follow(listener).looks == before.looks
    assert [look.look for look in listener.looks] == [1]
    assert ledger.read_bytes() == whole


def test_a_run_that_is_gone_is_said_of_the_figures(workspace: Path) -> None:
    save(workspace / "out" / "checkpoint-10")
    before = follow()
    remove(workspace / "reports" / "small" / before.looks[0][0].run)
    after = follow()
    assert after.looks == before.looks
    assert "left out of the figures" in after.notes[0]


def test_without_any_score_a_look_is_incomplete_and_figures_are_missing(workspace: Path) -> None:
    set_policy(workspace, "exclusive: true", "exclusive: true, max_prompt_words: 4")
    save(workspace / "out" / "checkpoint-10")
    summary = follow()
    assert [v.verdict for _, v in summary.looks] == ["incomplete"]
    assert summary.series == ()
    assert any("avg_length" in note for note in summary.notes)


@pytest.mark.slow
def test_the_library_does_what_the_command_does(workspace: Path) -> None:
    save(workspace / "out" / "checkpoint-10")
    with pytest.raises(SuiteError, match="number of looks is missing"):
        evalkit.watch("out", "small.yaml", poll=0.05)
    summary = evalkit.watch("out", "small.yaml", looks=LOOKS, poll=0.05)
    assert names(summary) == ["checkpoint-10"]
    assert evalkit.watch(workspace / "out", "small.yaml", looks=LOOKS).plan != summary.plan
    assert evalkit.watch("out", "small.yaml") == summary == follow()


def test_the_folder_of_checkpoints_must_be_there(workspace: Path) -> None:
    with pytest.raises(DataError, match="nowhere"):
        watch.training(Path("nowhere"), "small.yaml")


def test_the_trainers_state_suggests_a_plan(workspace: Path) -> None:
    training = watch.training(Path("out"), "small.yaml")
    assert training.suggested_looks() is None
    trained(save(workspace / "out" / "checkpoint-5"), 5, 20)
    assert training.suggested_looks() == 4


def test_hostile_folder_names_stay_one_line_of_text(workspace: Path) -> None:
    name = "checkpoint-5, \x1b[31m\n:x"
    save(workspace / "out" / name)
    lines = screen(watch.summary_lines(follow()))
    assert not [line for line in lines if "\x1b" in line or "\n" in line]
    assert any("tuned-checkpoint-5- -[31m--x" in line for line in lines)

"""What benchmarks make of completions of models that think."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from evalkit.benchmarks.lm_eval import LmEval, LmEvalSpec
from evalkit.core import Completion, Outcome
from evalkit.core.protocols import BenchmarkContext, DataPlaces
from evalkit.engines._thinking import separated
from tests.support.flows import play

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def arithmetic(repository: Path) -> LmEval:
    context = BenchmarkContext(repository / "suites", DataPlaces(), None, seed=0)
    bench = LmEval(LmEvalSpec(tasks=("quickstart/tasks/arithmetic.yaml",)), context)
    bench.load()
    return bench


def outcomes(bench: LmEval, **completion: Any) -> list[Outcome]:
    def reply(request: Any) -> Completion:
        return separated(Completion(**completion), request.stop)

    return [play(bench.flow(sample, "m"), reply)[0] for sample in bench.samples()]


def test_an_unfinished_thought_is_scored_as_wrong(arithmetic: LmEval) -> None:
    found = outcomes(arithmetic, text="<think>\nIt is 7. Or 12. Or", truncated=True)
    assert {o.status for o in found} == {"unfinished"}
    assert {s.value for o in found for s in o.scores} == {0.0}
    assert all(o.scores and o.is_wrong and not o.is_missing and o.thoughts for o in found)


def test_an_answer_is_scored_as_without_its_thought(arithmetic: LmEval) -> None:
    plain = outcomes(arithmetic, text=" 7 balls")
    thought = outcomes(arithmetic, text="<think>\nNot 3.\n\nQuestion: 4?\n</think>\n\n 7 balls")
    assert [o.scores for o in thought] == [o.scores for o in plain]
    assert 0 < sum(s.value for o in plain for s in o.scores) < len(plain)


def test_ifeval_reads_the_answer_alone() -> None:
    """lm-eval's own checker of instructions that a thought would break."""
    pytest.importorskip("lm_eval")
    from lm_eval.tasks.ifeval.utils import process_results

    doc = {
        "key": 1,
        "prompt": "Answer in lowercase, without commas.",
        "instruction_id_list": ["punctuation:no_comma", "change_case:english_lowercase"],
        "kwargs": [{}, {}],
    }
    text = "it is a river in the north of the country"
    whole = Completion(text=f"<think>\nWell, LET ME see,\n</think>\n\n{text}")
    found = process_results(doc, [separated(whole, ()).text])
    assert found == process_results(doc, [text])
    assert found["prompt_level_strict_acc"]
    assert not process_results(doc, [whole.text])["prompt_level_strict_acc"]

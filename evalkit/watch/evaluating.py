"""One checkpoint: from its folder to a run, a look and a verdict.

    folder ─ fingerprint ─▶ run of the suite ─ whole? ─▶ look (alpha is spent) ─ gate ─▶ verdict

Whatever stops this before the look spends nothing: a checkpoint that does not load, or whose run
lacks answers, is a `Failure`, and is tried again.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

from evalkit import gate, models, runner, store
from evalkit.core import Run
from evalkit.errors import EngineError, ModelError
from evalkit.models import FileHashes, digest
from evalkit.watch.folders import Folder
from evalkit.watch.ledger import Failure, Ledger, Look, Verdict
from evalkit.watch.spending import LEAST_LEVEL
from evalkit.watch.training import Training

__all__ = ["contents", "decide", "evaluate", "fingerprint"]


def contents(folder: Folder, training: Training) -> Mapping[str, str]:
    """SHA-256 of each file that decides what the checkpoint answers; empty where it is gone."""
    hashes = FileHashes(training.origin.workspace)
    try:
        return hashes.of(models.model_files(folder.path, adapter=training.template.adapter))
    except OSError:
        return {}


def fingerprint(found: Mapping[str, str]) -> str:
    """Of a checkpoint's contents."""
    return digest(["checkpoint", dict(found)])


def evaluate(
    folder: Folder, training: Training, ledger: Ledger, progress: runner.Progress
) -> Look | Failure:
    """Measure a checkpoint; where that is whole, spend a look on it.

    Raises:
        EvalkitError: What is not the checkpoint's fault: the suite, data, a judge, the disk.
    """
    before = contents(folder, training)
    mark = fingerprint(before)
    if not before:
        return _failed(ledger, Failure(folder.name, mark, "it was deleted before it was read"))
    failure = None
    try:
        result = runner.run_suite(training.suite(folder), training.run_origin(), progress)
    except (ModelError, EngineError) as error:
        failure = Failure(folder.name, mark, str(error))
    else:
        after = contents(folder, training)
        # What is gone by now was deleted; the model was in memory.
        if any(before.get(name) != found for name, found in after.items()):
            failure = Failure(folder.name, mark, "its files changed while it was evaluated")
        elif result.unanswered:
            failure = Failure(folder.name, mark, result.reasons, result.unanswered)
    if failure is not None:
        return _failed(ledger, failure)
    name, run_id = training.model(folder), str(result.run.manifest["run_id"])
    merged = result.models[name].path
    if merged is not None:
        # A 7B adapter leaves 14 GB; a training run has many.
        models.discard(merged, training.origin.workspace)
    return ledger.open_look(folder.name, mark, name, run_id)


def _failed(ledger: Ledger, failure: Failure) -> Failure:
    ledger.fail(failure)
    return failure


def decide(look: Look, training: Training, ledger: Ledger) -> gate.GateResult:
    """The gate at a look's level; written as its verdict.

    Raises:
        DataError: the look's run is not there any more.
    """
    run = store.read_run(training.reports / look.run)
    result = _decided(run, look, training)
    ledger.decide(
        Verdict(look.look, result.verdict, result.exit_code, result.reasons, result.to_json())
    )
    return result


def _decided(run: Run, look: Look, training: Training) -> gate.GateResult:
    level = max(look.level, LEAST_LEVEL)
    policy = training.gate.model_copy(update={"alpha": level})
    result = gate.gate_run(run, policy, candidate=look.model)
    if look.level >= LEAST_LEVEL:
        return result
    reason = f"look {look.look} may spend next to nothing: the plan keeps alpha for later looks"
    if result.verdict == "incomplete":
        return replace(result, reasons=(*result.reasons, reason))
    return replace(result, verdict="inconclusive", reasons=(reason,))

"""IFEval's verdicts as evidence: what the published checker wrote about each response.

Source: https://github.com/google-research/google-research, `instruction_following_eval`
(Apache-2.0; Zhou et al. 2023, arXiv:2311.07911), files `eval_results_strict.jsonl` and
`eval_results_loose.jsonl`.  One raw row (texts shortened):

    {"follow_all_instructions": false, "follow_instruction_list": [true, false],
     "instruction_id_list": ["punctuation:no_comma", "length_constraints:number_words"],
     "prompt": "Write a 300+ word ...", "response": "..."}

The names of metrics are lm-eval's, and so are the sample ids (the place in the file, which is that
in the data set), so that the figures stand beside those of a live `ifeval`.  `prompt_level_*` is
the share of prompts whose instructions were all followed, `inst_level_*` that of instructions.

The file names no model.  Responses without verdicts (`{"prompt", "response"}`) are answers: a
`recorded` engine takes them for a benchmark that checks them here.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Literal

from evalkit import data
from evalkit.core.evidence import Evidence, ImportOptions
from evalkit.core.figures import Metric
from evalkit.core.requests import Json, Message
from evalkit.core.run import Description
from evalkit.core.samples import Outcome, Record, Score
from evalkit.errors import DataError
from evalkit.formats._reading import Row, expanded, no_files, not_read, require_name

__all__ = ["read"]

KIND = "ifeval"
TASK = "ifeval"
_FIELDS = {"follow_all_instructions": bool, "follow_instruction_list": list, "prompt": str}
_NAME = "input_response_data_"
"""How the published script calls its files of responses."""


def read(files: Sequence[Path], options: ImportOptions) -> list[Evidence]:
    """One model's evidence: of its strict verdicts, its loose ones, or both.

    Raises:
        DataError: a file is not what IFEval's script writes, or the two are of other prompts.
    """
    datasets, others = [], []
    for path, named in expanded(files):
        if named or path.name.startswith("eval_results_"):
            dataset = data.read_jsonl(path)
            data.require(dataset, _FIELDS, {"response": str})
            datasets.append(dataset)
        else:
            others.append(path)
    if not datasets:
        raise no_files(files, others, "verdicts of IFEval (eval_results_strict.jsonl, ..._loose)")
    by_kind = {_kind(dataset.path): dataset for dataset in datasets}
    prompts = [[row["prompt"] for row in dataset.records] for dataset in datasets]
    if len(by_kind) < len(datasets) or any(found != prompts[0] for found in prompts):
        raise DataError(
            f"{', '.join(d.path.name for d in datasets)}: expected one file of strict verdicts and "
            f"at most one of loose ones, of the same prompts in the same order"
        )
    model = options.models[0] if options.models else ""
    require_name(model)
    entry = options.entry or KIND
    metrics = tuple(
        Metric(_metric(level, kind), "percent", scale=100.0, primary=not n and level == "prompt")
        for n, kind in enumerate(by_kind)
        for level in ("prompt", "inst")
    )
    records = tuple(
        _record(model, entry, n, {kind: d.records[n] for kind, d in by_kind.items()})
        for n in range(len(prompts[0]))
    )
    named_files = tuple({"file": d.path.name, "sha256": d.sha256} for d in datasets)
    about = Description(type="recorded", version="1", format=KIND, files=named_files)
    left = (not_read(others, "no verdicts of IFEval"),) if others else ()
    return [Evidence(model, entry, KIND, about, {TASK: metrics}, records, findings=left)]


def model_of_responses(files: Sequence[Path]) -> str | None:
    """The model that a single file of responses without verdicts names; empty: none.

    None where the files are anything else.
    """
    if len(files) != 1 or files[0].is_dir():
        return None
    dataset = data.read_jsonl(files[0])
    first = dataset.records[0] if dataset.records else {}
    if not {"prompt", "response"} <= first.keys() or "follow_all_instructions" in first:
        return None
    stem = files[0].name.partition(".json")[0]
    return stem.removeprefix(_NAME) if stem.startswith(_NAME) else ""


def _kind(path: Path) -> Literal["strict", "loose"]:
    return "loose" if "loose" in path.name else "strict"


def _metric(level: str, kind: str) -> str:
    return f"{level}_level_{kind}_acc"


def _record(model: str, entry: str, place: int, rows: Mapping[str, Row]) -> Record:
    first = next(iter(rows.values()))
    scores = tuple(score for kind, row in rows.items() for score in _scores(kind, row))
    response = first.get("response")
    outcome = Outcome(
        "ok",
        (Message("user", str(first["prompt"])),),
        answers=() if response is None else (str(response),),
        scores=scores,
    )
    return Record(model, entry, TASK, str(place), None, f"{TASK}:{place}", outcome)


def _scores(kind: str, row: Mapping[str, Json]) -> Iterator[Score]:
    """One of the prompt, and one of each instruction."""
    yield Score(_metric("prompt", kind), float(row["follow_all_instructions"]))
    for n, followed in enumerate(row["follow_instruction_list"]):
        yield Score(_metric("inst", kind), float(bool(followed)), part=f"#{n}" if n else "")

"""Small lm-eval tasks of every kind, as YAML files with absolute data paths.

lm-eval's own loader reads the same files, which makes it the oracle.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

WINO_FUNCTIONS = """
def doc_to_text(doc):
    return {"1": 0, "2": 1}[doc["answer"]]


def doc_to_target(doc):
    return doc["sentence"].split("_")[1].strip()


def doc_to_choice(doc):
    start = doc["sentence"].split("_")[0]
    return [start + doc["option1"], start + doc["option2"]]
"""


def metric(name: str, aggregation: str = "mean", **more: Any) -> dict[str, Any]:
    return {"metric": name, "aggregation": aggregation, "higher_is_better": True, **more}


def choice_docs(n: int, start: int = 0) -> list[dict[str, Any]]:
    return [
        {
            "question": f" Which of these is number {i}? ",
            "choices": [f"number {i}", f"the long number {i + 1}", f"{i + 2}", "none at all"][
                : 3 + i % 2
            ],
            "gold": i % 3,
        }
        for i in range(start, start + n)
    ]


def sum_docs(n: int, start: int = 0) -> list[dict[str, Any]]:
    return [
        {"question": f"What is {i} and {i % 4}?", "answer": f"It is so. #### {i + i % 4}"}
        for i in range(start, start + n)
    ]


WINO_DOCS = [
    {
        "sentence": f"The cup {i} did not fit into the bag because _ was too big.",
        "option1": "the cup",
        "option2": "the bag",
        "answer": str(1 + i % 2),
    }
    for i in range(8)
]
TEXT_DOCS = [{"text": f"Line {i} has {i * 'very '}few words.", "end": f"end {i}"} for i in range(6)]

CHOICE: dict[str, Any] = {
    "output_type": "multiple_choice",
    "doc_to_text": "Question:{{question}}\nAnswer:",
    "doc_to_choice": "{{choices}}",
    "doc_to_target": "{{gold}}",
    "training_split": "train",
    "test_split": "test",
}
SUMS: dict[str, Any] = {
    "output_type": "generate_until",
    "doc_to_text": "Q: {{question}}\nA:",
    "doc_to_target": "{{answer.split('####')[-1].strip()}}",
    "training_split": "train",
    "test_split": "test",
    "num_fewshot": 2,
    "generation_kwargs": {"until": ["\n\n", "Q:"], "do_sample": False, "max_gen_toks": 32},
}


def tasks() -> dict[str, tuple[str, dict[str, Any]]]:
    """(data set, config) by task name."""
    strict = {"function": "regex", "regex_pattern": "#### (\\-?[0-9]+)"}
    flexible = {"function": "regex", "regex_pattern": "(-?[0-9]+)", "group_select": -1}
    first = {"function": "take_first"}
    two = [
        {"name": "strict-match", "filter": [strict, first]},
        {"name": "flexible-extract", "filter": [flexible, first]},
    ]
    vote = [
        {"name": "first", "filter": [flexible, first]},
        {"name": "maj@4", "filter": [flexible, {"function": "majority_vote"}, first]},
    ]
    exact = [metric("exact_match", ignore_case=True)]
    sampled = {"until": ["\n\n"], "do_sample": True, "temperature": 0.7, "top_p": 0.9}
    return {
        "tiny_choice": (
            "choice",
            {**CHOICE, "num_fewshot": 3, "metric_list": [metric("acc"), metric("acc_norm")]},
        ),
        "tiny_first_n": (
            "choice",
            {
                **CHOICE,
                "num_fewshot": 2,
                "fewshot_split": "train",
                "fewshot_config": {"sampler": "first_n"},
                "description": "Pick one.\n\n",
                "metric_list": [metric("acc")],
            },
        ),
        "tiny_mutual": (
            "choice",
            {**CHOICE, "metric_list": [metric("acc"), metric("acc_mutual_info")]},
        ),
        "tiny_binary": (
            "binary",
            {
                **CHOICE,
                "doc_to_choice": ["no", "yes"],
                "metric_list": [
                    metric("acc"),
                    metric("f1", "f1"),
                    metric("mcc", "matthews_corrcoef"),
                ],
            },
        ),
        "tiny_yes_no": (
            "binary",
            {**CHOICE, "doc_to_choice": ["no", "yes"], "metric_list": [metric("acc")]},
        ),
        "tiny_brier": (
            "binary",
            {
                **CHOICE,
                "doc_to_choice": ["no", "yes"],
                "metric_list": [metric("brier_score", "brier_score")],
            },
        ),
        "tiny_sums": ("sums", {**SUMS, "filter_list": two, "metric_list": exact}),
        "tiny_vote": (
            "sums",
            {
                **SUMS,
                "repeats": 4,
                "filter_list": vote,
                "metric_list": exact,
                "generation_kwargs": sampled,
            },
        ),
        "tiny_prefill": (
            "sums",
            {**SUMS, "gen_prefix": "The sum is", "filter_list": two, "metric_list": exact},
        ),
        "tiny_bleu": ("sums", {**SUMS, "metric_list": [metric("bleu", "bleu")]}),
        "tiny_wino": (
            "wino",
            {
                "output_type": "multiple_choice",
                "validation_split": "test",
                "num_fewshot": 2,
                "training_split": "test",
                "doc_to_text": "!F doc_to_text",
                "doc_to_target": "!F doc_to_target",
                "doc_to_choice": "!F doc_to_choice",
                "metric_list": [metric("acc")],
            },
        ),
        "tiny_rolling": (
            "text",
            {
                "output_type": "loglikelihood_rolling",
                "test_split": "test",
                "doc_to_text": "",
                "doc_to_target": "text",
                "metric_list": [
                    metric("word_perplexity", "weighted_perplexity"),
                    metric("byte_perplexity", "weighted_perplexity"),
                    metric("bits_per_byte", "bits_per_byte"),
                ],
            },
        ),
        "tiny_ending": (
            "text",
            {
                "output_type": "loglikelihood",
                "test_split": "test",
                "doc_to_text": "{{text}}",
                "doc_to_target": " {{end}}",
                "metric_list": [metric("perplexity", "perplexity"), metric("acc")],
            },
        ),
    }


DATA: dict[str, dict[str, list[dict[str, Any]]]] = {
    "choice": {"train": choice_docs(7, 50), "test": choice_docs(11)},
    "binary": {
        "train": [{"question": "one", "gold": 0}],
        "test": [{"question": f"is {i} odd", "gold": i % 2} for i in range(12)],
    },
    "sums": {"train": sum_docs(6, 40), "test": sum_docs(9)},
    "wino": {"test": WINO_DOCS},
    "text": {"test": TEXT_DOCS},
}


@pytest.fixture(scope="session")
def task_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with all of `tasks`, their data, and a group of two."""
    import yaml

    folder = tmp_path_factory.mktemp("lm_eval_tasks")
    (folder / "wino_functions.py").write_text(WINO_FUNCTIONS)
    for name, splits in DATA.items():
        for split, docs in splits.items():
            lines = [json.dumps(doc) + "\n" for doc in docs]
            (folder / f"{name}_{split}.jsonl").write_text("".join(lines))
    for name, (data, config) in tasks().items():
        files = {s: str(folder / f"{data}_{s}.jsonl") for s in DATA[data]}
        kwargs = {"data_files": files, "cache_dir": str(folder / "cache")}
        full = {"task": name, "dataset_path": "json", "dataset_kwargs": kwargs, **config}
        text = yaml.safe_dump(full, sort_keys=False)
        text = text.replace("'!F ", "!function 'wino_functions.").replace(
            "'wino_functions.doc", "wino_functions.doc"
        )
        text = "\n".join(
            line.rstrip("'") if "!function" in line else line for line in text.splitlines()
        )
        (folder / f"{name}.yaml").write_text(text + "\n")
    group = {
        "group": "tiny_group",
        "task": ["tiny_choice", "tiny_yes_no"],
        "aggregate_metric_list": [{"metric": "acc", "weight_by_size": True}],
        "metadata": {"version": 2.0},
    }
    (folder / "tiny_group.yaml").write_text(yaml.safe_dump(group))
    return folder

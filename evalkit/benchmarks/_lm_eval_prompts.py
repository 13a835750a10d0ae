"""What an lm-eval task asks of each document: its instances, built in document order."""

from __future__ import annotations

import copy
from dataclasses import replace
from typing import Any, Protocol

from evalkit.benchmarks._lm_eval_2023 import Drawn, draw_as_2023
from evalkit.benchmarks._lm_eval_requests import chat_prompt
from evalkit.benchmarks._lm_eval_tasks import LoadedTask

__all__ = ["PromptSettings", "Prompts"]


class PromptSettings(Protocol):
    """What of the benchmark's spec decides a prompt."""

    @property
    def apply_chat_template(self) -> bool:
        """Ask in the model's chat format."""
        ...

    @property
    def fewshot_as_multiturn(self) -> bool:
        """Each worked example is a turn of its own."""
        ...

    @property
    def system_instruction(self) -> str | None:
        """Text before everything else; None: none."""
        ...

    @property
    def fewshot_seed(self) -> int:
        """Of the choice of worked examples."""
        ...

    @property
    def fewshot_draw(self) -> str:
        """`lm_eval` or `2023`: how worked examples are drawn."""
        ...


class Prompts:
    """A task's instances, built in document order because few-shot sampling has a state."""

    def __init__(self, item: LoadedTask, spec: PromptSettings) -> None:
        self._item = item
        self._spec = spec
        self._built: list[list[Any]] = []
        if spec.fewshot_draw == "2023" and (item.task.config.num_fewshot or 0) > 0:
            draw_as_2023(item, spec.fewshot_seed)

    def instances(self, index: int) -> list[Any]:
        """Fresh lm-eval Instances of document `index`, without responses."""
        while len(self._built) <= index:
            self._built.append(self._build(len(self._built)))
        return [
            replace(i, doc=copy.deepcopy(i.doc), resps=[], filtered_resps={})
            for i in self._built[index]
        ]

    def count(self) -> int:
        """Requests for all documents, without building their prompts."""
        task, docs = self._item.task, self._item.docs
        repeats = task.config.repeats or 1
        if task.OUTPUT_TYPE != "multiple_choice":
            return len(docs) * repeats
        twice = 2 if "acc_mutual_info" in task.aggregation() else 1
        return sum(len(task.doc_to_choice(doc)) for doc in docs) * repeats * twice

    def _build(self, index: int) -> list[Any]:
        """As `Task.build_all_requests` does for one document."""
        task, spec, doc = self._item.task, self._spec, self._item.docs[index]
        if isinstance(task.sampler, Drawn):
            task.sampler.document = index
        template = chat_prompt if spec.apply_chat_template else None
        context = task.fewshot_context(
            doc,
            num_fewshot=task.config.num_fewshot or 0,
            system_instruction=spec.system_instruction,
            apply_chat_template=spec.apply_chat_template,
            fewshot_as_multiturn=spec.fewshot_as_multiturn,
            chat_template=template,
            gen_prefix=task.doc_to_prefix(doc),
        )
        made = task.construct_requests(
            doc=doc,
            ctx=context,
            metadata=(self._item.name, index, task.config.repeats),
            apply_chat_template=spec.apply_chat_template,
            chat_template=template,
        )
        found = made if isinstance(made, list) else [made]
        return sorted(found, key=lambda instance: instance.idx)

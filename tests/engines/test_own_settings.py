"""A model's own generation_config.json; the oracle is lm-eval's hf backend on the same model."""

from __future__ import annotations

import json
import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from evalkit.core import Json, PreparedModel, Request
from evalkit.engines._keys import request_digest
from evalkit.engines._local import own_settings
from evalkit.engines.transformers import TransformersEngine, TransformersSpec
from evalkit.engines.vllm import VllmEngine, VllmSpec, _sampling_parameters
from evalkit.models.checkpoint import generation_settings

from .conftest import MakeModel, ask, completions

PROMPTS = ("One two three", "The quick brown fox jumps over", "Answer: no. Answer:")


def _with(model: PreparedModel, folder: Path, settings: dict[str, Json]) -> PreparedModel:
    assert model.path is not None
    path = Path(shutil.copytree(model.path, folder / "m"))
    (path / "generation_config.json").write_text(json.dumps({"eos_token_id": 2, **settings}))
    return replace(model, path=path, generation=generation_settings(path))


@pytest.mark.slow
@pytest.mark.parametrize(
    "settings",
    [
        {"repetition_penalty": 1.5},
        {"repetition_penalty": 1.1, "temperature": 0.7, "top_p": 0.8, "top_k": 20},
        {"no_repeat_ngram_size": 1},
        {"suppress_tokens": list(range(20, 200))},
        {"bad_words_ids": [[n] for n in range(30, 250, 2)]},
        {"sequence_bias": [[[0], 60.0]], "eos_token_id": [2, 0], "min_new_tokens": 4},
        {"sequence_bias": [[[n], 3.0] for n in range(40, 60)]},
    ],
    ids="-".join,
)
def test_greedy_answers_equal_those_of_lm_evals_hf_backend(
    settings: dict[str, Json], tiny_model: MakeModel, tmp_path: Path
) -> None:
    from lm_eval.api.instance import Instance
    from lm_eval.models.huggingface import HFLM

    model = _with(tiny_model(), tmp_path, settings)
    engine = TransformersEngine(TransformersSpec(device="cpu"), model)
    engine.open()
    plain = [c.text for c in completions(engine, [ask(p) for p in PROMPTS])]
    ours = [c.text for c in completions(engine, [ask(p, own_settings=True) for p in PROMPTS])]
    engine.close()
    theirs_lm = HFLM(pretrained=str(model.path), dtype="float32", device="cpu", batch_size=1)
    options = {"until": [], "max_gen_toks": 12, "do_sample": False}
    instances = [
        Instance(request_type="generate_until", doc={}, arguments=(p, options), idx=0)
        for p in PROMPTS
    ]
    theirs = theirs_lm.generate_until(instances, disable_tqdm=True)
    assert ours == [text.rstrip("\ufffd") for text in theirs]
    assert ours != plain


@pytest.mark.slow
@pytest.mark.parametrize("settings", [{"top_k": 1}, {"min_p": 1.0}, {"top_p": 1e-6}])
def test_sampled_answers_come_from_the_tokens_the_model_allows(
    settings: dict[str, Json], tiny_model: MakeModel, tmp_path: Path
) -> None:
    # Each of these leaves the likeliest token alone, whatever is drawn.
    engine = TransformersEngine(
        TransformersSpec(device="cpu"), _with(tiny_model(), tmp_path, settings)
    )
    engine.open()
    greedy = completions(engine, [ask(p) for p in PROMPTS])
    drawn = completions(engine, [ask(p, temperature=1.5, own_settings=True) for p in PROMPTS])
    free = completions(engine, [ask(p, temperature=1.5) for p in PROMPTS])
    engine.close()
    assert [c.text for c in drawn] == [c.text for c in greedy]
    assert [c.text for c in free] != [c.text for c in greedy]


SAMPLED: dict[str, Any] = {"temperature": 0.7, "own_settings": True}


@pytest.mark.slow
@pytest.mark.parametrize(
    ("settings", "request_fields", "applied"),
    [
        ({"top_p": 0.8, "min_p": 0.1}, {"own_settings": True}, {}),
        ({"repetition_penalty": 1.5}, {"own_settings": True}, {"repetition_penalty": 1.5}),
        ({"repetition_penalty": 1.5}, {}, {}),
        ({"top_p": 0.8, "min_p": 0.1}, SAMPLED, {"top_p": 0.8, "min_p": 0.1}),
        ({"top_p": 0.8, "min_p": 0.1}, {**SAMPLED, "top_p": 0.5}, {"min_p": 0.1}),
        ({"repetition_penalty": 1.0, "top_k": 0, "num_beams": 1}, SAMPLED, {}),
        ({"temperature": 0.6, "do_sample": True, "max_new_tokens": 5}, SAMPLED, {}),
    ],
)
def test_keys_change_only_where_a_setting_decides_the_answer(
    settings: dict[str, Json],
    request_fields: dict[str, Any],
    applied: dict[str, Json],
    tiny_model: MakeModel,
    tmp_path: Path,
) -> None:
    plain = tiny_model()
    model = _with(plain, tmp_path, settings)
    asked = ask(**request_fields)
    assert own_settings(model.generation, asked) == applied
    spec = TransformersSpec(device="cpu")
    keys = [TransformersEngine(spec, m).keys([asked]) for m in (plain, model)]
    assert (keys[0] == keys[1]) == (not applied)
    # A server applies its own; what evalkit would apply is in no key of its answers.
    assert request_digest({}, asked) == request_digest({}, replace(asked, own_settings=False))


def test_what_vllm_lacks_is_left_out_and_named(tiny_model: MakeModel, tmp_path: Path) -> None:
    settings = {"repetition_penalty": 1.2, "min_new_tokens": 3, "no_repeat_ngram_size": 2}
    engine = VllmEngine(VllmSpec(), _with(tiny_model(), tmp_path, settings))
    assert engine.own_settings() == {"repetition_penalty": 1.2, "min_new_tokens": 3}


@pytest.mark.slow
def test_vllm_is_given_the_settings_by_its_own_names() -> None:
    pytest.importorskip("vllm")
    asked = Request("m", "generate", "x", temperature=0.5, seed=1)
    own = {"repetition_penalty": 1.2, "top_p": 0.8, "min_new_tokens": 3}
    made = _sampling_parameters(asked, 0, None, own)
    assert (made.repetition_penalty, made.top_p, made.min_tokens) == (1.2, 0.8, 3)
    plain = _sampling_parameters(asked, 0, None, {})
    assert (plain.repetition_penalty, plain.top_p, plain.min_tokens) == (1.0, 1.0, 0)


def test_untidy_files_set_nothing(tmp_path: Path) -> None:
    assert generation_settings(tmp_path) == {}
    file = tmp_path / "generation_config.json"
    for text in ("{", "[]", '{"temperature": 0.9, "top_p": null, "_from_model_config": true}'):
        file.write_text(text)
        assert generation_settings(tmp_path) == {}
    file.write_text('{"num_beams": 4, "top_p": 0.6, "temperature": 0.9, "later_penalty": 2}')
    assert generation_settings(tmp_path) == {"later_penalty": 2, "num_beams": 4, "top_p": 0.6}


@pytest.mark.slow
def test_stop_ids_of_config_json_end_an_answer_where_nothing_else_names_them(
    tiny_model: MakeModel, tmp_path: Path
) -> None:
    from transformers import AutoModelForCausalLM

    plain = tiny_model()
    model = _with(plain, tmp_path, {})
    assert model.path is not None
    (model.path / "generation_config.json").unlink()
    file = model.path / "config.json"
    config = json.loads(file.read_text()) | {"eos_token_id": [2, *range(10, 300, 3)]}
    file.write_text(json.dumps(config))
    engine, before = (TransformersEngine(TransformersSpec(device="cpu"), m) for m in (model, plain))
    engine.open()
    asked = [ask(p) for p in PROMPTS]
    ours = [c.completion_tokens for c in completions(engine, asked)]
    theirs = []
    lm = AutoModelForCausalLM.from_pretrained(str(model.path))
    for request in asked:
        ids = torch_ids(engine.render(request).prompt_ids)
        theirs.append(lm.generate(ids, max_new_tokens=12, do_sample=False).shape[1] - ids.shape[1])
    assert ours == theirs
    assert min(ours) < 12
    assert engine.keys(asked) != before.keys(asked)
    engine.close()


def torch_ids(ids: tuple[int, ...]) -> Any:
    import torch

    return torch.tensor([ids])

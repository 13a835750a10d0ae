"""Chat templates: the tokenizer's own, a file, or one of FastChat's; never one guessed."""

from __future__ import annotations

import json
import re
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from evalkit import models
from evalkit.core import Message
from evalkit.core.specs import ModelSpec
from evalkit.errors import ModelError
from evalkit.models.template import (
    choose_template,
    fastchat_template,
    jinja_literal,
    own_template,
    render,
)

Make = Callable[..., Path]

# One of every separator style FastChat has that is made of fixed pieces.
STYLES = [
    "yuan2",
    "alpaca",
    "baichuan2-chat",
    "billa",
    "chatglm3",
    "mpt-7b-chat",
    "deepseek-chat",
    "dolly_v2",
    "falcon-chat",
    "internlm-chat",
    "aquila-v1",
    "deepseek-coder",
    "llama-2",
    "metamath",
    "one_shot",
    "phoenix",
    "Robin",
    "stablelm",
    "vicuna_v1.1",
    "zephyr",
]


@pytest.mark.parametrize("name", STYLES)
@pytest.mark.parametrize("system", [None, "Answer in rhymes."])
def test_fastchat_template_renders_fastchats_own_prompt(name: str, system: str | None) -> None:
    from fastchat.conversation import get_conv_template

    template = fastchat_template(name)
    theirs = get_conv_template(name)
    messages: list[Message] = []
    if system is not None:
        theirs.set_system_message(system)
        messages.append(Message("system", system))
    for question, answer in (("What is 2+2?", "4."), ("And\nhalved? {x}", "2 \N{SNOWMAN}")):
        theirs.append_message(theirs.roles[0], question)
        theirs.append_message(theirs.roles[1], None)
        messages.append(Message("user", question))
        assert render(template, messages) == theirs.get_prompt()
        theirs.update_last_message(answer)
        messages.append(Message("assistant", answer))


def test_transformers_renders_the_derived_template_alike(make_model: Make) -> None:
    from transformers import AutoTokenizer

    template = fastchat_template("vicuna_v1.1")
    messages = [Message("user", 'Hi "you"'), Message("assistant", "Yes?"), Message("user", "A")]
    tokenizer = AutoTokenizer.from_pretrained(str(make_model()))
    theirs = tokenizer.apply_chat_template(
        [{"role": m.role, "content": m.content} for m in messages],
        chat_template=template,
        tokenize=False,
        add_generation_prompt=True,
    )
    assert theirs == render(template, messages)
    assert theirs.endswith("USER: A ASSISTANT:")


def test_unknown_fastchat_name_lists_the_nearest() -> None:
    with pytest.raises(ModelError, match=r"no template 'zephir'; the nearest are zephyr"):
        fastchat_template("zephir")


@pytest.mark.parametrize("name", ["chatglm", "rwkv", "chatgpt"])
def test_fastchat_template_that_is_not_fixed_pieces_is_refused(name: str) -> None:
    with pytest.raises(ModelError, match="cannot be written as a chat template"):
        fastchat_template(name)


@given(st.text(alphabet=st.characters(codec="utf-8")))
def test_literals_print_what_they_hold(text: str) -> None:
    assert render(jinja_literal(text), []) == text


def test_tokenizer_that_adds_bos_gets_it_from_the_fastchat_template(
    make_model: Make, tmp_path: Path
) -> None:
    plain = choose_template("fastchat:llama-2", make_model(), tmp_path).text
    folder = Path(shutil.copytree(make_model(), tmp_path / "m"))
    raw = json.loads((folder / "tokenizer.json").read_text())
    raw["post_processor"] = {
        "type": "TemplateProcessing",
        "single": [
            {"SpecialToken": {"id": "<s>", "type_id": 0}},
            {"Sequence": {"id": "A", "type_id": 0}},
        ],
        "pair": [{"Sequence": {"id": "A", "type_id": 0}}, {"Sequence": {"id": "B", "type_id": 0}}],
        "special_tokens": {"<s>": {"id": "<s>", "ids": [1], "tokens": ["<s>"]}},
    }
    (folder / "tokenizer.json").write_text(json.dumps(raw))
    chosen = choose_template("fastchat:llama-2", folder, tmp_path)
    with_bos, source = chosen.text, chosen.source
    assert plain is not None
    assert with_bos is not None
    assert source == "fastchat:llama-2"
    ask = [Message("user", "Hi")]
    bos = {"bos_token": "<s>"}
    assert render(with_bos, ask, context=bos) == "<s>" + render(plain, ask)


def test_own_template_is_found_in_every_form(tmp_path: Path) -> None:
    assert own_template(tmp_path) is None
    config = tmp_path / "tokenizer_config.json"
    config.write_text(json.dumps({"chat_template": "in config"}))
    assert own_template(tmp_path) == "in config"
    named = [{"name": "tool", "template": "t"}, {"name": "default", "template": "d"}]
    config.write_text(json.dumps({"chat_template": named}))
    assert own_template(tmp_path) == "d"
    (tmp_path / "chat_template.jinja").write_text("in file")
    assert own_template(tmp_path) == "in file"


def test_no_template_is_no_error_until_a_conversation_is_rendered(
    make_model: Make, tmp_path: Path
) -> None:
    spec = ModelSpec(path=str(make_model(template=False)))
    found = models.prepare("zephyr-7b-beta", spec, tmp_path, tmp_path, lambda _line: None)
    assert (found.chat_template, found.template_source) == (None, "none")


@pytest.mark.parametrize(
    ("template", "words"),
    [
        ("{% for m in %}", r"cannot be rendered \(line 1\)"),
        ("{{ raise_exception('no!') }}", "no!"),
        ("hello", "leaves out the user's message"),
        (None, "cannot read the chat template"),
        ("{% for i in range(10**9) %}{% endfor %}", r"'file:t\.jinja' .*OverflowError"),
        ("{{ 1 / 0 }}", r"'file:t\.jinja' .*ZeroDivisionError"),
        ("{{ messages.append(1) }}", r"'file:t\.jinja' .*SecurityError"),
        ("{{ 1 | dictsort }}", r"'file:t\.jinja' .*AttributeError"),
        ("{{ messages[0]['content'] | indent(none) }}", r"'file:t\.jinja' cannot be rendered"),
    ],
)
def test_bad_template_file_is_one_clear_error(
    template: str | None, words: str, make_model: Make, tmp_path: Path
) -> None:
    if template is not None:
        (tmp_path / "t.jinja").write_text(template)
    with pytest.raises(ModelError, match=words):
        choose_template("t.jinja", make_model(), tmp_path)


def test_template_may_join_the_tokenizers_special_tokens(make_model: Make, tmp_path: Path) -> None:
    # As zephyr's and Llama 2's own templates do; an undefined name cannot be joined.
    text = "{{ bos_token + messages[0]['content'] + eos_token }}"
    (tmp_path / "t.jinja").write_text(text)
    chosen = choose_template("t.jinja", make_model(), tmp_path)
    assert (chosen.text, chosen.source) == (text, "file:t.jinja")
    (tmp_path / "t.jinja").write_text("{{ messages[0]['content'] + no_token }}")
    with pytest.raises(ModelError, match="'no_token' is undefined"):
        choose_template("t.jinja", make_model(), tmp_path)


def test_own_template_that_is_no_text_is_one_clear_error(tmp_path: Path) -> None:
    (tmp_path / "chat_template.jinja").write_bytes(b"\xff\xfe")
    with pytest.raises(ModelError, match="expected Jinja in UTF-8"):
        choose_template(None, tmp_path, tmp_path)


TOKENIZER_CODE = """
from transformers import PreTrainedTokenizerFast
class Own(PreTrainedTokenizerFast):
    pass
"""


def test_fastchat_template_heeds_trust_in_a_tokenizers_code(
    make_model: Make, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HF_MODULES_CACHE", str(tmp_path / "modules"))
    folder = Path(shutil.copytree(make_model(), tmp_path / "m"))
    (folder / "own.py").write_text(TOKENIZER_CODE)
    file = folder / "tokenizer_config.json"
    own = {"tokenizer_class": "Own", "auto_map": {"AutoTokenizer": [None, "own.Own"]}}
    file.write_text(json.dumps(json.loads(file.read_text()) | own))
    assert choose_template("fastchat:zephyr", folder, tmp_path, code=True).text is not None
    (folder / "tokenizer.json").write_text("{")
    for code in (False, True):
        with pytest.raises(ModelError, match="cannot load the tokenizer"):
            choose_template("fastchat:zephyr", folder, tmp_path, code=code)


def test_template_from_a_file_is_relative_to_the_suite(make_model: Make, tmp_path: Path) -> None:
    text = "{% for m in messages %}{% generation %}{{ m.content }}{% endgeneration %}{% endfor %}"
    (tmp_path / "t.jinja").write_text(text)
    chosen = choose_template("t.jinja", make_model(), tmp_path)
    assert (chosen.text, chosen.source) == (text, "file:t.jinja")


def test_a_template_in_the_home_of_nobody_is_not_found(tmp_path: Path) -> None:
    with pytest.raises(ModelError, match="cannot read the chat template"):
        choose_template("~nobody-of-this-name/x.jinja", tmp_path, tmp_path)


# --- what trying a template shows ----------------------------------------------------------------

TURNS = "{% for m in messages %}<{{ m['role'] }}>{{ m['content'] }}</>\n{% endfor %}"
OPENED = TURNS + "{% if add_generation_prompt %}<assistant>{% endif %}"
INST = (
    "{% for m in messages %}{% if m['role'] == 'user' %}[INST] {{ m['content'] }} [/INST]"
    "{% else %} {{ m['content'] }}</s>{% endif %}{% endfor %}"
)
"""As Llama 2's and Mistral's: the end of the user's turn opens the assistant's."""
REFUSES = (
    "{% if messages[0]['role'] == 'system' %}{{ raise_exception('no system') }}{% endif %}" + OPENED
)
USERS_ONLY = (
    "{% for m in messages if m['role'] != 'system' %}<{{ m['role'] }}>{{ m['content'] }}</>\n"
    "{% endfor %}{% if add_generation_prompt %}<assistant>{% endif %}"
)
THINKS = OPENED.replace("<assistant>{% endif", "<assistant><think>\n{% endif")


@pytest.mark.parametrize(
    ("template", "system_role", "words"),
    [
        (OPENED, True, []),
        (THINKS, True, []),
        (INST.replace("user'", "user' or m['role'] == 'system'"), True, []),
        (INST, True, []),
        (REFUSES, False, ["refuses system messages"]),
        (USERS_ONLY, True, ["leaves system messages out"]),
        (TURNS, True, [r"prompts end with '<user>.*</>\\n', .* write '<assistant>'"]),
        ("{{ strftime_now('%d %b %Y') }}" + OPENED, True, ["prints the date"]),
    ],
)
def test_what_a_template_does_is_said(
    template: str, system_role: bool, words: list[str], tmp_path: Path
) -> None:
    (tmp_path / "chat_template.jinja").write_text(template)
    found = choose_template(None, tmp_path, tmp_path)
    assert found.system_role == system_role
    assert found.dated == ("strftime_now" in template)
    assert len(found.warnings) == len(words)
    for warning, pattern in zip(found.warnings, words, strict=True):
        assert re.search(pattern, warning)


def test_an_adapters_own_template_is_used_and_disagreement_said(tmp_path: Path) -> None:
    base, adapter = tmp_path / "base", tmp_path / "adapter"
    for folder in (base, adapter):
        folder.mkdir()
    (base / "chat_template.jinja").write_text(OPENED)
    assert choose_template(None, base, tmp_path, adapter=adapter).source == "tokenizer"
    (adapter / "chat_template.jinja").write_text(OPENED + "\n")
    same = choose_template(None, base, tmp_path, adapter=adapter)
    assert (same.source, same.warnings) == ("adapter", ())
    (adapter / "chat_template.jinja").write_text("#" + OPENED)
    other = choose_template(None, base, tmp_path, adapter=adapter)
    assert other.text == "#" + OPENED
    assert "different chat templates" in other.warnings[0]
    # A template that the suite names settles it.
    (tmp_path / "t.jinja").write_text(OPENED)
    assert choose_template("t.jinja", base, tmp_path, adapter=adapter).warnings == ()


def test_templates_by_name_are_named_and_can_be_chosen(tmp_path: Path) -> None:
    config = tmp_path / "tokenizer_config.json"
    config.write_text(json.dumps({"chat_template": [{"name": "rag", "template": OPENED}]}))
    (tmp_path / "additional_chat_templates").mkdir()
    (tmp_path / "additional_chat_templates" / "tools.jinja").write_text("#" + OPENED)
    found = choose_template(None, tmp_path, tmp_path)
    assert found.text is None
    assert "'rag', 'tools'" in found.warnings[0]
    assert choose_template("tokenizer:rag", tmp_path, tmp_path).text == OPENED
    assert choose_template("tokenizer:tools", tmp_path, tmp_path).text == "#" + OPENED
    with pytest.raises(ModelError, match="'chat'; it has rag, tools"):
        choose_template("tokenizer:chat", tmp_path, tmp_path)


def test_a_processors_template_is_read(tmp_path: Path) -> None:
    (tmp_path / "chat_template.json").write_text(json.dumps({"chat_template": OPENED}))
    assert choose_template(None, tmp_path, tmp_path).text == OPENED


def test_a_bad_template_is_found_before_anything_is_merged(
    make_model: Make, tmp_path: Path
) -> None:
    adapter = tmp_path / "adapter"
    adapter.mkdir()
    (adapter / "adapter_model.safetensors").write_bytes(b"")
    (adapter / "adapter_config.json").write_text('{"peft_type": "LORA"}')
    (adapter / "chat_template.jinja").write_text("{% for %}")
    said: list[str] = []
    spec = ModelSpec(base=str(make_model()), adapter=str(adapter))
    with pytest.raises(ModelError, match="cannot be rendered"):
        models.prepare("m", spec, tmp_path, tmp_path, said.append)
    assert not any("merging" in line for line in said)

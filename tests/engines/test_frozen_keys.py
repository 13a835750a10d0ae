"""Cache keys as they were when answers were first stored under them.

Answers that cost money and hours are found again by these keys alone, so what is hashed is frozen:
the names and defaults of `Request`'s and `Message`'s fields, the names and values of each engine's
`identity`, the defaults of the settings in it, and how all of it is put into JSON.  A field that
comes later is left out of the hash wherever it has its default (`_keys._LATER_FIELDS`).

The digests below were written down once.  Where one of them differs, mend the code, not the digest:
with another key every answer is asked and paid for again.  Only a change of what is really asked of
a model (another rendering, another version of vLLM) may give another key, and that shows in what is
hashed here, not in how.
"""

from __future__ import annotations

import importlib.metadata
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from evalkit.core import Message, PreparedModel, Request
from evalkit.engines._local import Renderer
from evalkit.engines.anthropic import AnthropicEngine, AnthropicSpec
from evalkit.engines.fake import FakeEngine, FakeSpec
from evalkit.engines.google import GoogleEngine, GoogleSpec
from evalkit.engines.openai import OpenAIEngine, OpenAISpec
from evalkit.engines.recorded import Recorded, RecordedSpec
from evalkit.engines.transformers import TransformersEngine, TransformersSpec
from evalkit.engines.vllm import VllmEngine, VllmSpec

INSTALLED = {"vllm": "0.32.0", "transformers": "5.12.0", "torch": "2.11.0+cpu"}
"""What the engines are told is installed; versions are part of the keys."""
MODEL = PreparedModel(
    name="mine",
    role="candidate",
    path=None,
    fingerprint="f1d2d2f924e986ac86fdf7b36c94bcdf32beec15",
    chat_template="any",
    template_source="tokenizer",
)
ASKED = (Message("user", "Name a river."),)
LONGER = (
    Message("system", "Be brief."),
    Message("user", "Name a river."),
    Message("assistant", "The Näeb\u2028."),
    Message("user", "Another?"),
)
REQUESTS = {
    "conversation": Request("mine", "generate", ASKED),
    "several turns": Request("mine", "generate", LONGER, max_tokens=128),
    "continued": Request("mine", "generate", (*ASKED, Message("assistant", "It is")), max_tokens=1),
    "text": Request("mine", "generate", "Q: 1+1?\nA:", max_tokens=24, stop=("\n", "Q:")),
    "sampled": Request("mine", "generate", ASKED, temperature=0.7, top_p=0.9, seed=3),
    "sampled, no seed": Request("mine", "generate", ASKED, temperature=1.0),
    "another trial": Request("mine", "generate", ASKED, temperature=0.7, seed=3, trial=2),
    "alternatives": Request("mine", "generate", ASKED, max_tokens=1, top_logprobs=5),
    "likelihood": Request("mine", "loglikelihood", "Q: 1+1?\nA:", " two"),
    "likelihood, turns": Request(
        "mine", "loglikelihood", (*ASKED, Message("assistant", "A")), " B"
    ),
    "likelihood, bare": Request("mine", "loglikelihood", "", "two"),
    "rolling": Request("mine", "rolling", "All of this is scored."),
}
ONLY_SERVERS = {
    "last alternatives": Request("mine", "generate", ASKED, top_logprobs=5, top_logprobs_at="last"),
    "function": Request("mine", "generate", ASKED, tool='{"type": "function"}'),
}

Make = Callable[[PreparedModel], Any]
ENGINES: dict[str, Make] = {
    "vllm": lambda model: VllmEngine(VllmSpec(), model),
    "transformers": lambda model: TransformersEngine(TransformersSpec(), model),
    "openai": lambda model: OpenAIEngine(OpenAISpec(model="gpt-4-0613"), model),
    "anthropic": lambda model: AnthropicEngine(AnthropicSpec(model="claude-opus-4-5"), model),
    "google": lambda model: GoogleEngine(GoogleSpec(model="gemini-2.5-pro"), model),
    "fake": lambda model: FakeEngine(FakeSpec(), model),
    "recorded": lambda model: Recorded(RecordedSpec(), model),
}
SETTINGS: dict[str, Make] = {
    "vllm, dtype and seed": lambda model: VllmEngine(VllmSpec(dtype="float16", seed=4), model),
    "vllm, quantised": lambda model: VllmEngine(VllmSpec(quantization="awq"), model),
    "vllm, window": lambda model: VllmEngine(VllmSpec(max_model_len=2048), model),
    "vllm, idle": lambda model: VllmEngine(
        VllmSpec(
            tensor_parallel_size=2, gpu_memory_utilization=0.5, kv_cache_gib=1, max_num_seqs=3,
            block_size=64, enforce_eager=False,
        ),
        model,
    ),
    "transformers, window": lambda model: TransformersEngine(
        TransformersSpec(dtype="bfloat16", max_model_len=2048, seed=4), model
    ),
    "transformers, idle": lambda model: TransformersEngine(
        TransformersSpec(batch_size=2, device="cpu", shared_prefixes=False), model
    ),
    "openai, another server": lambda model: OpenAIEngine(
        OpenAISpec(
            model="judge", base_url="http://localhost:8000/v1/", extra_body={"top_k": 1, "a": "b"}
        ),
        model,
    ),
    "openai, idle": lambda model: OpenAIEngine(
        OpenAISpec(
            model="gpt-4-0613", api_key_env="MY_KEY", concurrency=2, timeout_s=9, max_retries=1,
            retry_pause_s=1, max_requests=8, max_cost_usd=3, usd_per_million_input_tokens=1,
            usd_per_million_output_tokens=2, continues_answers=True, wait_s=7,
        ),
        model,
    ),
    "openai, effort": lambda model: OpenAIEngine(
        OpenAISpec(model="gpt-4-0613", reasoning_effort="low"), model
    ),
    "openai, room": lambda model: OpenAIEngine(
        OpenAISpec(model="gpt-4-0613", thought_tokens=9), model
    ),
    "fake, seed and window": lambda model: FakeEngine(FakeSpec(seed=3, max_prompt_words=9), model),
    "recorded, files": lambda model: Recorded(
        RecordedSpec(answers={"alpaca_eval": "a.json"}, results={"lm": ("b.json", "c")}), model
    ),
}  # fmt: skip

KEYS: dict[str, dict[str, str]] = {
    "vllm": {
        "conversation": "a051d39051cd3c3bdc7a976e13b284da499c9e08a0afc4edcc7a16fcf564b07d",
        "several turns": "4f28554e9e318ce243171ba99936aa5b01b7883405ba80f5b9220a263fece8c3",
        "continued": "8241141dc3cab503c1fdbf64dc5bd4de0847fc29845d06a76422e35c1c4cd6a7",
        "text": "b394f3d7be78e479fec12aa16c813741e60d4dac73beebb2576bfb3a72657a19",
        "sampled": "824b184024875bdd1dce8a68016f9bf7249eede08a5cb0a654fd83b16cca0a0f",
        "sampled, no seed": "ebd07aefeaecd31646ba705638a9249f91d85cb9c012b79e0fc2c4ed9321290d",
        "another trial": "c9228b8c822c6e253d3b8c60e77fac49fca1a05d7f940ee38b545c11b9a5a6e8",
        "alternatives": "be6eea68dbe1c31887a4d42b0f4048a38175d72c3900ecffa7bf261be7aa4832",
        "likelihood": "d7c70e4c2b747cf5ca1fb1fd811227fa4c091456dc735bb221bf9f60b0eb1111",
        "likelihood, turns": "68a99c5ac5c4c498852b74d30a2a272199c4769d5e64a63caf051e43a1b38e75",
        "likelihood, bare": "4e58aad0fbcfd534b4c451d3eebfdfad8c2377acc64b4f99915d0cbe8a2e6640",
        "rolling": "97a61389030d2111807afedb82e40fe4f564190183b25e86ec97ed1381ee8a38",
    },
    "transformers": {
        "conversation": "dba7a839ccf318149596ca0a822c83934d45944eb397a63a99b760171010dc6f",
        "several turns": "6664508749c884c04e157cd9e15be7bba308f18e21aa8c9d41ac5743ac3e462e",
        "continued": "82769cf1e731a320e91b195e63220c5dce896fff45430babc30ef108a471f585",
        "text": "d3e76a4d5049e31a273ecb77363f53d9caf30d5a356ffd66277a7790dc1e134f",
        "sampled": "3ed2feb5c2010e4f81c0297669d255cc4164db9de8734b4b7d6bc4497fa6ad86",
        "sampled, no seed": "ea1cc673f36ad33e04fca228c483d57c25721c43f6ae806d17e7944db617cbfe",
        "another trial": "16b58a4d4f6365d2345035d6bd98318597d01dcbd3f323ee39754a561a4319d0",
        "alternatives": "b7a3804f569a1f0b25da919fdffbc9a5840dcf3029ee05f4e05302e8fb21046a",
        "likelihood": "bf85029ac6e975e144d345f46036106545a04d7c61f7062a07b606426160da69",
        "likelihood, turns": "ea7f6085126dacd6bc8b42b41685d2ebce2ca5091f94c8a34f20da91c8608e70",
        "likelihood, bare": "d6219262fefba7e62f825e767af96bb8612de9f426c23b553098d7e971d8cae2",
        "rolling": "454e59001b53f853af3dd8fc3afec3ccdc68496d1cdf67f9d8ccf0854f55c915",
    },
    "openai": {
        "conversation": "04bed5b0661b64ec7d95eafbddbf8c201956ad9e48f7b1436415066eeb66e406",
        "several turns": "7a4a4042d9b02f0a775f9585e27625e3fcd2d6b0f1cb7e66a9982c66ac022de0",
        "continued": "6d485014ed056dabe300da03ba4014290ed116ff9939f8db6a3f9b2b5cc5f5e6",
        "text": "4ccc80c4bd2cd93a04273b0e5dfe207be309158651d3c75759cd99ee5d07b6c6",
        "sampled": "7ebeb4707931fa1eb800d02b9426d5dc82d80366111fec198dd555e0ae91966e",
        "sampled, no seed": "0b5f3695882cec0c237ac118972433b0631d893cae8915de1cc60c3ea92f5898",
        "another trial": "c8686c5d6a6785d624dc6e0de246fa004285d167714976cff91acefed242321d",
        "alternatives": "d62ccb85bb8dd391c90ace56d2ce8c6c0eabfdd58d4196a5ce25af3e6271262b",
        "likelihood": "9819173b2e48004b547f38a22f3a5d5bf284172ba40b509e77ef3e64cd98866b",
        "likelihood, turns": "b951f5878dddbc9169ecf91ba1d0cd897518b75bcb633aabbab063629fc1d9ae",
        "likelihood, bare": "4630e1f03b4d7ec9ce32af376667b527e7d88911c228aa795d1cd2d44b0233d2",
        "rolling": "72a6cb8087eefe5ea640dff3a22d5f3f8a46c7275dd50cc83ed1aa9ee8a3060b",
        "last alternatives": "6a1e7abdd0d6d7c7c7a1444bb6a0f21211df8893e03cd22bd55943731ac20fad",
        "function": "213b1e47adc7815f8a7c0598ae6d7261823d43c0030310f17892d9a795a81af0",
    },
    "anthropic": {
        "conversation": "39fbdb1e2218e5980bf71b4a06f6c084e225187488735606bcda67f05b54f026",
        "several turns": "b52937dd30a87915a20130efe89b92abcca8cb801290cdc13f43bb1a9be5023b",
        "continued": "57ef675a2869f86529821217e0e8a6645ff84678dea70af2917720c189347803",
        "text": "23e510cab6d173ed22052594df4efa19dc6ba796bb9bee7e38b6440cbe8820f1",
        "sampled": "de6b8a6ba24746e79fc98e50a7bb7c5e7f818fb59ee1c2ee62696f8c1263f63d",
        "sampled, no seed": "8df5df4031f09e203ed897806bde1289ac5a84b3ac734e7c10472f010ef0d766",
        "another trial": "ff074e16b29bb9ab756f0d6f412a58f52bc833fb522ffde55d7702daa0c8ff74",
        "alternatives": "61dbca1bca86d22a81a03364cd7c7a2f582d37c0dd37b7069d019adfa322ec1c",
        "likelihood": "236e8415f80194170ec01a69490e7a309569ee5f91b150477e2cefcc8656adad",
        "likelihood, turns": "61ccb837f3fd2799eaaa0259161d90aad54386122c80ae8b0918e734e451b84b",
        "likelihood, bare": "6b0944145561e1905073f2031fa46f022e43f557d636f9712fa4f69f6f62ef1d",
        "rolling": "23931cc9e5843ae29de9464d2600d6e0f9bd84b55a45b29bccffe9345bd59b65",
        "last alternatives": "9343940170f626aa7ca3a02a5e6089c1574d18e8145d1a0a5064bdcb97d2d336",
        "function": "57932fa625c337cb7519d5273cffb25f82984e949addee552f571fee6c39c4a2",
    },
    "google": {
        "conversation": "ad83d7652dea85fce0a503b04ddf20adf49cf64edf445768af2a4041567c5b4e",
        "several turns": "a1c2af1174c415e48d68acf465407bce52ab4a954ab7748e7b8bae810593d58c",
        "continued": "23b5709bcc8baeeb976781a5a94ef81955d224825b52bbcb09e329544cbcccf2",
        "text": "2bd6255ca7de772be6119892cc72fb0c3706af2d67d94b48ab5d3042be16cf94",
        "sampled": "2d40c483a3de91f9cd90639bd4cf1141a2b92a674730d6265ca0591241613e52",
        "sampled, no seed": "80d005e84eecf5a7958b467bd73eab05ce5b3adfd106e98d44526ce29ec22219",
        "another trial": "0dc458498f7fdebcf18740f0bbab9baecb85d797a7862b3f6cdc4eaf21bec556",
        "alternatives": "4550fdcadccd73aaa3f3ac77d82eaef5d502bef25f89dfcef81a7244b14634b8",
        "likelihood": "07595ceedf83c3c7a2335c68f4e941cf7c0fad8751c35a5333c6c9eb0966972c",
        "likelihood, turns": "b1c6d3a36128d1d6c0f6e3f60128568ba6697112dd3e3ad56d657fc581970728",
        "likelihood, bare": "f4d4fd9fd57d7dd6d6d57ead52e0d0845efba77ff3715deb88e5c659f3dacfcf",
        "rolling": "ac739e711b8bbd7376aec5342980fd83608409329eef113c61a4401306f0b5e1",
        "last alternatives": "6e6e0fe343dce168da82fe123fadae24f11e5d6843f80ed01f6a86884837449b",
        "function": "aa2bb526c91073d7730c5b30bf0bd5a76a312f033d2bb3c1ec648bb37be4a0ac",
    },
    "fake": {
        "conversation": "62787c10ccb5e88ce1e728fb68b2b941115fd8b68f976eb0f52bc56e5b0f9fd0",
        "several turns": "32240735dc8d5bd75e853ca1305fa4d1c794c561842d08285a5db1d9b8d8c746",
        "continued": "c787e79c080db630ea2c36c02876a5b9766879896ef156c6c071212a0cddede9",
        "text": "89d2297d431f042b6d479f931c4dd56a1a0673e4b1e0cb1292bf40b050e657f1",
        "sampled": "edde0993939ea07ca252b24f89b0ff6a8bd3331ab67d4b955337c216ee79698b",
        "sampled, no seed": "8643c7263622c2dd0033797616b2a0a60331e825fadabf8a3f1dc083941d16c7",
        "another trial": "fd5c99dc8d6b95c47fcf427d833e4ffc193e3db45f21d5913457104ac0a52ba6",
        "alternatives": "fc32aba471465cfa4dd633f103f6a60d6743dcba83fa6ae64eb97c99870099c7",
        "likelihood": "ea30b0abdf2683c7cdec37f526d8ec972cb5327dd551ff3c697d1cfb564fa63e",
        "likelihood, turns": "cd5b89a59f9eb023f8fe4a7cf9433493a7cca0a103d34e1972331e0ae770f245",
        "likelihood, bare": "12824ca170022e19e2798837a44622f8bde802ba0b5bf53314e4835d472b3111",
        "rolling": "01bb805f81ea1977f14853e2af177280f5409eeee92afdb4f16f6b411f281124",
        "last alternatives": "6b8caf61c9867e9f76c7b7a13e292e5f5163371f614d4ff2b7373599935fe9e9",
        "function": "786681905162c14a9ae5a91c63ea1d464638a4c0525734c9edf1899056a5e107",
    },
    "recorded": {
        "conversation": "1955168f7507ad372cb1137d7a40b11f3a6012842844b2453fb79f9c4a42b2b8",
        "several turns": "9a5dc6b1cfbaea0892cbc0b8e13c48c1536926291adc9f9203456e6e9053942e",
        "continued": "13b3be27e449fb5e70e38926eb56c205fccef649e7541093f6771a5a2fe60f55",
        "text": "909b8f73a4b8a420c5bc8b13d0d707e8ba45a595a93b88795c856210c2aa7a4e",
        "sampled": "bd69c0ceb1fc774b06bfcae41d27893cebf9bb23196773dd039f40531885dc56",
        "sampled, no seed": "976fc4cb5800cbdbf4e7e33dd5cfce15a052c4ab935129c586dc36f357591105",
        "another trial": "2ec8dcd31441770990900e6e97374ec2a2762f5a44a2a652874a0475281214fd",
        "alternatives": "a4b4db80229ca1f98d86259c2b22287a51430a9d920d00e3a0315a9ac9b0c466",
        "likelihood": "9da1f65606776f71e13ae502457f70412974f006fffe9df33ea0ebf5d1b47631",
        "likelihood, turns": "c4fe7f3bdd87da8aca4a3be88a1290be0244ede975406b65d636680480c38800",
        "likelihood, bare": "7414086a954652123431d9d451a42147a5483b13be92f886cc0f42eec70a0a40",
        "rolling": "df82413232ecaa241a3e7d80f94eb022398f6cde385931a669fcd04602abafb2",
        "last alternatives": "27b4319025ad411c25c501deb47c444c6cdc2af58d8ab43eb347297c582ea143",
        "function": "ebf0209275731f1bc843e6185c339e9979d4218b04b99493741dfce3f0d2d2b1",
    },
}
SETTINGS_KEYS: dict[str, str] = {
    "vllm, dtype and seed": "9d11ce6e26d43eb927b04ae360e114535fd011ea33408fc5e2b6b153566bea82",
    "vllm, quantised": "9fe05976e034d5de66b03901475d29846ee20113037c0ffe73bb79393a130cdf",
    "vllm, window": "c1416f3fb142b6115321a0f423fa7dcffbfe8d771170fd3afafd92ed00f20b6f",
    "vllm, idle": "ebd07aefeaecd31646ba705638a9249f91d85cb9c012b79e0fc2c4ed9321290d",
    "transformers, window": "a1bc3b28e73609d13c328f4fcf7b1b00d11008653d36da5eb25e10f27293e4be",
    "transformers, idle": "ea1cc673f36ad33e04fca228c483d57c25721c43f6ae806d17e7944db617cbfe",
    "openai, another server": "8b2204f395ca1bc1b167abf68ede7844ec5ddc14ca27e926a71b032fa0e6e040",
    "openai, idle": "0b5f3695882cec0c237ac118972433b0631d893cae8915de1cc60c3ea92f5898",
    "openai, effort": "6b3e54fac91e2500ee7f2403456a5587e6e0397eedd60e0915d51c53be59f9c3",
    "openai, room": "d947097c8df2b2c2b344ceddf258b29900690bb3a8f760d3634e1963a5e1767e",
    "fake, seed and window": "ef24190bc13827f25d38d9513ecefb031d1155c412e1c3cd8546a5f1e45d70dc",
    "recorded, files": "7ef75992555e9dd5a0e43e32e1294c366007dbf0fa1af34f154c1090bb9e5cf8",
}
"""Of the request `sampled, no seed`; `idle`: with every setting that decides no answer."""


class _Tokenizer:
    """One token a character; a chat is its turns, a line each."""

    bos_token_id, eos_token_id = 1, 2

    def __call__(
        self, text: str | Sequence[str], *, add_special_tokens: bool = True, **_: Any
    ) -> dict[str, Any]:
        if isinstance(text, str):
            (ids,) = self([text], add_special_tokens=add_special_tokens)["input_ids"]
            return {"input_ids": ids}
        start = [1] if add_special_tokens else []
        return {"input_ids": [[*start, *map(ord, one)] for one in text]}

    def decode(self, ids: Sequence[int], **_: Any) -> str:
        return "".join(map(chr, ids))

    def apply_chat_template(
        self,
        messages: Sequence[dict[str, str]],
        *,
        add_generation_prompt: bool,
        continue_final_message: bool,
        **_: Any,
    ) -> str:
        text = "\n".join(f"{m['role']}: {m['content']}" for m in messages)
        assert add_generation_prompt != continue_final_message
        return f"{text}\nassistant: " if add_generation_prompt else text


@pytest.fixture
def model(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> PreparedModel:
    """A checkpoint without weights, on a machine whose libraries and device are the same always."""

    def version(name: str) -> str:
        if name not in INSTALLED:
            raise importlib.metadata.PackageNotFoundError(name)
        return INSTALLED[name]

    monkeypatch.setattr(importlib.metadata, "version", version)
    monkeypatch.setattr(Renderer, "tokenizer", _Tokenizer())
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "")
    monkeypatch.delenv("OPENAI_BASE_URL", raising=False)
    (tmp_path / "config.json").write_text('{"max_position_embeddings": 4096}', encoding="utf-8")
    return replace(MODEL, path=tmp_path)


def _asked_of(engine: str) -> dict[str, Request]:
    return REQUESTS if engine in {"vllm", "transformers"} else REQUESTS | ONLY_SERVERS


@pytest.mark.parametrize("engine", ENGINES)
def test_keys_of_requests(engine: str, model: PreparedModel) -> None:
    requests = _asked_of(engine)
    found = ENGINES[engine](model).keys(list(requests.values()))
    assert dict(zip(requests, found, strict=True)) == KEYS[engine]


@pytest.mark.parametrize("settings", SETTINGS)
def test_keys_of_settings(settings: str, model: PreparedModel) -> None:
    (found,) = SETTINGS[settings](model).keys([REQUESTS["sampled, no seed"]])
    assert found == SETTINGS_KEYS[settings]
    engine, _, what = settings.partition(", ")
    assert (found == KEYS[engine]["sampled, no seed"]) == (what == "idle")


@pytest.mark.parametrize("engine", ENGINES)
def test_who_asks_and_how_long_an_answer_may_be_expected_are_in_no_key(
    engine: str, model: PreparedModel
) -> None:
    request = replace(REQUESTS["conversation"], engine="a judge's name", expected_tokens=9)
    assert ENGINES[engine](model).keys([request]) == [KEYS[engine]["conversation"]]

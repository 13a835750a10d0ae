"""A key in a suite is refused and never shown, wherever it stands."""

from __future__ import annotations

import pytest

from evalkit import suite
from evalkit.errors import SuiteError
from evalkit.suite.reading import looks_secret, names_secret, shown
from tests.suite.conftest import Catalogue, Finder

KEY = "sk-proj-4f9aZ81kQx7Lm2Tn5Vb3"


@pytest.mark.parametrize(
    "judge",
    [
        f"{{type: served, model: m, api_key: {KEY}}}",
        "{type: served, model: m, api_key: hunter2}",
        f"{{type: served, model: {KEY}}}",
        f"{{type: served, model: m, api_key_env: {KEY}}}",
        f"{{type: served, model: m, headers: {{Authorization: Bearer {KEY}}}}}",
        f"{{type: {KEY}}}",
        f"[{KEY}]",
        f"{{type: served, model: m, {KEY}: x}}",
        f"{{type: served, model: m, url: 'https://me:{KEY}@host.example/v1'}}",
    ],
)
def test_refused_and_not_shown(judge: str, problems: Finder, good: str) -> None:
    found = problems(good.replace("{type: engine, model: plain}", judge))
    text = "\n".join(map(str, found))
    assert KEY not in text
    assert "hunter2" not in text
    assert any("api_key_env" in p.message and p.where.startswith("suite.yaml:9") for p in found)


@pytest.mark.parametrize("override", [f"judges.self.api_key={KEY}", f"seed={KEY}", f"seed=[{KEY}"])
def test_override_does_not_show_it(override: str, problems: Finder, good: str) -> None:
    assert KEY not in "\n".join(map(str, problems(good, override)))


def test_mapping_does_not_show_it(catalogue: Catalogue) -> None:
    with pytest.raises(SuiteError) as caught:
        suite.load_mapping({"judges": {"j": {"api_key": KEY}}}, "--base", [], catalogue)
    assert KEY not in str(caught.value)


SECRET = ["api_key", "apikey", "API-KEY", "x-api-key", "openai_api_key", "password", "hf_token"]
PLAIN = ["api_key_env", "max_tokens", "bos_token", "keys", "model"]
HARMLESS = ["task-force-7b-2024-long-name", "HuggingFaceH4/zephyr-7b-beta", "scikit-learn", 3, None]


@pytest.mark.parametrize("name", [*SECRET, "token", "secret", "Authorization"])
def test_secret_names(name: str) -> None:
    assert names_secret(name)


@pytest.mark.parametrize("name", PLAIN)
def test_plain_names(name: str) -> None:
    assert not names_secret(name)


@pytest.mark.parametrize("value", [*HARMLESS, "https://host.example:8000/v1"])
def test_plain_values(value: object) -> None:
    assert not looks_secret(value)


def test_long_values_are_shortened() -> None:
    assert len(shown("x" * 500)) <= 82

"""What is a secret, and texts without them."""

from __future__ import annotations

from pathlib import Path

import pytest

from evalkit.core.secrets import looks_secret, masked, masked_url, secret_parts
from evalkit.store.reading import manifest_of

KEYS = [
    "sk-proj-abc123def456ghi789",
    "sk-ant-api03-abcdef1234567890",
    "AIzaSyA1234567890abcdefghijklmnopqrstuv",
    "gsk_abcdefgh12345678ijkl",
    "hf_abcdefghijklmnopqrst",
]


@pytest.mark.parametrize("key", KEYS)
def test_keys_of_vendors_are_known_and_masked(key: str) -> None:
    assert looks_secret(key)
    assert masked(f"you sent {key}, which is wrong") == "you sent [key], which is wrong"


@pytest.mark.parametrize(
    "plain",
    [
        "claude-3-5-sonnet-20241022",
        "https://host.example:8000/v1",
        "http://gateway/anthropic/claude-opus-4-5-20251101/v1",
        "task-force-7b-2024-long-name",
    ],
)
def test_names_and_addresses_are_none(plain: str) -> None:
    assert not looks_secret(plain)
    assert masked_url(plain) == plain


def test_a_password_and_a_secret_part_of_a_url_are_masked() -> None:
    assert masked_url("https://me:hunter2@host/v1") == "https://[key]@host/v1"
    assert "eyJ" not in masked_url("https://host/eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiIxIn0.ab-cd_e/v1")
    first, second = (masked_url(f"https://host/{part * 10}1/v1") for part in ("ab", "cd"))
    assert first.startswith("https://host/[key-")
    assert first != second


@pytest.mark.parametrize(
    ("url", "secret"),
    [
        ("https://host/v1?k=abcdefghij0123456789", "abcdefghij0123456789"),
        ("https://host/v1?a=b&api_key=short", "short"),
        ("https://host/v1#token=hunter2", "hunter2"),
        ("https://host/AbCdEfGhIjKlMnOpQrStUvWx/v1", "AbCdEfGhIjKlMnOpQrStUvWx"),
        ("https://host/a%2Fabcdefghij0123456789%2Fv1", "abcdefghij0123456789"),
        ("https://host/key=hunter2/v1", "hunter2"),
    ],
)
def test_a_secret_is_masked_wherever_it_stands_in_a_url(url: str, secret: str) -> None:
    assert secret not in masked_url(url)
    assert secret_parts(url) == [secret]


def test_stored_runs_are_read_without_them() -> None:
    old = {
        "format": 2,
        "run_id": "0" * 12,
        "suite": {"judges": {"j": {"model": "m", "base_url": "https://u:p1@h/v1"}}},
        "judges": [{"name": "j", "engine": {"type": "openai", "extra_body": {"k": KEYS[0]}}}],
        "commands": [f"evalkit run x.yaml --set judges.j.key={KEYS[0]}"],
    }
    read = manifest_of(old, Path("manifest.json")).model_dump_json()
    assert KEYS[0] not in read
    assert "u:p1" not in read

"""`evalkit doctor` names what stands in the way, with its fix, and never a key."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from evalkit.cli import doctor
from tests.support.cli import evalkit

KEY = "sk-proj-0123456789abcdef0123456789abcdef"


def looked(workspace: Path, **environment: str) -> tuple[int, dict[str, list[dict[str, Any]]]]:
    done = evalkit(workspace, "doctor", "--json", **environment)
    assert KEY not in done.out + done.err
    found: dict[str, list[dict[str, Any]]] = {}
    for check in json.loads(done.out)["checks"]:
        found.setdefault(check["about"], []).append(check)
    return done.code, found


def test_it_looks_at_everything_and_shows_no_key(tmp_path: Path) -> None:
    code, found = looked(tmp_path, OPENAI_API_KEY=KEY, EVALKIT_DATA=str(tmp_path))
    assert found.keys() >= {"python", "packages", "gpu", "vllm", "memory", "disk", "hub", "keys"}
    assert any(c["what"] == "OPENAI_API_KEY is set" for c in found["keys"])
    assert any("ANTHROPIC_API_KEY is not set" in c["what"] and c["fix"] for c in found["keys"])
    (data,) = found["data"]
    assert data["state"] == "error"
    assert "evalkit data pull" in data["fix"]
    assert code == 4
    text = evalkit(tmp_path, "doctor", OPENAI_API_KEY=KEY).out
    assert KEY not in text
    assert "→ export ANTHROPIC_API_KEY=" in text


def test_settings_that_are_wrong_are_named(tmp_path: Path) -> None:
    _, found = looked(tmp_path, EVALKIT_WORKSPACES=".", EVALKIT_TRUST="gone", EVALKIT_OFFLINE="1")
    said = {c["what"]: c for c in found["settings"]}
    assert "EVALKIT_WORKSPACES is no setting; did you mean 'EVALKIT_WORKSPACE'?" in said
    assert said["EVALKIT_TRUST: there is no 'gone'"]["state"] == "error"
    assert found["hub"][0]["state"] == "note"


def test_the_packages_that_break_others_are_found(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    installed = {"torch": "2.13.0+cpu", "torchvision": "0.28.0", "setuptools": "83.0"}
    monkeypatch.setattr(doctor, "_versions", lambda: installed)
    code, found = looked(tmp_path)
    assert code == 4
    fixes = [check["fix"] for check in found["packages"] if check["state"] == "error"]
    assert "pip uninstall -y torchvision" in fixes
    assert any("setuptools 83.0 (needs <81)" in check["what"] for check in found["packages"])
    assert found["vllm"][0]["state"] == "warning"


def test_a_check_that_fails_hides_no_other(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def broken() -> None:
        raise RuntimeError("half installed")

    monkeypatch.setattr(doctor, "_versions", broken)
    code, found = looked(tmp_path)
    assert code == 4
    assert "half installed" in found["packages"][0]["what"]
    assert found["python"][0]["state"] == "ok"

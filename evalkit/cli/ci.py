"""The gate's result as JUnit XML, for CI systems.

Source: the schema that CI systems share (testsuites, testsuite, testcase with failure, skipped or
system-out), as Jenkins wrote it down.  Its older edition gives `skipped` no attributes, so that the
reason stands in its text, and in `system-out` for readers that show nothing else.
"""

from __future__ import annotations

import re
from typing import Literal
from xml.etree import ElementTree as ET

from evalkit.core.contests import UNTESTED, GateResult, GateTest
from evalkit.draw import (
    difference,
    figure,
    figure_label,
    gate_sentence,
    gate_warnings,
    gate_words,
    interval,
    is_too_wide,
    metric_label,
)
from evalkit.draw.words import TOO_WIDE

__all__ = ["junit", "junit_of_error"]

_NOT_XML = re.compile("[^\t\n\r\x20-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")
"""Characters that XML 1.0 has no way to spell."""


def junit(result: GateResult) -> bytes:
    """One test case per test: regressions fail, what is inconclusive fails or is skipped.

    A required test without evidence is an error, which JUnit keeps apart from failures.  A run that
    is not complete is one more, with an error.
    """
    outcomes = [_outcome(test, result) for test in result.tests]
    counts = {
        "tests": str(len(outcomes) + bool(result.unanswered)),
        "failures": str(outcomes.count("failure")),
        "errors": str(outcomes.count("error") + bool(result.unanswered)),
    }
    root = ET.Element("testsuites", {"name": "evalkit gate", **counts})
    name = _plain(f"{result.candidate} against {result.baseline}")
    skipped = str(outcomes.count("skipped"))
    suite = ET.SubElement(root, "testsuite", {"name": name, **counts, "skipped": skipped})
    for test, outcome in zip(result.tests, outcomes, strict=True):
        label = figure_label(test.key)
        label = f"{label}, {metric_label(test.key.metric)}" if test.key.metric else label
        about = {"name": _plain(label), "classname": _plain(test.key.benchmark)}
        case, said = ET.SubElement(suite, "testcase", about), _plain(_said(test))
        if outcome in ("error", "failure"):
            ET.SubElement(case, outcome, {"message": said, "type": test.verdict}).text = said
            continue
        if outcome == "skipped":
            ET.SubElement(case, "skipped").text = said
        ET.SubElement(case, "system-out").text = said
    if result.unanswered:
        case = ET.SubElement(suite, "testcase", {"name": "run complete", "classname": "evalkit"})
        cause = f": {result.cause}" if result.cause else ""
        said = _plain(f"{result.unanswered} samples could not be answered{cause}")
        ET.SubElement(case, "error", {"message": said, "type": "incomplete"}).text = said
    lines = [gate_sentence(result), *result.reasons, *gate_warnings(result)]
    ET.SubElement(suite, "system-out").text = _plain("\n".join(lines))
    ET.indent(root)
    return bytes(ET.tostring(root, encoding="utf-8", xml_declaration=True)) + b"\n"


def junit_of_error(message: str) -> bytes:
    """A gate that could not be made, for the reason in `message`."""
    counts = {"tests": "1", "failures": "0", "errors": "1"}
    root = ET.Element("testsuites", {"name": "evalkit gate", **counts})
    suite = ET.SubElement(root, "testsuite", {"name": "evalkit gate", **counts, "skipped": "0"})
    case = ET.SubElement(suite, "testcase", {"name": "run complete", "classname": "evalkit"})
    said = {"message": _plain(message), "type": "error"}
    ET.SubElement(case, "error", said).text = _plain(message)
    ET.indent(root)
    return bytes(ET.tostring(root, encoding="utf-8", xml_declaration=True)) + b"\n"


def _outcome(test: GateTest, result: GateResult) -> Literal["", "error", "failure", "skipped"]:
    if test.verdict == "pass":
        return ""
    if test.required and test.verdict in UNTESTED:
        return "error"
    fails = test.verdict == "regression" or result.fails_undecided
    return "failure" if test.required and fails else "skipped"


def _said(test: GateTest) -> str:
    c, found, shown = test.contest and test.contest.comparison, test.bounds, "no bounds"
    unit = c.unit if c else "raw"
    if found is not None and found.low is not None:
        wide = is_too_wide(found, unit)
        shown = TOO_WIDE if wide else interval(found.low, found.high, unit, signed=True)
    text = (
        f"{gate_words(test)}: difference {difference(c.difference.point if c else None, unit)}, "
        f"bounds {shown}, margin {figure(test.margin, unit)}, n {c.difference.n if c else 0}"
    )
    return f"{text}; {test.note}" if test.note else text


def _plain(text: str) -> str:
    return _NOT_XML.sub("\ufffd", text)

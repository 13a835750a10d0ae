"""Numbers as people print them in cells: one number with what may stand around it, or none.

    91.42   **91.42%**   91.42 ± 0.99   91.42 (±0.99)   1,365   91,42   ~91   91.42*   .914

Two numbers, a range, a difference with its sign, text: no number.  Where a comma may separate
thousands or decimals (`7,300`), there is no telling: no number either.
"""

from __future__ import annotations

import re
import unicodedata

from evalkit.card.audit.shapes import Printed

__all__ = ["decimals_of", "parse_number", "without_citations"]

_LATEX = (
    (re.compile(r"\\(?:textbf|mathbf|bf|underline|text|mathrm)\s*\{([^{}]*)\}"), r"\1"),
    (re.compile(r"\\pm"), "±"),
    (re.compile(r"\\%"), "%"),
    (re.compile(r"[_^]\{([^{}]*)\}"), r" \1 "),
    (re.compile(r"\$"), ""),
)
_NUMBER = re.compile(
    r"""(?P<about>[~≈])?\s*
        (?P<number>\d{1,3}(?:[ ,'\u2019]\d{3})+(?!\d)(?:\.\d+)?|\d+(?:[.,]\d+)?|\.\d+)
        \s*(?P<percent>%)?
        (?P<tail>.*)""",
    re.VERBOSE | re.DOTALL,
)
_TAIL = re.compile(
    r"""\s*(?:
          (?:±|\+/-|\+-)\s*[\d.,]+\s*%?                       # an error
        | \(\s*(?:±|\+/-|[+\-\u2212])?\s*[\d.,]+\s*%?\s*\)          # an error, or a difference
        | [\[(]\s*[\d.,]+\s*%?\s*(?:[,;\u2013-]|to)\s*[\d.,]+\s*%?\s*[\])]   # an interval
        | \[\s*\d+\s*\] | \(\s*[a-z*†‡]\s*\)                   # a note
        | [*†‡§¶°✓★⭐↑↓▲▼🥇🥈🥉🏆🔥]+
        | /\s*10{1,2}(?!\d)                                    # of 10, of 100
        )*\s*""",
    re.VERBOSE,
)
_ERROR = re.compile(r"\s*(?:\(?\s*(?:±|\+/-|\+-)|[\[(]\s*[\d.]+\s*%?\s*(?:[,;\u2013-]|to)\s*\d)")
_DECORATION = "*†‡§¶🥇🥈🥉🏆🔥★⭐✅↑↓▲▼➡ \t"
_SMALL = re.compile("[⁰¹²³⁴-⁹₀-₉ªº]+")
"""Digits that are notes: NFKC would make them digits of the number."""
_LONGEST = 60
_CITATION = re.compile(
    r"[(\[](?:[^()\[\]]*\bet al\b[^()\[\]]*|"
    r"[A-Z][^\W\d_]+(?: (?:and|&) [A-Z][^\W\d_]+)?,? 20\d\d[a-z]?)[)\]]"
)
_MONTH = re.compile(r"\b(?:jan|feb|mar|apr|may|jun|jul|aug|sep|oct|nov|dec)", re.IGNORECASE)


def parse_number(text: str) -> Printed | None:
    """The number a cell prints; None where it prints none, several, or an unclear one."""
    if len(text) > _LONGEST:
        return None
    plain = unicodedata.normalize("NFKC", _SMALL.sub("", text))
    for pattern, by in _LATEX:
        plain = pattern.sub(by, plain)
    match = _NUMBER.fullmatch(plain.strip().strip(_DECORATION))
    if match is None or _TAIL.fullmatch(match["tail"]) is None or not match["number"].isascii():
        return None
    number = _plain(match["number"])
    if number is None:
        return None
    percent = bool(match["percent"]) or match["tail"].rstrip().endswith("%")
    has_error = _ERROR.match(match["tail"]) is not None
    return Printed(float(number), decimals_of(number), percent, bool(match["about"]), has_error)


def without_citations(text: str) -> str:
    """Without "(Li et al., 2023)" and "[OpenAI, 2023]"; "(June 2023)" tells a version and stays."""
    return _CITATION.sub(lambda m: m[0] if _MONTH.search(m[0]) else " ", text)


def decimals_of(number: str) -> int:
    """Digits after the point."""
    return len(number.partition(".")[2])


def _plain(number: str) -> str | None:
    """With a decimal point and no separators; None where a comma may be either."""
    whole, comma, rest = number.partition(",")
    if comma and "," not in rest and "." not in rest:
        if len(rest) != 3 or whole == "0":
            return f"{whole}.{rest}"
        if len(whole) < 2:
            return whole + rest if whole in ("1", "2") else None
    return re.sub(r"[ ,'\u2019]", "", number)

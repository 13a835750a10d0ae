"""Numbers, words, tables, charts and pages: how evalkit shows what it knows; rounds here only.

    numbers.py  figure(57.3, "percent"), difference, size, interval, p_value, count, level, share,
                significant; read_number("91.42%") and agreement(printed, 91.4179, "percent")
    words.py    benchmark_label, task_label, figure_label(key), contest_label(contest),
                metric_label, unit_words; bounds(measured, unit), origin(figure);
                contest_sentence(contest), status(contests, figures), verdict_words(contest),
                caution_text, caution_notes, holm_text
    tables.py   Table, Column, Cell, Group; contest_table(contests or gate tests, COMPARE, ...),
                figure_table, side_by_side, facts_table; table_to_markdown, table_to_csv
    terminal.py to_text(lines and tables, width, colour): what a terminal shows
    gate.py     gate_sentence(result), gate_reason(test), gate_warnings(result), gate_table(result);
                gate_lines, gate_markdown, gate_job_summary, gate_comment, gate_annotations
    svg.py      score_tables(contests, figures), category_bars, trend, trends: in draw.svg
    html.py     escaped, element, table_to_html, page_html, policy, stylesheet: in draw.html
    text.py     visible, one_line, shortened, escape_markdown, fenced: hostile text, safe to show

A caller reads `Contest`, `GateTest`, `Figure` (core) and imports from here: `draw.contest_table`.
"""

from __future__ import annotations

from evalkit.draw.gate import *  # noqa: F403
from evalkit.draw.numbers import *  # noqa: F403
from evalkit.draw.tables import *  # noqa: F403
from evalkit.draw.terminal import *  # noqa: F403
from evalkit.draw.text import *  # noqa: F403
from evalkit.draw.words import *  # noqa: F403

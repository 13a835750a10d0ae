"""Drawings as SVG, by our own hand: no library, no script, the same bytes for the same figures.

`svg.py` makes elements whose every text is escaped, `scale.py` places values on an axis, and each
other file draws one kind of chart from figures and words that are already made.  Horizontal
places are per cent of the width and texts have a fixed size, so that a chart is as readable on a
phone as on a desk; style.css moves labels beside the plot where there is room.  What colour says,
shape says too, and `title` and `desc` say all of it in words.
"""

from __future__ import annotations

from evalkit.report.charts.bars import Bar, Bars, BarsGroup, bars_svg
from evalkit.report.charts.forest import Forest, ForestRow, forest_svg
from evalkit.report.charts.radar import Radar, radar_svg

__all__ = [
    "Bar",
    "Bars",
    "BarsGroup",
    "Forest",
    "ForestRow",
    "Radar",
    "bars_svg",
    "forest_svg",
    "radar_svg",
]

"""The sample browser: every sample of every model, in the page itself or in files beside it.

`rows.py` makes one row a sample, `texts.py` what is read when a row is opened, `payload.py` packs
both; `links.py` is the grammar of `#sample=…`.  `static/` runs in the page: plain scripts, put
together in the order of their names, that write text and never markup.
"""

from __future__ import annotations

from evalkit.report.browser.assets import script, style
from evalkit.report.browser.links import sample_link, samples_link
from evalkit.report.browser.payload import Samples, build, sample_files

__all__ = [
    "Samples",
    "build",
    "sample_files",
    "sample_link",
    "samples_link",
    "script",
    "style",
]

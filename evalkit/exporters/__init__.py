"""Runs in other forms, one file each.

csv, json and parquet are the tables of `Run.to_frame`; eval_results and every_eval_ever publish
figures; lm_eval is what lm-eval itself writes; argilla is judged pairs for people to review.  A
module names its class (see `core.Exporter`) and its spec; `choosing.py` finds it, narrows the
runs to the wanted models, and says which runs may be published.
"""

from __future__ import annotations

from evalkit.exporters.choosing import export, settings, write

__all__ = ["export", "settings", "write"]

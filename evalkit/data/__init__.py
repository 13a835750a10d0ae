"""Dataset names and files to checksummed records."""

from __future__ import annotations

from evalkit.data.files import Dataset, read_jsonl, require
from evalkit.data.lookup import Place, locate

__all__ = ["Dataset", "Place", "locate", "read_jsonl", "require"]

"""Runs in a browser: an index, their reports, and any two or three side by side.

`found` reads what an index needs of every run, `index` and `comparing` make pages of it, `pages`
places them in the report's look, `server` hands them out on this machine only.  No page of its
own has a script: sorting and choosing are plain links and a form.
"""

from __future__ import annotations

from evalkit.viewer.found import Entry, Library
from evalkit.viewer.server import Server, serving

__all__ = ["Entry", "Library", "Server", "serving"]

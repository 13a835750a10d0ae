"""Writes evalkit/benchmarks/lm_eval_tasks.csv.gz: what lm-eval finds by reading all of its YAML.

    python scripts/make_task_index.py

A column each: name; kind (lm-eval's: TASK, PY_TASK, GROUP, TAG); path of the YAML below
`lm_eval/tasks`; tags of a task, or the tasks of a tag, by `|`; data set; output type; what
lm-eval's table of tasks says of the folder.  The first row's name is lm-eval's version.
"""

from __future__ import annotations

import csv
import gzip
import io
import logging
import re
from importlib.metadata import version
from pathlib import Path

import lm_eval.tasks
from lm_eval.tasks._index import TaskIndex

TARGET = Path(__file__).resolve().parents[1] / "evalkit" / "benchmarks" / "lm_eval_tasks.csv.gz"
_ROW = re.compile(r"^\|\s*(?:\[[^]]*\]\(([\w-]+)/|([\w-]+)\s*\|)[^|]*\|?\s*([^|]+?)\s*\|", re.M)


def main() -> None:
    """Write the file."""
    root = Path(lm_eval.tasks.__file__).parent
    logging.disable(logging.WARNING)
    table = (root / "README.md").read_text(encoding="utf-8")
    about: dict[str, str] = {}
    for linked, plain, text in _ROW.findall(table):
        about.setdefault(linked or plain, re.sub(r"\[([^]]*)\]\([^)]*\)", r"\1", text))
    out = io.StringIO()
    rows = csv.writer(out, lineterminator="\n")
    rows.writerow([version("lm_eval")])
    index = TaskIndex.build([root])
    for name, entry in index.items():
        place = entry.yaml_path or index[min(entry.tags)].yaml_path
        folder = place.relative_to(root).parts[0]
        path = entry.yaml_path.relative_to(root).as_posix() if entry.yaml_path else ""
        config = entry.cfg or {}
        data = "/".join(
            config[key]
            for key in ("dataset_path", "dataset_name")
            if isinstance(config.get(key), str)
        )
        tags = "|".join(sorted(entry.tags))
        output = config.get("output_type", "")
        rows.writerow([name, entry.kind.name, path, tags, data, output, about.get(folder, "")])
    with TARGET.open("wb") as file, gzip.GzipFile("", "wb", 9, file, mtime=0) as packed:
        packed.write(out.getvalue().encode())


if __name__ == "__main__":
    main()

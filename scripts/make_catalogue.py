"""Writes evalkit/data/catalogue.csv from a folder of public data and its MANIFEST.csv.

    python scripts/make_catalogue.py FOLDER > evalkit/data/catalogue.csv

MANIFEST.csv has, per file: file, rows, sha256, source_repo, source_path, source_commit,
licence_as_stated, sha256_of_source_file.  Only facts are taken over: names, hashes, origins,
licences.  Origins are written down for data sets evalkit fetches itself; the leaderboards' tasks
name their own on the hub (`evalkit/data/tasks.py`).
"""

from __future__ import annotations

import csv
import hashlib
import sys
from pathlib import Path

ALPACA = "tatsu-lab/alpaca_eval", "cd543a149df89434d8a54582c0151c0b945c3d20"
NOTUS = "argilla-io/notus", "5cd49123b2fd8622a656afb441361e27db791898"
REPOSITORIES = {ALPACA[0], NOTUS[0], "lm-sys/FastChat", "alvarobartt/FastChat", "rkinas/FastChat"}
OTHER_ORIGINS: dict[str, tuple[tuple[str, str], str, str, str]] = {
    # name: (repository, commit), path, sha256 of that file, form
    "alpaca_eval/instructions": (
        ALPACA,
        "results/text_davinci_003/model_outputs.json",
        "af0bc112f08c88bf589bbfe6fc1036806d0a0f6fec9c4d5a4db860f5afe73b4b",
        "instructions",
    ),
    "alpaca_eval/reference_gpt4_turbo": (
        ALPACA,
        "results/gpt4_1106_preview/model_outputs.json",
        "83db546b872ddebee8965fd05fa48461ee3c32bc695c62fb57f2d214ff741ec4",
        "",
    ),
    # Version 1's reference is what the judge was shown, not that repository's own file of outputs.
    "alpaca_eval/reference_text_davinci_003": (
        ALPACA,
        "results/zephyr-7b-beta/alpaca_eval_gpt4/annotations.json",
        "004401fcd0a1faae086ba33c612550334ff6954d1989fbc17c29d4d379c38687",
        "output_1",
    ),
}
RAW = "https://raw.githubusercontent.com"
HUB = "tatsu-lab/alpaca_eval"
ON_THE_HUB = {
    # name: file, sha256 as far as it was published
    "alpaca_eval/lc/df_gamed": (
        "df_gamed.csv",
        "97aeec3f1c7de6dee6fd31fe66f1702623f4614c3efe1c6fc5f4927cd5fd674d",
    ),
    "alpaca_eval/lc/instruction_difficulty": ("instruction_difficulty.csv", ""),
}
JUDGEBENCH = "ScalerLab/JudgeBench", "e2c52c284e735e139b3daa61c206ee208f36c461"
ANSWERED = {
    # model that answered the pairs: pairs, sha256 of the file in a mirror
    "claude-3-5-sonnet-20240620": (
        270,
        "749a14d711d4a72d8c67517753dc4a988db58feb11f58c34248b12e075d9adef",
    ),
    "gpt-4o-2024-05-13": (
        350,
        "8265dee5c198807e172b68cbe83a6fa4753295d4ab9826bfe5f5338b77798fd9",
    ),
}
FIELDS = ("name", "mirror", "sha256", "rows", "licence", "url", "url_sha256", "form", "hub")
ENDINGS = (".gz", ".jsonl", ".json", ".csv", ".txt", ".tab")


def name_of(path: str) -> str:
    """A data set's name: its path without the ending."""
    for ending in ENDINGS:
        path = path.removesuffix(ending)
    return path


def described(folder: Path) -> dict[str, dict[str, str]]:
    """The rows of MANIFEST.csv by file."""
    with (folder / "MANIFEST.csv").open(encoding="utf-8") as file:
        return {row["file"]: row for row in csv.DictReader(file)}


def origin(name: str, row: dict[str, str]) -> tuple[str, str, str]:
    """URL, its sha256, and the form of what lies there."""
    if name in OTHER_ORIGINS:
        (repository, commit), path, sha256, form = OTHER_ORIGINS[name]
        return f"{RAW}/{repository}/{commit}/{path}", sha256, form
    if name.startswith("notus/lm_eval_harness/"):
        file = f"v1/eval/lm_eval_harness/{name.rsplit('/', 1)[1]}.json"
        return f"{RAW}/{NOTUS[0]}/{NOTUS[1]}/{file}", "same", ""
    if name == "notus/alpaca_eval/leaderboard":
        return f"{RAW}/{NOTUS[0]}/{NOTUS[1]}/v1/eval/alpaca_eval/leaderboard.csv", "same", ""
    repository, sha256 = row.get("source_repo", ""), row.get("sha256_of_source_file", "")
    if repository not in REPOSITORIES or not sha256:
        return "", "", ""
    return f"{RAW}/{repository}/{row['source_commit']}/{row['source_path']}", sha256, ""


def main(folder: Path) -> None:
    """Write the catalogue to standard output."""
    rows = described(folder)
    out = csv.DictWriter(sys.stdout, FIELDS, lineterminator="\n")
    out.writeheader()
    for path in sorted(p for p in folder.rglob("*") if p.is_file()):
        file = path.relative_to(folder).as_posix()
        if file in ("MANIFEST.csv", "README.md") or file.startswith(("preference/", "judging/")):
            continue
        if file.endswith("expected.csv"):
            continue
        row, name = rows.get(file, {}), name_of(file)
        sha256 = hashlib.sha256(path.read_bytes()).hexdigest()
        url, url_sha256, form = origin(name, row)
        out.writerow(
            {
                "name": name,
                "mirror": file,
                "sha256": sha256,
                "rows": row.get("rows", ""),
                "licence": row.get("licence_as_stated", ""),
                "url": url,
                "url_sha256": sha256 if url_sha256 == "same" else url_sha256,
                "form": form,
            }
        )
    for name, (file, sha256) in ON_THE_HUB.items():
        where = {"mirror": f"{name}.csv", "sha256": sha256, "hub": f"{HUB}:{file}"}
        out.writerow({"name": name, "licence": "CC BY-NC 4.0", **where})
    for model, (rows_of, sha256) in ANSWERED.items():
        name = f"judging/judgebench/pairs_{model}"
        path = f"data/dataset=judgebench,response_model={model}.jsonl"
        where = {"mirror": f"{name}.jsonl.gz", "sha256": sha256, "rows": rows_of}
        out.writerow({"name": name, "url": f"{RAW}/{'/'.join(JUDGEBENCH)}/{path}", **where})


if __name__ == "__main__":
    main(Path(sys.argv[1]))

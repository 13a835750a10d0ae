"""`evalkit card` from the command line: exit codes, what is written and what is not."""

from __future__ import annotations

from pathlib import Path

import pytest

from evalkit import runner
from tests.support.cards import hub_reads
from tests.support.cli import Command
from tests.support.runs import Plan, build_run, stored_run, with_manifest

CARD = "---\nlicense: mit # kept\n---\n# A model\n\n## Evaluation\n\nTo come."


def test_write_prints_a_card_or_tables_or_a_file(tmp_path: Path, command: Command) -> None:
    stored_run(tmp_path / "run")
    printed = command("card", "write", "run")
    assert printed.code == 0, printed.err
    assert hub_reads(printed.out).data.model_name == "quick-lora"
    saved = command("card", "write", "run/manifest.json", "--out", "a/card.md")
    assert saved.code == 0, saved.err
    assert (tmp_path / "a" / "card.md").read_text(encoding="utf-8") == printed.out
    table = command("card", "write", "run", "--template", "chat")
    assert table.out.startswith("**Chat benchmarks**\n\n| Model | MT-Bench")
    assert table.out.split("\n", 3)[2] in printed.out


def test_write_refuses_what_must_not_be_published(tmp_path: Path, command: Command) -> None:
    stored_run(tmp_path / "run", Plan(limit=5))
    done = command("card", "write", "run", "--out", "card.md")
    assert done.code == 2
    assert "limited to 5 samples" in done.err
    assert not (tmp_path / "card.md").exists()
    marked = command("card", "write", "run", "--allow-unpublishable")
    assert marked.code == 0, marked.err
    assert "**Not for publication: quickstart, run 3f2a9c1b7d04: limited" in marked.out


def test_update_checks_shows_and_writes(tmp_path: Path, command: Command) -> None:
    stored_run(tmp_path / "run")
    place = tmp_path / "README.md"
    place.write_text(CARD, encoding="utf-8")
    update = ("card", "update", "README.md", "run")
    stale = command(*update, "--check")
    assert (stale.code, stale.out) == (1, "README.md: stale\n")
    shown = command(*update, "--dry-run")
    assert shown.code == 0
    assert shown.out.startswith("--- a/README.md\n+++ b/README.md\n")
    assert "\n+model-index:\n" in shown.out
    assert place.read_text(encoding="utf-8") == CARD
    assert command(*update).out == "README.md: updated\n"
    written = place.read_bytes()
    assert written.startswith(b"---\nlicense: mit # kept\nmodel-index:\n- name: quick-lora\n")
    assert written.endswith(b"<!-- /evalkit:results -->\n\nTo come.")
    assert command(*update).out == "README.md: up to date\n"
    assert command(*update, "--check").code == 0
    assert command(*update, "--dry-run").out == ""
    assert place.read_bytes() == written


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("nowhere.md", "run"), "no such file; write a card first"),
        (("latin.md", "run"), "not UTF-8"),
        (("README.md", "run", "--push", "me/model", "--check"), "--push writes"),
        (("README.md", "run", "--push", "me/model", "--model", "quick-lora"), "set HF_TOKEN"),
        (("README.md", "run", "--name", "else"), "of 'another', the figures are of 'else'"),
    ],
)
def test_update_refuses_and_writes_nothing(
    tmp_path: Path, arguments: tuple[str, ...], said: str, command: Command
) -> None:
    stored_run(tmp_path / "run")
    text = "---\nmodel-index:\n- name: another\n  results: []\n---\n"
    (tmp_path / "README.md").write_text(text, encoding="utf-8")
    (tmp_path / "latin.md").write_bytes("é".encode("latin-1"))
    done = command("card", "update", *arguments)
    assert done.code == 2, done.out
    assert said in done.err
    assert (tmp_path / "README.md").read_text(encoding="utf-8") == text


def test_a_card_lies_in_the_runs_folder_where_the_suite_asks_for_it(
    tmp_path: Path, command: Command
) -> None:
    stored_run(tmp_path / "run", Plan(formats=("markdown", "card")))
    done = command("report", "run")
    assert done.code == 0, done.err
    written = (tmp_path / "run" / "card.md").read_text(encoding="utf-8")
    assert written == command("card", "write", "run").out


def test_files_are_the_same_bytes_each_time_and_marked_where_needed() -> None:
    run = build_run(Plan(limit=5, formats=("card",)))
    made = runner.render(run)
    assert list(made) == ["card.md"]
    assert b"Not for publication" in made["card.md"]
    assert runner.render(run) == made
    both = [m.model_copy(update={"role": "candidate"}) for m in run.manifest.models]
    several = runner.render(with_manifest(run, models=both))
    assert list(several) == ["card-quick-lora.md", "card-smollm2.md"]
    assert runner.render(with_manifest(run, sealed=False)) == {}

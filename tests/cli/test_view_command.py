"""`evalkit view` prints where it is, answers, and ends in peace with Ctrl-C."""

from __future__ import annotations

import signal
import socket
import urllib.request
from pathlib import Path

import pytest

from tests.support.cli import evalkit, start
from tests.support.runs import stored_run

pytestmark = pytest.mark.slow


@pytest.mark.parametrize("stop", [signal.SIGINT, signal.SIGTERM])
def test_it_serves_until_it_is_stopped(tmp_path: Path, stop: signal.Signals) -> None:
    stored_run(tmp_path / "reports" / "one", run_id="111111111111")
    stored_run(tmp_path / "reports" / "two", run_id="222222222222")
    process = start(tmp_path, "view", "reports", "--no-open")
    try:
        assert process.stdout is not None
        address = process.stdout.readline().strip()
        assert address.startswith("http://127.0.0.1:")
        with urllib.request.urlopen(address, timeout=30) as reply:
            text = reply.read().decode()
        assert "111111111111" in text
        assert "222222222222" in text
        process.send_signal(stop)
        _, err = process.communicate(timeout=30)
    finally:
        process.kill()
    assert process.returncode == 0, err
    assert "2 runs; Ctrl-C ends this" in err
    assert err.endswith("stopped\n")


def test_a_single_run_opens_at_its_report(tmp_path: Path) -> None:
    run = stored_run(tmp_path / "run")
    process = start(tmp_path, "view", str(run.folder), "--no-open")
    try:
        assert process.stdout is not None
        address = process.stdout.readline().strip()
        assert address.endswith("/index.html")
        with urllib.request.urlopen(address, timeout=30) as reply:
            assert reply.status == 200
    finally:
        process.kill()
        process.communicate()


def test_what_cannot_be_shown_is_an_input_error(tmp_path: Path) -> None:
    done = evalkit(tmp_path, "view", "nowhere", "--no-open")
    assert done.code == 2
    assert "nowhere" in done.err
    (tmp_path / "empty").mkdir()
    done = evalkit(tmp_path, "view", "empty", "--no-open")
    assert done.code == 2
    assert "holds no run" in done.err


def test_a_port_that_is_taken_is_an_input_error(tmp_path: Path) -> None:
    stored_run(tmp_path / "run")
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = str(taken.getsockname()[1])
        done = evalkit(tmp_path, "view", "run", "--port", port, "--no-open")
    assert done.code == 2
    assert "leave --port out" in done.err

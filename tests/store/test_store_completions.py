"""The completion cache: exact, durable, shared; and what it says when the file is bad."""

from __future__ import annotations

import random
import signal
import sqlite3
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from evalkit.core import Completion
from evalkit.core.protocols import CompletionCache
from evalkit.errors import StoreError
from evalkit.store.completions import CompletionStore

Start = Callable[..., "subprocess.Popen[str]"]


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / ".evalkit" / "cache.sqlite"


def stored(path: Path) -> int:
    """How many answers the file holds."""
    with closing(sqlite3.connect(path)) as connection:
        return int(connection.execute("SELECT count(*) FROM completions").fetchone()[0])


def test_stores_and_finds(path: Path) -> None:
    full = Completion(
        text="a\u2028\ud800\0b",
        logprob=-0.1 - 1e-17,
        is_greedy=False,
        truncated=True,
        top_logprobs=((" A", -1 / 3), ("", 0.0)),
        prompt_tokens=3,
        completion_tokens=2,
        reused_tokens=1,
        cost_usd=0.1 + 0.2,
    )
    with CompletionStore(path) as store:
        cache: CompletionCache = store
        cache.put_many({"full": full, "empty": Completion()})
        cache.put_many({})
    with CompletionStore(path) as store:
        found = store.get_many(["full", "none", "empty", "full"])
        assert found == {"full": full, "empty": Completion()}
    assert stored(path) == 2


def test_whether_it_came_from_the_cache_is_not_stored(path: Path) -> None:
    with CompletionStore(path) as store:
        store.put_many({"k": Completion("x", from_cache=True)})
        assert store.get_many(["k"]) == {"k": Completion("x")}
    (value,) = sqlite3.connect(path).execute("SELECT value FROM completions").fetchone()
    assert value == '{"text":"x"}'


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    st.builds(
        Completion,
        logprob=st.none() | st.floats(allow_nan=False, allow_infinity=False),
        cost_usd=st.floats(0, 1e9),
        top_logprobs=st.lists(st.tuples(st.text(), st.floats(-1e300, 0))).map(tuple),
        from_cache=st.just(value=False),
        prompt_tokens=st.integers(0),
        completion_tokens=st.integers(0),
        reused_tokens=st.integers(0),
    )
)
def test_answers_come_back_exactly(tmp_path: Path, completion: Completion) -> None:
    with CompletionStore(tmp_path / "c.sqlite") as store:
        key = repr(completion)
        store.put_many({key: completion})
        assert repr(store.get_many([key])[key]) == key


def test_the_first_answer_stays(path: Path) -> None:
    with CompletionStore(path) as store:
        store.put_many({"k": Completion("first")})
        store.put_many({"k": Completion("second"), "l": Completion("new")})
        assert {k: c.text for k, c in store.get_many("kl").items()} == {"k": "first", "l": "new"}


def test_more_keys_than_sqlite_takes_in_one_query(path: Path) -> None:
    with closing(sqlite3.connect(":memory:")) as connection:
        most = connection.getlimit(sqlite3.SQLITE_LIMIT_VARIABLE_NUMBER)
    keys = [f"{i:064d}" for i in range(most + 1)]
    items = {key: Completion(key) for key in (keys[0], keys[most // 2], keys[most])}
    with CompletionStore(path) as store:
        store.put_many(items)
        assert store.get_many(keys) == items


def test_a_number_that_is_none_is_refused_and_nothing_is_stored(path: Path) -> None:
    with CompletionStore(path) as store:
        with pytest.raises(StoreError, match=r"answer 'b' cannot be stored: logprob: nan"):
            store.put_many({"a": Completion(), "b": Completion(logprob=float("nan"))})
        assert store.get_many("ab") == {}


def test_threads_share_one_store(path: Path) -> None:
    with CompletionStore(path) as store:

        def work(worker: int) -> None:
            for i in range(50):
                store.put_many({f"{worker}.{i}": Completion(str(i))})
                assert store.get_many([f"{worker}.{i}"])

        threads = [threading.Thread(target=work, args=(w,)) for w in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    assert stored(path) == 200


# --- lengths ----------------------------------------------------------------------------------


@given(st.lists(st.integers(0, 5000), min_size=1, max_size=12))
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=30)
def test_a_length_is_a_mean_in_which_the_last_answers_weigh_most(
    tmp_path: Path, answers: list[int]
) -> None:
    with CompletionStore(tmp_path / "c.sqlite") as store:
        name = repr(answers)
        for n, tokens in enumerate(answers):
            store.put_many({f"{name}{n}": Completion()}, {name: tokens})
        (known,) = store.lengths([name, "never asked"]).values()
    assert min(answers) <= known <= max(answers)
    if len(answers) <= 4:
        assert abs(known - sum(answers) / len(answers)) <= 0.5001
    # Three quarters of what was known, one quarter the last answer (two after one, ...).
    mean = float(answers[0])
    for n, tokens in enumerate(answers[1:], start=2):
        mean += (tokens - mean) / min(n, 4)
    assert abs(known - mean) <= 0.5001


def test_lengths_are_stored_with_the_answers_or_not_at_all(path: Path) -> None:
    with CompletionStore(path) as store:
        store.put_many({"k": Completion("x")}, {"q": 10})
        with pytest.raises(StoreError, match="cannot be stored"):
            store.put_many({"b": Completion(logprob=float("nan"))}, {"q": 90, "r": 1})
        assert store.lengths(["q", "r"]) == {"q": 10}
    with CompletionStore(path) as store:
        assert store.lengths(["q"]) == {"q": 10}


def test_a_cache_of_version_1_keeps_its_answers(path: Path) -> None:
    path.parent.mkdir()
    with closing(sqlite3.connect(path)) as connection:
        connection.executescript(
            "CREATE TABLE completions"
            " (key TEXT PRIMARY KEY, value TEXT NOT NULL, stored_at INTEGER NOT NULL);"
            """INSERT INTO completions VALUES ('k', '{"text":"x"}', 1);"""
            f"PRAGMA application_id={0x65766B63}; PRAGMA user_version=1;"
        )
    with CompletionStore(path) as store, CompletionStore(path) as other:
        assert store.get_many(["k"]) == {"k": Completion("x")}
        store.put_many({"l": Completion("y")}, {"q": 3})
        assert other.get_many("kl") == {"k": Completion("x"), "l": Completion("y")}
        assert other.lengths(["q"]) == {"q": 3}
    with closing(sqlite3.connect(path)) as connection:
        assert connection.execute("PRAGMA user_version").fetchone() == (2,)


# --- bad files --------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "content", [b"not a data base at all, but long enough" * 50, b"SQLite format 3" + b"?" * 600]
)
def test_a_damaged_file_says_what_to_do(path: Path, content: bytes) -> None:
    path.parent.mkdir()
    path.write_bytes(content)
    with pytest.raises(StoreError, match=r"cache\.sqlite: the cache is damaged .*delete it"):
        CompletionStore(path)
    assert path.read_bytes() == content


def test_damage_in_the_middle_is_told(path: Path) -> None:
    with CompletionStore(path) as store:
        store.put_many({f"{i:064d}": Completion("x" * 200) for i in range(2000)})
    data = bytearray(path.read_bytes())
    assert len(data) > 200_000
    data[4096:-4096] = random.Random(0).randbytes(len(data) - 8192)
    path.write_bytes(data)
    with pytest.raises(StoreError, match="damaged"), CompletionStore(path) as store:
        store.get_many([f"{i:064d}" for i in range(2000)])


@pytest.mark.parametrize(
    "change",
    [
        """value = '{"text":"z"}'""",
        """value = CAST(x'7B2274657874223A22FF227D' AS TEXT)""",
        "value = x'00'",
        "value = 3",
        "digest = 'f'",
        """value = '{"txt": 1}', digest = NULL""",
    ],
)
def test_a_damaged_answer_is_absent_and_told_once(
    path: Path, change: str, caplog: pytest.LogCaptureFixture
) -> None:
    with CompletionStore(path) as store:
        store.put_many({key: Completion("x") for key in "abc"})
    with sqlite3.connect(path) as connection:
        connection.execute(f"UPDATE completions SET {change} WHERE key < 'c'")
    with CompletionStore(path) as store:
        assert store.get_many("ac") == {"c": Completion("x")}
        assert store.get_many("ab") == {}
        (told,) = caplog.messages
        assert "damaged and were removed" in told
        store.put_many({"a": Completion("again")})
        assert store.get_many("a") == {"a": Completion("again")}
    assert stored(path) == 2


def test_another_programs_data_base_is_left_alone(path: Path) -> None:
    path.parent.mkdir()
    with sqlite3.connect(path) as connection:
        connection.execute("CREATE TABLE theirs (x)")
    before = path.read_bytes()
    with pytest.raises(StoreError, match="not evalkit's cache"):
        CompletionStore(path)
    assert path.read_bytes() == before


def test_a_newer_version_is_refused(path: Path) -> None:
    CompletionStore(path).close()
    with sqlite3.connect(path) as connection:
        connection.execute("PRAGMA user_version=3")
    with pytest.raises(StoreError, match=r"version 3, this evalkit reads up to 2; upgrade"):
        CompletionStore(path)


def test_a_place_that_cannot_be_written(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(StoreError, match="cannot be created"):
        CompletionStore(tmp_path / "file" / "cache.sqlite")
    with pytest.raises(StoreError, match="check that you may write"):
        CompletionStore(tmp_path)


# --- other processes ---------------------------------------------------------------------------

PUT_FOREVER = """
    import itertools, sys
    from pathlib import Path
    from evalkit.store.completions import CompletionStore
    from evalkit.core import Completion
    store = CompletionStore(Path(sys.argv[1]))
    for i in itertools.count():
        store.put_many({f"{sys.argv[2]}.{i}.{j}": Completion(str(i) * 50) for j in range(3)})
        print(i)
"""


@pytest.mark.slow
def test_kill_9_loses_nothing_acknowledged(path: Path, start: Start) -> None:
    rng = random.Random(11)
    for attempt in range(5):
        child = start(PUT_FOREVER, path, attempt)
        assert child.stdout is not None
        acknowledged = [int(child.stdout.readline())]
        time.sleep(rng.uniform(0, 0.15))
        child.send_signal(signal.SIGKILL)
        acknowledged += [int(line) for line in child.stdout if line.endswith("\n")]
        child.wait()
        keys = [f"{attempt}.{i}.{j}" for i in acknowledged for j in range(3)]
        with CompletionStore(path) as store:
            assert store.get_many(keys).keys() == set(keys)
    with sqlite3.connect(path) as connection:
        assert connection.execute("PRAGMA integrity_check").fetchall() == [("ok",)]


def test_processes_create_and_share_one_cache(path: Path, start: Start) -> None:
    source = PUT_FOREVER.replace("itertools.count()", "range(60)")
    children = [start(source, path, name) for name in "abcd"]
    for child in children:
        _, errors = child.communicate(timeout=120)
        assert child.returncode == 0, errors
    assert stored(path) == 4 * 60 * 3


CLAIM = """
    import sys, time
    from pathlib import Path
    from evalkit.store.completions import CompletionStore
    store = CompletionStore(Path(sys.argv[1]))
    print(store.claim("k"))
    time.sleep(600)
"""


def test_one_living_process_claims_a_request_until_it_has_the_answer(
    path: Path, start: Start
) -> None:
    child = start(CLAIM, path)
    assert child.stdout is not None
    assert child.stdout.readline() == "True\n"
    with CompletionStore(path) as store, CompletionStore(path) as same:
        assert store.claim("k") is False
        assert store.claim("other") is True
        store.release(["k", "other"])
        assert store.claim("k") is False
        child.kill()
        child.wait()
        assert (store.claim("k"), same.claim("k")) == (True, True)
        store.put_many({"k": Completion("x")})
        assert same.claim("k") == Completion("x")
    with closing(sqlite3.connect(path)) as connection:
        assert connection.execute("SELECT count(*) FROM claims").fetchone() == (0,)


FILL = """
    import resource, sys
    from pathlib import Path
    from evalkit.errors import StoreError
    from evalkit.store.completions import CompletionStore
    from evalkit.core import Completion
    if sys.argv[2] == "limit":
        resource.setrlimit(resource.RLIMIT_FSIZE, (300_000, 300_000))
    store = CompletionStore(Path(sys.argv[1]))
    try:
        for i in range(3000):
            store.put_many({f"key{i}": Completion("x" * 1000)})
    except StoreError as error:
        print(f"{i}|{error}")
"""


def test_a_write_that_fails_keeps_what_was_stored(path: Path, start: Start) -> None:
    child = start(FILL, path, "limit")
    out, errors = child.communicate(timeout=120)
    assert child.returncode == 0, errors
    stored, _, message = out.partition("|")
    assert "cache.sqlite: disk I/O error; check the disk" in message
    with CompletionStore(path) as store:
        keys = [f"key{i}" for i in range(int(stored))]
        assert int(stored) > 20
        assert store.get_many(keys).keys() == set(keys)
        store.put_many({"after": Completion()})


def test_a_full_disk(tmp_path: Path, small_disk: Callable[[str, str], str]) -> None:
    out = small_disk(FILL, "disk")
    stored, _, message = out.partition("|")
    assert int(stored) > 20
    assert "database or disk is full; free some space" in message


def test_opening_is_quick_and_imports_nothing_heavy() -> None:
    code = (
        "import sys, evalkit.store\n"
        "heavy = {'torch', 'numpy', 'scipy', 'pandas', 'transformers'}\n"
        "sys.exit(', '.join(sorted(heavy & set(sys.modules))) or 0)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


CREATE_TOGETHER = """
    import sys, time
    from pathlib import Path
    from evalkit.store.completions import CompletionStore
    from evalkit.core import Completion
    for i in range(40):
        time.sleep(max(0, float(sys.argv[2]) + i * 0.02 - time.time()))
        with CompletionStore(Path(sys.argv[1]) / f"{i}.sqlite") as store:
            store.put_many({sys.argv[3]: Completion()})
"""


@pytest.mark.slow
def test_processes_create_the_file_at_the_same_moment(tmp_path: Path, start: Start) -> None:
    soon = time.time() + 0.5
    for child in [start(CREATE_TOGETHER, tmp_path, soon, name) for name in "abc"]:
        _, errors = child.communicate(timeout=120)
        assert child.returncode == 0, errors
    for i in range(40):
        with CompletionStore(tmp_path / f"{i}.sqlite") as store:
            assert store.get_many("abc").keys() == set("abc")

"""Calls of code that may take for ever, each ended after some seconds of processor time.

lm-eval reads answers with regular expressions whose time grows with the square of an answer's
length, and with sympy, which computes what an answer writes; neither lets go of the interpreter, so
nothing in the same process can end them.  A process that is forked off early, while this one has
neither engine nor threads to speak of, forks another that takes the calls; where the kernel ends
that one, it forks the next.  Both know all that was loaded before: tasks, and functions of theirs
that no other process could import.  They end when this process ends, however it does.

Processor time, not the clock: a busy machine excludes no answer.
"""

from __future__ import annotations

import multiprocessing
import os
import signal
import warnings
import weakref
from collections.abc import Callable
from contextlib import suppress
from multiprocessing.connection import Connection
from threading import Lock
from typing import Any, NoReturn, TypeAlias

__all__ = ["Deadlined"]

Call: TypeAlias = Callable[..., Any]
_ENDED = "it ended the process that read it"
_CLOCK = 30
"""Seconds of the clock for a second of processor time; more is a call that waits for something."""


class Deadlined:
    """`function`, whose picklable arguments and values pass between processes.

    Raises TimeoutError with the reason where a call has taken `seconds` of processor time, or
    ended its process; the next call gets a new one.
    """

    def __init__(self, function: Call, seconds: float) -> None:
        self._function, self._seconds = function, seconds
        self._lock = Lock()
        self._start()

    def _start(self) -> None:
        self._calls, theirs = multiprocessing.Pipe()
        with warnings.catch_warnings():
            # Python 3.12 warns where there are threads; none has a lock that scoring needs.
            warnings.simplefilter("ignore", DeprecationWarning)
            pid = os.fork()
        if pid == 0:
            # No other file is closed: libraries need theirs at the next fork (Arrow ends a process
            # whose pipe is closed), and a FolderLock drops its own.
            self._calls.close()
            _serve(theirs, self._function, self._seconds)
        theirs.close()
        self._end = weakref.finalize(self, _end, self._calls, pid)

    def __call__(self, *arguments: object) -> Any:
        """What `function` returns."""
        with self._lock:
            if not self._end.alive:
                self._start()
            late, value = True, None
            try:
                with suppress(EOFError, OSError):
                    self._calls.send(arguments)
                    if self._calls.poll(self._seconds * _CLOCK):
                        late, value = self._calls.recv()
            finally:
                if value is None:  # also after Ctrl-C: its answer must not be the next call's
                    self._end()
        if late:
            raise TimeoutError(value or _ENDED)
        return value


def _serve(calls: Connection, function: Call, seconds: float) -> NoReturn:
    """In the forked process: keep one process that takes calls, until the pipe is closed."""
    try:
        os.setpgid(0, 0)  # Ctrl-C is for the parent
        while (pid := os.fork()) != 0:
            _, status = os.waitpid(pid, 0)
            if not os.WIFSIGNALED(status):
                break
            number = os.WTERMSIG(status)
            why = f"it took more than {seconds:g} s" if number == signal.SIGPROF else _ENDED
            calls.send((True, why))
        else:
            _take(calls, function, seconds)
    finally:
        os._exit(0)


def _take(calls: Connection, function: Call, seconds: float) -> None:
    signal.signal(signal.SIGPROF, signal.SIG_DFL)
    while True:
        arguments = calls.recv()
        signal.setitimer(signal.ITIMER_PROF, seconds)
        value = function(*arguments)
        signal.setitimer(signal.ITIMER_PROF, 0)
        calls.send((False, value))


def _end(calls: Connection, pid: int) -> None:
    calls.close()
    with suppress(OSError):
        os.killpg(pid, signal.SIGKILL)
    with suppress(OSError):
        os.waitpid(pid, 0)

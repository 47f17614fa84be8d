"""Runs pieces of work in processes of their own, with limits: what goes wrong there stays there.

A host process imports what the work needs, once; then it forks for each piece, so that a piece costs no start
of Python. The child gets limits on memory and time, does its piece and says what came of it. One that is
killed, or has to be, says nothing, and its end is the verdict.

Requests and replies are lines of JSON: nothing that comes out of a child can become code.
"""

from __future__ import annotations

import json
import os
import selectors
import signal
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass, field, replace
from importlib import import_module
from math import inf
from multiprocessing import get_context
from multiprocessing.connection import Connection, wait
from pathlib import Path
from time import monotonic
from typing import IO, Any, TypeAlias

from ..base.errors import MhagenError, UnsupportedError, VerificationError
from .verdict import Verdict

if sys.platform != "win32":
    import resource

Json: TypeAlias = Mapping[str, Any]
Work: TypeAlias = Callable[[Json], Json]

START = (
    "import sys; sys.path[:0] = sys.argv[2:]; from mhagen.tuning.isolated import serve; serve(sys.argv[1])"
)
PACKAGE_FOLDER = str(Path(__file__).resolve().parents[2])
GRACE_SECONDS = 2.0  # that the host has to end a child whose time is up, and to say so
START_SECONDS = 60.0  # that it may take to import what it needs
DETAIL_LENGTH = 200


@dataclass(frozen=True)
class Reply:
    """What came of a piece of work: `content` where it went well, `detail` where it did not.

    Members  was_cut_short: it was ended before it had the time that it may take, and nothing is known of it
    """

    verdict: Verdict
    content: Json = field(default_factory=dict)
    detail: str = ""
    seconds: float = 0.0
    was_cut_short: bool = False

    @property
    def is_good(self) -> bool:
        return self.verdict is Verdict.OK


@dataclass(frozen=True)
class Limits:
    """What a child may use.  Units: memory is what it may ask for beyond what the host has."""

    seconds: float
    memory_bytes: int
    threads: int = 1


class Isolation:
    """A host process, started when it is first needed and again when it was lost.

    work   "package.module:function" from request to reply, as the host imports it
    cpus   those that it may run on; none: all
    path   more folders in which the host looks for modules
    """

    def __init__(self, work: str, cpus: frozenset[int] = frozenset(), path: tuple[str, ...] = ()) -> None:
        if sys.platform == "win32":
            raise UnsupportedError(
                "candidates are kept apart with fork and its limits, which Windows has not"
            )
        self.work, self.cpus, self.path = work, cpus, path
        self._process: subprocess.Popen[bytes] | None = None
        self._errors: IO[bytes] | None = None
        self._asked_so_far = 0

    def run(self, request: Json, limits: Limits) -> Reply:
        """Do one piece of work; whatever happens to it is in the reply."""
        self.start()
        start = monotonic()
        reply = self._asked({"request": request, "limits": vars(limits)}, limits.seconds)
        return replace(reply, seconds=monotonic() - start)

    def start(self, seconds: float = inf) -> bool:
        """Have a host: it takes a second or two, which is no fault of a candidate.

        False where it is not ready in so many seconds: it is ended, and the next start is a new one.

        Raises   UnsupportedError where none can be started, however long one waits
        """
        if self._process is not None:
            return True
        line = self._ready_line(min(seconds, START_SECONDS))
        if line:
            return True
        detail = self._last_error()
        self.close()  # or its late word would be the answer to the first question
        if line is None and seconds < START_SECONDS:
            return False
        raise UnsupportedError(f"no process for candidates could be started: {detail}")

    def _ready_line(self, seconds: float) -> bytes | None:
        command = [sys.executable, "-c", START, self.work, PACKAGE_FOLDER, *self.path]
        self._errors = tempfile.TemporaryFile()  # noqa: SIM115 (open as long as the host is there)
        # A session of its own: Ctrl-C is for us, and one signal ends the host and its child.
        self._process = process = subprocess.Popen(
            command,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self._errors,
            start_new_session=True,
        )
        if self.cpus:
            os.sched_setaffinity(process.pid, self.cpus)
        assert process.stdout is not None
        try:
            return line_within(process.stdout, seconds)
        except ValueError:
            if self._process is process:  # it is not that another thread has closed it meanwhile
                raise
            return b""

    def _asked(self, question: Json, seconds: float) -> Reply:
        process = self._process
        if process is None:  # closed meanwhile by another thread
            return self._lost()
        assert process.stdin is not None and process.stdout is not None
        self._asked_so_far += 1
        number = self._asked_so_far
        try:
            process.stdin.write(json.dumps({**question, "number": number}).encode() + b"\n")
            process.stdin.flush()
            line = line_within(process.stdout, seconds + GRACE_SECONDS)
        except BrokenPipeError:
            return self._lost()
        except ValueError:
            if self._process is process:  # it is not that another thread has closed it meanwhile
                raise
            return self._lost()
        if line is None:
            self.close()
            return Reply(Verdict.HUNG, detail=f"it took over {seconds:.3g} s")
        return self._answer(json.loads(line), number) if line else self._lost()

    def _answer(self, document: Json, number: int) -> Reply:
        if document["number"] == number:
            return reply_of(document)
        self.close()
        return Reply(Verdict.HUNG, detail="its host answered another question", was_cut_short=True)

    def _lost(self) -> Reply:
        code, detail = self._exit_code(), self._last_error()
        self.close()
        # The system's killer of processes that take too much memory takes the host, too.
        verdict = Verdict.MEMORY if code == -signal.SIGKILL else Verdict.CRASHED
        return Reply(verdict, detail=detail or "its host process was lost")

    def _exit_code(self) -> int | None:
        process = self._process
        if process is None:  # closed meanwhile by another thread
            return None
        with suppress(subprocess.TimeoutExpired):
            return process.wait(GRACE_SECONDS)
        return None

    def _last_error(self) -> str:
        if self._errors is None or self._errors.closed:
            return ""
        self._errors.seek(0)
        lines = self._errors.read().decode(errors="replace").strip().splitlines()
        return lines[-1][:DETAIL_LENGTH] if lines else ""

    def close(self) -> None:
        """End the host, and the child that it may have."""
        process, self._process = self._process, None
        if process is None:
            return
        with suppress(ProcessLookupError, PermissionError):
            os.killpg(process.pid, signal.SIGKILL)
        process.wait()
        for stream in (process.stdin, process.stdout, self._errors):
            if stream is not None:
                with suppress(OSError):
                    stream.close()


def line_within(stream: IO[bytes], seconds: float) -> bytes | None:
    """The next line; empty where the other side is gone, None where nothing came in time."""
    # poll: select knows no descriptors beyond 1023, and epoll forgets a stream that is closed meanwhile.
    with selectors.PollSelector() as selector:
        selector.register(stream, selectors.EVENT_READ)
        ready = selector.select(seconds)
    return stream.readline() if ready else None


def reply_of(document: Json) -> Reply:
    return Reply(Verdict(document["verdict"]), document.get("content", {}), document.get("detail", ""))


def serve(work: str) -> None:
    """The host: do what is asked, line by line, until nobody asks any more."""
    source, sink = os.dup(0), os.dup(1)
    os.dup2(2, 1)  # what libraries print is no reply
    module, _, name = work.partition(":")
    function: Work = getattr(import_module(module), name)
    answer(sink, {"number": 0})
    with open(source, "rb", buffering=0) as lines:
        for line in iter(lines.readline, b""):
            asked = json.loads(line)
            said = attempt(function, asked["request"], Limits(**asked["limits"]), (source, sink))
            answer(sink, {**said, "number": asked["number"]})


def answer(sink: int, document: Json) -> None:
    os.write(sink, json.dumps(document).encode() + b"\n")


def attempt(function: Work, request: Json, limits: Limits, channel: tuple[int, int]) -> Json:
    """Do one piece in a child. It is also ended when who asked is gone: the source can be read then."""
    source, sink = channel
    context = get_context("fork")
    mine, theirs = context.Pipe(duplex=False)
    process = context.Process(target=limited, args=(function, request, limits, theirs, sink))
    process.start()
    theirs.close()
    try:
        ready = wait([mine, source], limits.seconds)
        said = said_by(mine) if mine in ready else None
        if said is not None:
            return said
        if not ready or source in ready:
            return {"verdict": "hung", "detail": f"it took over {limits.seconds:.3g} s"}
        process.join(GRACE_SECONDS)
        return ended(process.exitcode)
    finally:
        process.kill()
        process.join()
        mine.close()


def said_by(connection: Connection) -> Json | None:
    try:
        document: Json = json.loads(connection.recv_bytes())
        return document
    except EOFError:
        return None


def ended(code: int | None) -> Json:
    """The verdict on a child that has said nothing."""
    if code is None or code >= 0:
        return {"verdict": "crashed", "detail": f"it ended with exit code {code}"}
    name = signal.Signals(-code).name
    verdict = {signal.SIGKILL: "memory", signal.SIGXCPU: "hung"}.get(signal.Signals(-code), "crashed")
    return {"verdict": verdict, "detail": f"it was ended by {name}"}


def limited(function: Work, request: Json, limits: Limits, own: Connection, sink: int) -> None:
    """In the child: take the limits, do the work, say what came of it."""
    os.close(sink)  # or nobody would see that the host is lost
    set_limits(limits)
    own.send_bytes(json.dumps(judged(function, request)).encode())


def judged(function: Work, request: Json) -> Json:
    """What the work gives, or a verdict on what it raises."""
    try:
        return {"verdict": "ok", "content": function(request)}
    except VerificationError as error:
        return {"verdict": "wrong", "detail": first_line(error)}
    except MemoryError:
        return {"verdict": "memory", "detail": "it asked for more memory than it may have"}
    except MhagenError as error:
        return {"verdict": "refused", "detail": first_line(error)}
    except Exception as error:
        return {"verdict": "crashed", "detail": f"{type(error).__name__}: {first_line(error)}"}


def first_line(error: Exception) -> str:
    lines = str(error).splitlines()
    return lines[0][:DETAIL_LENGTH] if lines else ""


def set_limits(limits: Limits) -> None:
    for kind, most in limits_of(limits):
        _, hard = resource.getrlimit(kind)
        most = most if hard == resource.RLIM_INFINITY else min(most, hard)
        with suppress(ValueError, OSError):  # a system that has the name and not the limit
            resource.setrlimit(kind, (most, most))


def limits_of(limits: Limits) -> Iterator[tuple[int, int]]:
    yield resource.RLIMIT_CORE, 0
    # Should nobody be left to watch the clock.
    yield resource.RLIMIT_CPU, int(limits.seconds * limits.threads) + 10
    if (size := address_space_bytes()) is not None:
        yield resource.RLIMIT_AS, size + limits.memory_bytes


def address_space_bytes() -> int | None:
    """What this process has of it now, where the system tells."""
    try:
        pages = int(Path("/proc/self/statm").read_text(encoding="ascii").split()[0])
    except (OSError, ValueError):
        return None
    return pages * resource.getpagesize()

"""Progress: lines for a log, bars for a terminal, silence for a library."""

from __future__ import annotations

import io
import time

import pytest

from gravdask import progress as progress_module
from gravdask.progress import Progress, followed, grouped, time_left


class Terminal(io.StringIO):
    """A stream that says it is a terminal."""

    def isatty(self) -> bool:
        return True


class Clock:
    """A clock that is set by hand."""

    def __init__(self) -> None:
        self.now = 0.0

    def monotonic(self) -> float:
        return self.now


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    made = Clock()
    monkeypatch.setattr(progress_module, "time", made)
    return made


def test_silence_is_the_default(capsys: pytest.CaptureFixture[str]) -> None:
    quiet = Progress()
    quiet.say("nothing")
    with quiet.task("noise", 3) as counter:
        counter.advance(3)
    assert counter.done == 3
    assert capsys.readouterr() == ("", "")


def test_a_line_is_one_line_and_is_flushed() -> None:
    class Flushed(io.StringIO):
        flushes = 0

        def flush(self) -> None:
            self.flushes += 1

    stream = Flushed()
    Progress(stream).say("convert: done \n\n")
    assert stream.getvalue() == "convert: done\n"
    assert stream.flushes == 1


def test_a_log_gets_a_line_now_and_then_and_no_flood(clock: Clock) -> None:
    stream = io.StringIO()
    with Progress(stream).task("scatter", 1000) as counter:
        for _ in range(500):
            clock.now += 0.125
            counter.advance()
    lines = stream.getvalue().splitlines()
    assert len(lines) == 6
    assert lines[0] == "scatter: 80 of 1000, about 115 s left"
    assert "\r" not in stream.getvalue()
    assert "\x1b" not in stream.getvalue()


def test_the_time_left_follows_from_the_pace(clock: Clock) -> None:
    stream = io.StringIO()
    with Progress(stream).task("fit", 40) as counter:
        clock.now = 30.0
        counter.advance(10)
    assert stream.getvalue() == "fit: 10 of 40, about 90 s left\n"


def test_work_of_a_moment_leaves_no_line(clock: Clock) -> None:
    stream = io.StringIO()
    with Progress(stream).task("noise", 5) as counter:
        clock.now = 1.0
        counter.advance(5)
    assert stream.getvalue() == ""


def test_a_terminal_gets_a_bar_that_counts(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TERM", "xterm-256color")
    monkeypatch.setenv("COLUMNS", "100")
    stream = Terminal()
    with Progress(stream).task("noise", 7) as counter:
        counter.advance(4)
        counter.advance(3)
    assert counter.done == 7
    assert "noise" in stream.getvalue()
    assert "7/7" in stream.getvalue()
    assert " of 7" not in stream.getvalue()


def test_a_failure_of_the_work_goes_through() -> None:
    failure = "the work failed"
    for stream in (io.StringIO(), Terminal(), None):
        with pytest.raises(RuntimeError, match=failure), Progress(stream).task("noise", 2):
            raise RuntimeError(failure)


def test_what_is_said_of_many_channels_is_one_line() -> None:
    alike = [f"XX.S{n:02d}.--.LGZ: no coordinates; give them" for n in range(80)]
    told = grouped([*alike[:40], "XX.S03.--.LGZ: another: thing", *alike[40:], *alike, "a sentence: of its own"])
    assert told == [
        "XX.S00.--.LGZ, XX.S01.--.LGZ, XX.S02.--.LGZ and 77 more: no coordinates; give them",
        "XX.S03.--.LGZ: another: thing",
        "a sentence: of its own",
    ]
    assert grouped(alike[:4]) == alike[:4]


def test_long_work_of_one_piece_is_told_and_short_is_not(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(progress_module, "LONG_SECONDS", 0.05)
    stream = io.StringIO()
    progress = Progress(stream)
    with progress.during("fit: quick"):
        assert progress.said == "fit: quick"  # who asks for the state of a run learns it at once
    with progress.during("fit: slow"):
        deadline = time.monotonic() + 30
        while not stream.getvalue() and time.monotonic() < deadline:
            time.sleep(0.01)
    with pytest.raises(ValueError, match="broken"), progress.during("fit: broken"):
        raise ValueError("broken")
    time.sleep(0.2)
    assert stream.getvalue() == "fit: slow\n"


def test_what_is_followed_passes_on_and_is_counted(clock: Clock) -> None:
    stream = io.StringIO()
    passed = []
    for item in followed(Progress(stream), "interpret: peaks of channels", iter("abcd"), 4):
        clock.now += 8
        passed.append(item)
    assert passed == list("abcd")
    assert stream.getvalue().splitlines() == [
        "interpret: peaks of channels: 2 of 4, about 16 s left",
        "interpret: peaks of channels: 4 of 4, about 0 s left",
    ]


def test_steps_under_way_are_taken_to_be_half_done(clock: Clock) -> None:
    stream = io.StringIO()
    with Progress(stream).task("scatter", 4) as counter:
        for _ in range(4):  # four workers
            counter.begin()
        clock.now += 10
        counter.advance()
    assert stream.getvalue() == "scatter: 1 of 4, about 6 s left\n"
    assert time_left(100.0, 10, 0, 40) == pytest.approx(300)
    assert time_left(100.0, 8, 4, 40) == pytest.approx(300)
    assert time_left(100.0, 40, 0, 40) == time_left(5.0, 0, 0, 7) == 0

"""Progress: a bar on a terminal; elsewhere a line for every tenth, so that a log stays readable."""

from __future__ import annotations

from io import StringIO

from rich.console import Console

from kairos.progress import showing_progress, with_progress


def test_off_a_terminal_there_are_ten_lines_at_most_and_the_last_one_says_all():
    out = StringIO()
    with showing_progress("caching clips", 95, console=Console(file=out, width=20)) as advance:
        for number in range(95):
            advance(note=f"{number // 50} failed")
    lines = out.getvalue().splitlines()
    assert len(lines) == 10 and lines[0] == "caching clips 10/95  0 s  0 failed"
    assert lines[-1] == "caching clips 95/95  0 s  1 failed"


def test_what_was_done_before_is_counted_and_nothing_to_do_says_nothing():
    out = StringIO()
    with showing_progress("measuring", 10, 5, Console(file=out)) as advance:
        advance(5)
    with showing_progress("measuring", 10, 10, Console(file=out)):
        pass
    with showing_progress("measuring", 3, console=Console(file=out), shown=False) as advance:
        advance(3)
    assert out.getvalue() == "measuring 10/10  0 s\n"


def test_on_a_terminal_there_is_a_bar():
    out = StringIO()
    items = with_progress("embedding", ["a", "b"], Console(file=out, force_terminal=True, width=100))
    assert list(items) == ["a", "b"] and "2/2" in out.getvalue() and "━" in out.getvalue()

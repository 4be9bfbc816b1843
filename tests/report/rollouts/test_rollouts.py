"""A run's rollouts: read without holding the file, chosen, sorted, followed while they are written and cut back."""

from __future__ import annotations

import io
import json
import tracemalloc
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from helpers.running import fit, rows
from rich.console import Console

from kairos.credit.rows import RowError
from kairos.report.rollouts.query import Query, order_by
from kairos.report.rollouts.row_fields import ConditionError, Row
from kairos.report.rollouts.selected import Rollouts
from kairos.report.rollouts.view import RolloutView
from kairos.report.rollouts.where import parse
from kairos.runs.folder import RunError, find_run
from kairos.runs.row_files import RowFile


def row(iteration: int, number: int = 0, **fields: object) -> dict[str, object]:
    return {"iteration": iteration, "uid": f"u{iteration}", "row": number, "reward": 0.0, "text": "5 to 9", **fields}


@pytest.fixture
def run(tmp_path: Path) -> Rollouts:
    """Four iterations of two rollouts each; the second of each was truncated."""
    found = [row(i, j, reward=float(10 * j + i), truncated=j == 1) for i in range(1, 5) for j in range(2)]
    RowFile(tmp_path / "rollouts.jsonl").append(found)
    return Rollouts(tmp_path)


def rewards(run: Rollouts, iteration: str | None = None, **query: object) -> list[object]:
    return [row["reward"] for row in run.rows(iteration, Query(**query))]  # type: ignore[arg-type]


# What stands in the file


def test_iterations_conditions_and_limits_choose_rows_in_the_order_of_the_file(run: Rollouts) -> None:
    assert rewards(run) == [1, 11, 2, 12, 3, 13, 4, 14]
    assert rewards(run, "3") == [3, 13]
    assert (
        rewards(run, "2:3") == [2, 12, 3, 13] and rewards(run, ":2") == [1, 11, 2, 12] and rewards(run, "4:") == [4, 14]
    )
    assert rewards(run, "last") == [4, 14]
    assert rewards(run, "7") == []
    assert rewards(run, "2:", where=parse("truncated and reward < 14")) == [12, 13]
    assert rewards(run, limit=3) == [1, 11, 2]


def test_sorting_takes_rows_out_of_their_groups_and_puts_those_without_a_number_last(run: Rollouts) -> None:
    RowFile(run.file).append([row(5, reward=None), row(5, reward=float("nan")), row(5, reward=12.0, text="tied")])
    found = rewards(run, order=order_by("-reward"))
    assert found[:-2] == [14, 13, 12, 12, 11, 4, 3, 2, 1] and found[-2] is None
    assert rewards(run, order=order_by("reward"), limit=2) == [1, 2]
    assert [r["text"] for r in run.rows(None, Query(order=order_by("-reward"), limit=4))][2:] == ["5 to 9", "tied"]


def test_a_term_that_only_some_tasks_have_is_known_and_null_elsewhere(run: Rollouts) -> None:
    RowFile(run.file).append([row(5, terms={"iou": 0.75}), row(5, 1, terms={"choice": 1.0})])
    with pytest.raises(
        ConditionError, match=r"where='terms.iou > 0.5', character 1: there is no field 'terms.iou'; the"
    ):
        rewards(run, where=parse("terms.iou > 0.5"))  # the first row has no terms at all
    assert rewards(run, "5", where=parse("terms.choice == 1")) == [0]
    assert rewards(run, "5", where=parse("terms.choice == null")) == [0]
    assert rewards(run, "5", order=order_by("terms.choice")) == [0, 0]
    with pytest.raises(ConditionError, match=r"no field 'terms.uoi'; the fields are .*terms, terms.iou, terms.choice$"):
        rewards(run, "5", where=parse("text and terms.uoi > 0"))


@pytest.mark.parametrize(
    ("options", "complaint"),
    [
        ({"where": parse("rewrd > 1")}, "where='rewrd > 1', character 1: .*the fields are iteration, uid, row, reward"),
        ({"order": order_by("-rewrd")}, "sort='-rewrd': there is no field 'rewrd'; the fields are iteration"),
        ({"order": order_by("text")}, "sort='text': this is no number, but '5 to 9'"),
    ],
)
def test_an_unknown_field_is_an_error_at_once(run: Rollouts, options: dict[str, object], complaint: str) -> None:
    with pytest.raises(ConditionError, match=complaint):
        rewards(run, **options)


@pytest.mark.parametrize("text", ["", "x", "1:2:3", "-1", "1.5", ":", "3:2", "last:"])
def test_an_iteration_that_is_none_is_refused(run: Rollouts, text: str) -> None:
    with pytest.raises(ValueError, match="iteration"):
        rewards(run, text)


@pytest.mark.parametrize("make", [lambda: Query(limit=0), lambda: order_by("-"), lambda: order_by("a.b.c")])
def test_a_query_that_makes_no_sense_is_refused(make: Callable[[], object]) -> None:
    with pytest.raises(ValueError, match=r"limit must be >= 1|sort must be a field"):
        make()


def test_a_broken_line_is_named_and_the_unfinished_last_one_is_left_out(run: Rollouts) -> None:
    with run.file.open("a") as file:
        file.write('{"iteration": 5, "rew')
    assert rewards(run)[-1] == 14 and rewards(run, "last") == [4, 14] and rewards(run, "5") == []
    with run.file.open("a") as file:
        file.write("\n" + json.dumps(row(6)) + "\n")
    assert rewards(run, "6") == rewards(run, "last") == [0], "lines of other iterations are skipped unread"
    with pytest.raises(RowError, match=r"rollouts.jsonl, line 9: not JSON"):
        rewards(run)
    run.file.write_text('{"iteration": 1, "reward": 0}\n\n[1, 2]\n')
    with pytest.raises(RowError, match=r"line 3: a row is a JSON object, got '\[1, 2\]"):
        rewards(run)
    run.file.write_bytes(b'{"uid": 1}\n')
    with pytest.raises(RowError, match="line 1: a rollout has the iteration that it is of, got None"):
        rewards(run, "last")


def test_a_line_number_is_the_files_own_also_behind_a_jump(run: Rollouts) -> None:
    with run.file.open("a") as file:
        file.write('{"iteration": 4, "reward"\n')
    with pytest.raises(RowError, match="line 9: not JSON"):
        rewards(run, "last")


def test_no_run_no_rollouts_and_an_empty_file_are_told_apart(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    begun = tmp_path / "runs" / "begun"
    begun.mkdir(parents=True)
    with pytest.raises(RunError, match="it has neither"):
        Rollouts(begun)
    (begun / "config.yaml").write_text("{}")
    with pytest.raises(RunError, match=r"there is no run beg_n; there are runs/begun$"):
        Rollouts(find_run("beg_n"))
    run = Rollouts(find_run("begun"))
    with pytest.raises(RunError, match="it has written none yet"):
        rewards(run)
    (begun / "summary.json").write_text("{}")
    with pytest.raises(RunError, match="finished and wrote none"):
        rewards(run)
    run.file.touch()
    assert rewards(run) == rewards(run, "last") == [] and run.fields() == []
    assert run.extent().endswith("rollouts.jsonl has no rows")


def test_a_file_is_streamed_and_sorting_holds_the_wanted_rows_only(tmp_path: Path) -> None:
    text = "x" * 10_000
    with (tmp_path / "rollouts.jsonl").open("w") as file:
        for number in range(1500):
            file.write(json.dumps(row(number // 10, number, reward=float(number), text=text)) + "\n")
    run = Rollouts(tmp_path)
    assert run.file.stat().st_size > 15e6
    queries = [
        (None, Query()), ("last", Query()), ("5", Query()), (None, Query(order=order_by("-reward"), limit=5)),
        (None, Query(parse("reward >= 1495"), order_by("-reward"))),
    ]  # fmt: skip
    for iteration, query in queries:
        tracemalloc.start()
        count = sum(1 for _ in run.rows(iteration, query))
        peak = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        assert count in (1500, 10, 5)
        assert peak < 2e6, f"{iteration} {query}: {peak} bytes"


# As it is written


class Live:
    """What is shown of a run while `steps` happen, one at each wait. The last of them must finish the run."""

    def __init__(self, run: Rollouts, *steps: Callable[[], object]) -> None:
        self.run, self.steps, self.kept = run, list(steps), list[int]()

    def finish(self) -> None:
        (self.run.run / "summary.json").write_text("{}")

    def rows(self, iteration: str | None = None, query: Query | None = None) -> Iterator[Row]:
        self.steps = self.steps or [self.finish]
        return self.run.live(iteration, query or Query(), lambda: self.steps.pop(0)(), self.kept.append)  # type: ignore[func-returns-value]


def write(run: Rollouts, text: str) -> Callable[[], object]:
    def step() -> None:
        with run.file.open("a") as file:
            file.write(text)

    return step


def line(iteration: int, number: int = 0, **fields: object) -> str:
    return json.dumps(row(iteration, number, **fields)) + "\n"


def test_following_begins_with_the_last_iteration_and_ends_with_the_run(run: Rollouts) -> None:
    live = Live(run)
    half = line(6)
    live.steps = [
        write(run, line(5)), lambda: None, write(run, half[:20]), write(run, half[20:] + line(7)),
        lambda: (write(run, line(8))(), live.finish()),
    ]  # fmt: skip
    assert [r["iteration"] for r in live.rows()] == [4, 4, 5, 6, 7, 8], "the last rows are read after the end"
    assert live.kept == []
    assert [r["iteration"] for r in Live(run).rows("7:")] == [7, 8], "a finished run is read and that is all"


def test_following_waits_for_a_file_that_is_not_there_yet(tmp_path: Path) -> None:
    (tmp_path / "config.yaml").write_text("{}")
    run = Rollouts(tmp_path)
    live = Live(run)
    live.steps = [lambda: None, write(run, line(1) + line(2)), live.finish]
    assert [r["iteration"] for r in live.rows()] == [1, 2]


def test_a_run_that_resumes_cuts_the_file_back_and_nothing_is_lost_or_shown_in_halves(run: Rollouts) -> None:
    live = Live(run)
    new = "".join(line(i, j, reward=100.0 + i) for i in (3, 4) for j in range(2))
    live.steps = [
        write(run, '{"iteration": 5, "uid": "u5", "te'),  # killed while it wrote
        lambda: (RowFile(run.file).cut_back(2, None), write(run, new)()),
        live.finish,
    ]
    found = [(r["iteration"], r["reward"]) for r in live.rows("1:")]
    before = [(i, 10.0 * j + i) for i in range(1, 5) for j in range(2)]
    assert found == [*before, (3, 103), (3, 103), (4, 104), (4, 104)]
    assert live.kept == [4], "the run went back to its fourth line"


def test_rows_that_a_resumed_run_writes_again_alike_are_not_shown_again(run: Rollouts) -> None:
    content = run.file.read_text()
    live = Live(run)
    live.steps = [lambda: (RowFile(run.file).cut_back(2, None), run.file.write_text(content + line(5))), live.finish]
    assert [r["iteration"] for r in live.rows("1:")] == [1, 1, 2, 2, 3, 3, 4, 4, 5]
    assert live.kept == []


def test_a_file_that_is_cut_in_its_place_within_a_line_is_read_on_from_that_line(run: Rollouts) -> None:
    lines = run.file.read_bytes().splitlines(keepends=True)
    live = Live(run)

    def cut() -> None:
        with run.file.open("r+b") as file:
            file.truncate(len(b"".join(lines[:6])) + 5)

    live.steps = [cut, write(run, lines[6].decode()[5:]), live.finish]
    assert [r["reward"] for r in live.rows("1:")] == [1, 11, 2, 12, 3, 13, 4, 14, 4]
    assert live.kept == [6]


def test_a_run_that_is_overwritten_is_followed_from_its_new_beginning(run: Rollouts) -> None:
    live = Live(run)
    live.steps = [run.file.unlink, lambda: None, write(run, line(1, reward=9.0)), live.finish]
    assert [(r["iteration"], r["reward"]) for r in live.rows()] == [(4, 4), (4, 14), (1, 9)]
    assert live.kept == [0]


def test_a_broken_line_of_a_live_run_is_named(run: Rollouts) -> None:
    live = Live(run, write(run, line(5)), write(run, "{broken\n"))
    with pytest.raises(RowError, match="line 10: not JSON"):
        list(live.rows())


def test_following_takes_a_limit_and_a_condition_but_no_order(run: Rollouts) -> None:
    live = Live(run, write(run, line(5) + line(6)))
    assert [r["iteration"] for r in live.rows(None, Query(parse("iteration != 4"), limit=2))] == [5, 6]
    with pytest.raises(ValueError, match="leave sort= out"):
        live.rows(None, Query(order=order_by("reward")))


def test_a_training_run_is_followed_through_its_resumption(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    options = ["name=a", "callbacks.checkpoint.every=2", "callbacks.checkpoint.keep=all", "callbacks.validation=null"]
    built = fit(*options, "iterations=4")
    middle = next(path for path in (built.folder / "checkpoints").glob("*.ckpt") if "2" in path.stem)
    live = Live(Rollouts(built.folder), lambda: fit(*options, "iterations=6", resume=middle))
    live.steps.append(live.finish)
    assert list(live.rows("1:")) == rows(built.folder / "rollouts.jsonl"), "each once: a resumed run repeats itself"


# On the terminal


def shown(*rows: Row, terminal: bool = False, **options: object) -> str:
    output = io.StringIO()
    console = Console(file=output, force_terminal=terminal, width=60, color_system=None)
    view = RolloutView(console, **options)  # type: ignore[arg-type]
    for one in rows:
        view.show(one)
    return output.getvalue()


WHOLE = row(
    12, 3, uid="u1", task="grounding", source="mine", question="the [red] kettle", origin="ground_truth", reward=1.25,
    text="<think>[bold]\x1b[2J\ud800</think>\n<answer>0.2 to 9.8</answer>", terms={"iou": 0.25, "format": 1.0},
    advantage=-0.5, weight=0.0, reason="no_span", truncated=True, spans=[[0.2, 9.8], [1234.56, 2000]], length=11,
    target=[[3.0, 7.5]], choice="B", duration=16.0, actions=None, margin=7,
)  # fmt: skip


@pytest.mark.parametrize("terminal", [False, True])
def test_everything_that_a_row_says_is_shown_and_nothing_in_it_commands_the_terminal(terminal: bool) -> None:
    text = " ".join(shown(WHOLE, terminal=terminal).split())
    for part in [
        "iteration 12 u1 grounding mine", "the [red] kettle", "target 3 to 7.5 s choice B of 16 s", "#3 ground_truth",
        "reward 1.250 (iou 0.250, format 1.000)", "advantage -0.500", "weight 0", "length 11", "truncated",
        "span 0.2 to 9.8, 1234.56 to 2000 s", "reason: no_span", "margin 7", r"<think>[bold]\x1b[2J\ud800</think>",
        "<answer>0.2 to 9.8</answer>",
    ]:  # fmt: skip
        assert part in text, part


def test_rollouts_of_one_group_share_a_heading_and_a_row_of_any_kind_can_be_shown() -> None:
    group = [row(1, number) for number in range(3)]
    assert shown(*group).count("iteration 1") == 1 and shown(*group, row(2)).count("iteration") == 2
    assert "actions [3, 1]" in shown(row(1, text="", actions=[3, 1]))
    odd = {"iteration": "x", "terms": 3, "spans": "?", "target": [[1]], "duration": "long", "text": ["a"], "reward": {}}
    assert "iteration x" in shown(odd) and "of long s" in shown(odd)
    assert "iteration null" in shown({})


def test_what_is_empty_is_left_out_and_chosen_frames_are_shown() -> None:
    found = shown(row(0, highlights=[], notes={}, later=None, frames=[3, 1, 12], text="A", kept=0))
    assert "highlights" not in found and "notes" not in found and "later" not in found
    assert "frames 3, 1, 12\n      A\n" in found and "kept 0" in found
    timed = shown(row(0, frames=[3, 8], frame_seconds=[1.5, 4.0], option_probs=[0.125, 0.875], text="B"))
    assert "frames 3, 8 at 1.5, 4 s\n      B\n" in timed and "  options 0.12, 0.88\n" in timed
    assert "frames 3" in shown(row(0, frames=[3], text="", actions=[3])) and "highlights [[1, 2]]" in shown(
        row(0, highlights=[[1, 2]])
    )


def test_a_prompt_may_be_left_out_and_a_text_cut() -> None:
    text = shown(WHOLE, show_prompt=False, max_text=10)
    assert "kettle" not in text and "u1" in text
    assert "<think>[bo... (" in text and "answer" not in text
    with pytest.raises(ValueError, match="max_text must be >= 1"):
        shown(max_text=0)


def test_without_a_terminal_a_long_line_is_one_line() -> None:
    assert "y" * 500 in shown(row(1, text="y" * 500))
    assert "y" * 61 not in shown(row(1, text="y" * 500), terminal=True)

"""The mini world: what the annotations say is what the decoded files show, and what nothing but seeing can answer."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import av
import numpy as np
import pytest

from kairos.core.spans import Span, iou
from kairos.data.mini.questions import ORDER
from kairos.data.mini.scene import COLOURS, FPS, HELD_OUT, SHAPES
from kairos.data.mini.world import SPLITS, MiniCaptions, MiniWorld
from kairos.data.templates.caption import Caption


def decoded(path: Path) -> np.ndarray:
    with av.open(str(path)) as container:
        return np.stack([frame.to_ndarray(format="rgb24") for frame in container.decode(video=0)])


def shown(video: np.ndarray, colour: str) -> np.ndarray:
    """[T] bool: at least 20 pixels are nearest to this colour among all of them, and near."""
    palette = np.array(list(COLOURS.values()), dtype=np.float32)
    distance = np.linalg.norm(video[..., None, :].astype(np.float32) - palette, axis=-1)
    mine = list(COLOURS).index(colour)
    return ((distance.argmin(-1) == mine) & (distance[..., mine] < 60)).sum((1, 2)) >= 20


@pytest.mark.parametrize("split", ["val", "ood", "ood_short"])
def test_a_thing_is_seen_in_the_decoded_frames_exactly_while_its_span_says_so(tmp_path: Path, split: str) -> None:
    world = MiniWorld(str(tmp_path), split, clips=4)
    world.records()
    for index in range(4):
        scene, video = world.scene(index), decoded(world.path(index))
        assert len(video) == scene.kind.seconds * FPS
        seconds = np.arange(len(video)) / FPS
        for thing in scene.things:
            visible = (seconds >= thing.span.start) & (seconds < thing.span.end)
            assert (shown(video, thing.colour) == visible).mean() > 0.99, (index, thing)


def test_the_same_seed_gives_the_same_bytes_and_another_one_other_clips(tmp_path: Path) -> None:
    first, second = (MiniWorld(str(tmp_path / name), "train", clips=3) for name in "ab")
    assert [r.target for r in first.records()] == [r.target for r in second.records()]
    assert first.path(1).read_bytes() == second.path(1).read_bytes()
    assert MiniWorld(str(tmp_path), "train", clips=3, seed=1).scene(1) != first.scene(1)
    assert (
        MiniWorld(str(tmp_path), "train", clips=3, seed=1).path(1).parent
        != MiniWorld(str(tmp_path), "train", clips=3).path(1).parent
    )


def test_a_file_that_is_there_is_not_rendered_again(tmp_path: Path) -> None:
    world = MiniWorld(str(tmp_path), "train", clips=2)
    world.records()
    world.path(0).write_bytes(b"kept")
    world.path(1).unlink()
    world.records()
    assert world.path(0).read_bytes() == b"kept"
    assert len(decoded(world.path(1))) == 64
    assert not list(tmp_path.rglob("*.partial"))


def test_a_pool_of_processes_renders_what_one_process_does(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    alone = MiniWorld(str(tmp_path / "a"), "train", clips=4, workers=1)
    pooled = MiniWorld(str(tmp_path / "b"), "train", clips=4, workers=2)
    alone.records()
    monkeypatch.setattr("kairos.data.mini.world._POOL_FROM", 1)
    pooled.records()
    assert [alone.path(i).read_bytes() for i in range(4)] == [pooled.path(i).read_bytes() for i in range(4)]


def test_no_two_splits_share_a_scene() -> None:
    scenes = [MiniWorld("x", split, clips=50).scene(index).things for split in SPLITS for index in range(50)]
    assert len(set(scenes)) == len(scenes)


def test_the_best_constant_span_stays_below_a_quarter_on_val() -> None:
    world = MiniWorld("x", "val", clips=300, tasks=("grounding",))
    spans = [thing.span for index in range(300) for thing in world.scene(index).things]
    grid = np.arange(0, 16.5, 1.0)
    best = max(np.mean([iou(Span(a, b), span) for span in spans]) for a in grid for b in grid[grid > a])
    assert 0.1 < best < 0.25


def test_spans_are_short_lie_on_the_grid_and_things_have_distinct_colours_and_starts() -> None:
    for split in SPLITS:
        world = MiniWorld("x", split, clips=40)
        for scene in map(world.scene, range(40)):
            starts = sorted(thing.span.start for thing in scene.things)
            assert len({thing.colour for thing in scene.things}) == len(scene.things)
            assert min(np.diff(starts)) >= 1.0
            for thing in scene.things:
                assert 1.5 <= thing.span.length <= 4.0 and 0 <= thing.span.start < thing.span.end <= scene.kind.seconds
                assert (2 * thing.span.start).is_integer() and (2 * thing.span.end).is_integer()


def test_held_out_pairs_are_seen_out_of_distribution_only() -> None:
    for split in SPLITS:
        world = MiniWorld("x", split, clips=40)
        held = [any(HELD_OUT[t.colour] == t.shape for t in world.scene(i).things) for i in range(40)]
        assert all(held) if split.startswith("ood") else not any(held)


def test_every_question_has_the_answer_that_the_scene_shows(tmp_path: Path) -> None:
    world = MiniWorld(str(tmp_path), "val", clips=40)
    kinds = Counter()
    for record in world.records():
        scene = world.scene(int(record.uid.split("/")[2]))
        kinds[record.task] += 1
        asked, target = record.question, record.target
        if record.task == "grounding":
            assert target.spans == tuple(t.span for t in scene.things if f"the {t.name}" == asked)
            continue
        right = record.options["ABCD".index(target.choice or "")]
        assert len(set(record.options)) == len(record.options)
        if asked.startswith(ORDER["first"][:-1]):
            (thing,) = [t for t in scene.things if t.name == right]
            assert thing == min(scene.things, key=lambda t: t.span.start)
        elif asked.startswith(ORDER["last"][:-1]):
            (thing,) = [t for t in scene.things if t.name == right]
            assert thing == max(scene.things, key=lambda t: t.span.start)
        elif asked.startswith("Which shape is "):
            (thing,) = [t for t in scene.things if t.colour == asked.split()[3].rstrip("?")]
            assert right == thing.shape
        else:
            shape = next(word for word in SHAPES if word in asked)
            (thing,) = [t for t in scene.things if t.shape == shape]
            assert right == thing.colour
        said = target.evidence if record.task == "needle" else target.spans
        assert said == (() if record.task == "choice" else (thing.span,))
        assert target.demonstration == f"{thing.name} ({target.choice}) {thing.span.start:.1f} to {thing.span.end:.1f}"
    assert set(kinds) == {"grounding", "choice", "grounded_qa", "needle"} and min(kinds.values()) >= 20


def test_the_right_letter_is_every_letter_equally_often() -> None:
    world = MiniWorld("x", "train", clips=1200)
    letters: dict[int, Counter[str | None]] = {3: Counter(), 4: Counter()}
    for index in range(1200):
        for record in world._ask(index, world.scene(index)):
            if record.options:
                letters[len(record.options)][record.target.choice] += 1
    for options, counts in letters.items():
        total = sum(counts.values())
        assert len(counts) == options
        for count in counts.values():
            assert abs(count / total - 1 / options) < 4 * (0.25 / total) ** 0.5


def test_loosening_widens_every_time_by_up_to_that_much_and_repeats_itself(tmp_path: Path) -> None:
    exact = MiniWorld(str(tmp_path), "train", clips=12).records()
    loose = MiniWorld(str(tmp_path), "train", clips=12, loosen=3.0).records()
    assert loose == MiniWorld(str(tmp_path), "train", clips=12, loosen=3.0).records()
    widened = 0.0
    for a, b in zip(exact, loose, strict=True):
        assert (a.uid, a.question, a.options, a.target.choice) == (b.uid, b.question, b.options, b.target.choice)
        for before, after in zip(
            (*a.target.spans, *a.target.evidence), (*b.target.spans, *b.target.evidence), strict=True
        ):
            assert 0 <= after.start <= before.start and before.end <= after.end <= b.duration
            assert before.start - after.start <= 3.05 and after.end - before.end <= 3.05
            assert f"{after.start:.1f} to {after.end:.1f}" in b.target.demonstration
            widened += after.length - before.length
    assert widened > 12


def test_uids_are_unique_and_do_not_change_with_the_number_of_clips_or_questions(tmp_path: Path) -> None:
    small = MiniWorld(str(tmp_path), "train", clips=4, tasks=("grounding",), questions_per_clip=1).records()
    large = MiniWorld(str(tmp_path), "train", clips=8, tasks=("grounding",), questions_per_clip=3).records()
    assert len({record.uid for record in large}) == len(large) == 24
    by_uid = {record.uid: record for record in large}
    assert all(by_uid[record.uid] == record for record in small)


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"split": "dev"}, "mini split must be one of pretrain, train, val, test, ood, ood_short, got 'dev'"),
        ({"clips": 0}, "mini clips must be >= 1, got 0"),
        ({"tasks": ("counting",)}, "got \\['counting'\\]"),
        ({"questions_per_clip": 4, "tasks": ("grounding",)}, "questions_per_clip must lie in 1..3 here, got 4"),
        ({"split": "val", "loosen": 1.0}, "loosen must be >= 0, and 0 for the split 'val', got 1.0"),
    ],
)
def test_a_world_that_cannot_be_is_refused(wrong: dict[str, object], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        MiniWorld(**{"folder": "x", "split": "train", "clips": 2, **wrong})  # type: ignore[arg-type]


def test_a_caption_tells_every_thing_and_its_time_in_order_and_its_letter_where_options_are_listed(
    tmp_path: Path,
) -> None:
    world = MiniWorld(str(tmp_path), "pretrain", clips=4)
    records = MiniCaptions(world).records()
    assert [r.task for r in records] == ["caption", "lettered", "caption", "letters"] * 2
    for index in range(4):
        things = world.scene(index).by_start
        plain, lettered = (r for r in records if f"/{index:06d}/" in r.uid)
        times = [f"{t.span.start:.1f} to {t.span.end:.1f}" for t in things]
        assert Caption().answer(plain.target).split("\n") == [
            f"{t.name} {s}" for t, s in zip(things, times, strict=True)
        ]
        letters = [f"({'ABCDE'[lettered.options.index(t.name)]})" for t in things]
        lines = Caption().answer(lettered.target).split("\n")
        assert sorted(lettered.options) == sorted(t.name for t in things)
        for line, thing, letter, time in zip(lines, things, letters, times, strict=True):
            assert line == (f"{letter} {thing.name} {time}" if index % 2 else f"{thing.name} {letter} {time}")


def test_the_times_of_a_caption_are_widened_as_those_of_a_question_are(tmp_path: Path) -> None:
    exact, loose = (
        MiniCaptions(MiniWorld(str(tmp_path), "pretrain", clips=1, loosen=loosen)).records()[0] for loosen in (0.0, 3.0)
    )
    spans = [
        [Span(float(line.split()[-3]), float(line.split()[-1])) for line in Caption().answer(r.target).split("\n")]
        for r in (exact, loose)
    ]
    for tight, wide in zip(*spans, strict=True):
        assert wide.start <= tight.start and wide.end >= tight.end
        assert wide != tight and wide.length <= tight.length + 6.0

"""The rollout browser as a reader has it: in Chromium, with a mouse and without, by day and by night."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator, Mapping
from pathlib import Path
from threading import Thread

import pytest
from helpers.chromium import Page, browsing
from helpers.rollout_rows import many_rows, row, run_of

from kairos.report.comparison.page import write_comparison
from kairos.report.loopback import address
from kairos.report.run_page.live import live_server
from kairos.report.run_page.page import write_report

TALL = 5000
"""Pixels of a screen that holds a small page whole, so that all of its cards are drawn."""
HOSTILE = (
    '<think>It begins at 1.</think><answer>1.0 to 2.5</answer><script>document.title = "run"</script><img src=//host/x>'
)


def rows_of(iterations: int) -> list[dict[str, object]]:
    found = [row(at, uid, number) for at in range(1, iterations + 1) for uid in ("a", "b") for number in range(4)]
    found[0] |= {"text": HOSTILE, "spans": [[1.0, 2.5]]}
    found[5] |= {"text": "I do not know", "spans": [], "reason": "no_answer_block", "reward": 0.0}
    same = [row(iterations, "c", number, reward=1.0, spans=[[1.0, 2.5]], advantage=0.0) for number in range(3)]
    frames = [
        row(iterations, "d", number, frames=[2, 8], frame_seconds=[1.0, 4.0], spans=[], text="B") for number in range(2)
    ]
    return [*found, *same, *frames]


@pytest.fixture(scope="module")
def page(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Page]:
    with browsing(tmp_path_factory.mktemp("profile")) as opened:
        yield opened


@pytest.fixture(scope="module")
def address_of(tmp_path_factory: pytest.TempPathFactory) -> Mapping[str, str]:
    folder = tmp_path_factory.mktemp("runs")
    one, two = run_of(folder / "one", rows_of(2)), run_of(folder / "two", rows_of(3)[8:])
    for each in (one, two):
        log = "".join(json.dumps({"iteration": i, "reward/total": i / 4}) + "\n" for i in (1, 2, 3))
        (each / "metrics.jsonl").write_text(log)
    pages = {
        "one": write_report(one),
        "both": write_comparison([one, two], folder / "both"),
        "many": write_report(run_of(folder / "many", many_rows())),
    }
    assert pages["many"].stat().st_size < 30e6
    return {name: path.as_uri() for name, path in pages.items()}


def cards(page: Page) -> list[str]:
    return page.run("[...document.querySelectorAll('article h3')].map(each => each.textContent)")


def count(page: Page) -> str:
    return page.run("document.getElementById('count').textContent")


def set_to(page: Page, name: str, value: str) -> None:
    page.run(f"document.getElementById('{name}').value = {json.dumps(value)}")
    page.run(f"document.getElementById('{name}').dispatchEvent(new Event('change'))")


def test_a_page_shows_every_group_says_nothing_on_its_console_and_asks_no_host(
    page: Page, address_of: Mapping[str, str]
):
    page.open(address_of["one"], height=TALL)
    page.wait("document.querySelectorAll('article.drawn').length === 6")
    assert cards(page) == [f"when does {uid} <b>fall</b>?" for uid in ("a", "b", "a", "b", "c", "d")]
    assert count(page) == "21 rollouts in 6 groups"
    assert page.run("[...document.querySelectorAll('.badge')].map(each => each.textContent)")[-2:] == [
        "all right",
        "rewards differ",
    ]
    assert page.run("document.querySelectorAll('img.frames').length") == 2, "of prompt a, in two iterations"
    assert page.run("document.images.length > 2 && [...document.images].every(each => each.naturalWidth > 0)")
    bars = "[...document.querySelector('article').querySelectorAll('.span')]"
    assert page.run(f"{bars}.map(each => [each.className, each.style.left])")[:3] == [
        ["span true", "10%"],
        ["span own", "10%"],
        ["span own", "10%"],
    ]
    assert page.run("document.querySelectorAll('.tick').length") == 4
    page.run("document.querySelector('details.rollout').open = true")
    page.wait("document.querySelector('details.rollout pre') !== null")
    assert page.run("document.querySelector('details.rollout pre').textContent") == HOSTILE, "text is shown, never run"
    assert page.run("document.querySelector('details.rollout mark').textContent") == "1.0 to 2.5"
    assert (
        page.run("document.title") == "one"
        and page.run("document.querySelectorAll('.card script, .card b').length") == 0
    )
    assert page.errors == [] and page.requests == [address_of["one"]]


def test_rollouts_are_asked_for_by_condition_sorted_and_reached_from_the_histogram(
    page: Page, address_of: Mapping[str, str]
):
    page.open(address_of["one"], height=TALL)
    set_to(page, "where", "reason != null")
    assert count(page) == "1 of 21 rollouts, in 1 group"
    set_to(page, "where", "reward >= nothing")
    assert "there is no field nothing; the fields are iteration, uid" in page.run(
        "document.getElementById('wrong').textContent"
    )
    set_to(page, "where", "")
    set_to(page, "view", "rollouts")
    set_to(page, "sort", "-advantage")
    page.wait("document.querySelector('article [title=advantage]') !== null")
    assert page.run("document.querySelector('article [title=advantage]').textContent") == "0.00", "the highest first"
    page.run("[...document.querySelectorAll('#histogram button')].at(-1).click()")
    assert page.run("document.getElementById('where').value").startswith("reward >= 0.95 and reward <= 1")
    assert count(page) == "3 of 21 rollouts, in 1 group"
    set_to(page, "where", "")
    set_to(page, "signal", "all right")
    assert count(page) == "3 of 21 rollouts, in 1 group"
    page.run("delete document.documentElement.dataset.ready; location.reload()")
    page.wait("document.documentElement?.dataset.ready === 'true' && document.querySelectorAll('article').length === 3")
    assert page.run("document.getElementById('sort').value") == "-advantage", "the address keeps what was asked"
    assert page.errors == []


def test_everything_is_reached_by_keyboard_and_the_night_is_dark(page: Page, address_of: Mapping[str, str]):
    page.open(address_of["one"], height=TALL, dark=True)
    page.press("/", "terms.iou > 0.3", "Enter")
    page.wait("document.getElementById('count').textContent === '4 of 21 rollouts, in 4 groups'")
    page.press("Escape", "j", "j")
    assert page.run("[...document.querySelectorAll('article')].indexOf(document.activeElement)") == 1
    page.press("Tab", "Enter")
    page.wait("document.querySelectorAll('details.rollout[open] pre').length === 1")
    page.press("o")
    page.wait("document.querySelectorAll('details.rollout[open]').length === 0")
    page.press("?")
    page.wait("document.getElementById('keys').open")
    page.press("Escape")
    page.wait("!document.getElementById('keys').open")
    assert page.run("getComputedStyle(document.body).backgroundColor") == "rgb(20, 24, 29)"
    assert page.errors == []


def test_two_runs_stand_side_by_side_and_on_a_phone_nothing_is_wider_than_the_screen(
    page: Page, address_of: Mapping[str, str]
):
    page.open(address_of["both"] + "#view=pairs", width=400, height=TALL)
    page.wait("document.querySelectorAll('article.pair.drawn').length > 0")
    assert count(page).endswith("4 prompts that both runs saw"), "a and b of iteration 2, c and d of the last of each"
    sides = page.run(
        "[...document.querySelectorAll('article.pair')[0].querySelectorAll('header p')].map(each => each.textContent)"
    )
    assert sides[0].startswith("one · iteration 2 · a") and sides[2].startswith("two · iteration 2 · a")
    assert page.run("document.documentElement.scrollWidth") == 400
    assert page.errors == []


def test_a_page_of_ten_thousand_rollouts_is_used_within_three_seconds(page: Page, address_of: Mapping[str, str]):
    seconds = []
    for _ in range(3):
        seconds.append(page.open(address_of["many"]))
        page.wait("document.querySelectorAll('article.drawn').length > 0")
    assert count(page) == "10,000 rollouts in 1,250 groups"
    assert page.run("document.querySelectorAll('article.drawn').length") < 100, "cards are drawn when they come near"
    begun = time.perf_counter()
    set_to(page, "where", "reward > 0.3 and not truncated")
    assert time.perf_counter() - begun < 3 and count(page).startswith("6,250 of 10,000")
    page.run("document.querySelector('article:last-child').scrollIntoView()")
    page.wait("document.querySelector('article:last-child').classList.contains('drawn')")
    assert min(seconds) < 3.0
    assert page.errors == []


def test_a_live_page_follows_its_run(page: Page, tmp_path: Path):
    folder = run_of(tmp_path / "live", rows_of(1))
    served = live_server(folder)
    Thread(target=served.serve_forever, daemon=True).start()
    try:
        page.open(address(served))
        before = count(page)
        with (folder / "rollouts.jsonl").open("a") as file:
            file.writelines(json.dumps(row(2, "e", number)) + "\n" for number in range(4))
        page.wait(f"document.getElementById('count')?.textContent.startsWith('{int(before.split()[0]) + 4} rollouts')")
        assert page.errors == [] and all(each.startswith(address(served)) for each in page.requests)
    finally:
        served.shutdown()
        served.server_close()

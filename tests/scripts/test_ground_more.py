"""Several questions at once, options, chosen frames, weights in transformers' layout, the library call and the page."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from pathlib import Path
from threading import Thread

import pytest
import torch
from helpers.chromium import browsing
from helpers.scripting import Script
from PIL import Image
from transformers import Qwen2_5_VLConfig, Qwen2_5_VLForConditionalGeneration

from kairos import ground
from kairos.asking import Asker, Question, composed, videos_in
from kairos.asking_page import ask_server
from kairos.data.mini.world import MiniWorld
from kairos.policy.models.mini_tokenizer import build_tokenizer
from kairos.report.loopback import address


@pytest.fixture(scope="module")
def clips(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("clips")
    world = MiniWorld(str(folder / "world"), "val", clips=2, tasks=["grounding"], workers=1)
    for number, path in enumerate(sorted({record.video.path for record in world.records()})):
        shutil.copy(path, folder / f"{'ab'[number]}.mp4")
    shutil.rmtree(folder / "world")
    (folder / "c.mp4").write_text("no video")
    return folder


def test_a_folder_is_asked_several_questions_and_a_broken_clip_is_named(
    script: Script, clips: Path, capfd: pytest.CaptureFixture[str]
):
    asked = ["query=the red circle", "queries=[the blue square]", "output=answers"]
    assert script("ground", f"video={clips}", *asked) == 0
    said = capfd.readouterr().out.splitlines()
    assert said[0].startswith(f"{clips}/a.mp4: the red circle: ") and said[1].startswith(
        f"{clips}/a.mp4: the blue square: "
    )
    assert (
        said[4].startswith(f"{clips}/c.mp4: the red circle: failed: ")
        and said[-1] == "4 answers, 2 failed; written: answers/"
    )
    rows = [json.loads(line) for line in Path("answers/answers.jsonl").read_text().splitlines()]
    assert len(rows) == 6 and all(Path("answers", row["picture"]).is_file() for row in rows[:4]) and "failed" in rows[5]
    picture = Image.open(Path("answers", rows[0]["picture"])).convert("RGB")
    start, end = rows[0]["spans"][0]
    assert 0 <= start < end <= 16 and bars(picture), "the answer is drawn"


def bars(picture: Image.Image) -> list[tuple[int, int]]:
    """Where a row of the picture is blue, as answers are: first and last column of the longest such row."""
    found = []
    for y in range(picture.height):
        columns = [x for x in range(picture.width) if picture.getpixel((x, y)) == (31, 111, 178)]
        found += [(columns[0], columns[-1])] if len(columns) > 10 else []
    return found


def test_the_library_call_reads_options_and_imports_nothing_heavy_before(clips: Path):
    (found,) = ground(clips / "a.mp4", "Which shape is shown?", options=["circle", "square"])
    assert found.text and found.question.options == ("circle", "square") and found.duration == 16.0
    assert found.choice is None or found.choice in "AB"
    code = "import sys, kairos; assert not {'torch', 'hydra', 'lightning', 'numpy'} & set(sys.modules)"
    subprocess.run([sys.executable, "-c", code], check=True)


def test_an_agent_chooses_the_frames_that_are_asked_about(
    script: Script, frame_agent: Path, clips: Path, capfd: pytest.CaptureFixture[str]
):
    chosen = [
        "sampler=agent",
        f"agent={frame_agent}",
        "shown_frames=4",
        "enrich=mini_clip",
        "enrich.clip.store.folder=features",
    ]
    assert script("ground", f"video={clips}/a.mp4", "query=the red circle", *chosen) == 0
    first = capfd.readouterr().out.splitlines()[0]
    assert "; of 4 frames, at " in first and len(first.partition("at ")[2].split(", ")) == 4


def test_weights_that_transformers_saved_answer(
    script: Script, clips: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str]
):
    tokenizer = build_tokenizer()
    torch.manual_seed(0)
    ids = {name: tokenizer.convert_tokens_to_ids(f"<|{token}|>") for name, token in (
        ("vision_start_token_id", "vision_start"), ("vision_end_token_id", "vision_end"),
        ("video_token_id", "video_pad"), ("image_token_id", "image_pad"))}  # fmt: skip
    text = {"vocab_size": len(tokenizer), "hidden_size": 64, "intermediate_size": 96, "num_hidden_layers": 2,
            "num_attention_heads": 4, "num_key_value_heads": 2,
            "rope_parameters": {"rope_type": "default", "rope_theta": 10000.0, "mrope_section": [4, 2, 2]}}  # fmt: skip
    vision = {"depth": 2, "hidden_size": 32, "intermediate_size": 48, "num_heads": 2, "out_hidden_size": 64,
              "tokens_per_second": 2, "window_size": 56, "fullatt_block_indexes": [1]}  # fmt: skip
    config = Qwen2_5_VLConfig(text_config=text, vision_config=vision, **ids)
    Qwen2_5_VLForConditionalGeneration(config).save_pretrained(tmp_path / "hf")
    tokenizer.save_pretrained(tmp_path / "hf")
    weights = f"policy.weights={tmp_path}/hf"
    assert script("ground", weights, f"video={clips}/a.mp4", "query=the red circle", "sampling.max_actions=8") == 0
    said = capfd.readouterr().out.splitlines()
    assert said[0].startswith("no span (") and said[-1] == "written: a.ground.png"


def test_the_page_answers_a_dropped_clip(real_data: Path, tmp_path: Path):
    clip = real_data / "videos" / "OHOFG.mp4"
    served = ask_server(Asker(composed(None, [])))
    Thread(target=served.serve_forever, daemon=True).start()
    try:
        with browsing(tmp_path / "profile") as page:
            page.open(address(served))
            page.say("Input.setInterceptDrags", enabled=True)
            data = {"items": [], "files": [str(clip)], "dragOperationsMask": 1}
            for kind in ("dragEnter", "dragOver", "drop"):
                page.say("Input.dispatchDragEvent", type=kind, x=300, y=160, data=data)
            page.wait("document.getElementById('name').textContent.startsWith('OHOFG.mp4')")
            page.press("a person opens <b>a door</b>", "Enter")
            page.wait("document.querySelectorAll('#answers article').length === 1", seconds=120)
            assert page.run("document.querySelector('#answers h3').textContent") == "a person opens <b>a door</b>"
            assert page.run("document.querySelector('#answers img').naturalWidth") > 1000
            assert " s" in page.run("document.querySelector('#answers .read').textContent")
            assert page.errors == [] and all(each.startswith(address(served)) for each in page.requests)
    finally:
        served.shutdown()
        served.server_close()


def test_a_folder_of_real_clips_is_answered_with_correct_pictures(real_data: Path, tmp_path: Path):
    videos = videos_in(real_data / "videos")
    assert len(videos) >= 5
    asker = Asker(composed(None, []))
    for video in videos[:2]:
        found = asker.ask(Question(str(video), "the red circle"))
        picture = Image.open(found.save(tmp_path / "answer.png")).convert("RGB")
        drawn = bars(picture)
        assert found.spans and drawn
        left, right = 0.62 / 9.2, 8.2 / 9.2  # where the axis lies in the picture's width, before it is cropped
        width = (right - left) * 9.2 * 150
        (span,) = found.spans
        expected = (min(span.end, found.duration) - max(span.start, 0)) / found.duration * width
        assert abs((drawn[0][1] - drawn[0][0]) - expected) < 6, "the bar is as long as the span that was read"

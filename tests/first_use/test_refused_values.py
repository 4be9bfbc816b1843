"""Values that an option cannot take, and files that are not there, are refused in one line with what is allowed."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest
import torch

from kairos.command_line import refuse_misspelt
from kairos.compose import assemble, compose
from kairos.core.types import Failure, Sampling, VideoClip, VideoSource
from kairos.credit.advantages import GroupNormalized, One, PerGroup
from kairos.credit.earned import refuse_equal_groups
from kairos.data.dataset import PromptDataset
from kairos.data.readers.jsonl import Jsonl
from kairos.policy.models.weights import check_reachable
from kairos.runs.folder import RunFolder

TOY = ["policy=toy", "data=toy"]


@pytest.mark.parametrize(
    ("command", "typed", "answer"),
    [
        ("train", "iterations=abc", "iterations must be a whole number of at least 1"),
        ("train", "iterations=-1", "iterations must be a whole number of at least 1"),
        ("train", "seed=x", "seed must be a whole number"),
        ("train", "prompts=0", "prompts must be a whole number of at least 1"),
        ("train", "overwrite=perhaps", "overwrite must be true or false"),
        ("train", "updates.epochs=0", "updates.epochs must be a whole number of at least 1"),
        ("train", "memory_check=maybe", "memory_check must be refuse or warn or off"),
        ("train", "reward=5", "reward takes the name of an option"),
        ("train", "policy.order=2", "add it: +policy.order=2"),
        ("rollouts", "limit=many", "limit must be a whole number of at least 1 or null"),
    ],
)
def test_an_option_of_a_command_says_what_it_takes(command: str, typed: str, answer: str):
    with pytest.raises(SystemExit) as ended:
        refuse_misspelt(command, [*(TOY if command == "train" else []), typed])
    assert str(ended.value).startswith(f"error: {typed}: ") and answer in str(ended.value)


@pytest.mark.parametrize(
    ("typed", "answer"),
    [
        ("optimizer.learning_rate=abc", r"^optimizer.learning_rate=abc: optimizer.learning_rate must be a number"),
        ("sampling.group_size=2.5", r"^sampling.group_size=2.5: sampling.group_size must be a whole number"),
        ("sampling.temperature=null", r"^sampling.temperature=null: sampling.temperature must be a number"),
        ("callbacks.validation.every=often", r"^callbacks.validation.every=often: .* must be a whole number"),
        ("callbacks.log.check=1", r"^callbacks.log.check=1: callbacks.log.check must be true or false"),
        ("+shape.kne=1", r"LogExp takes no kne; did you mean knee\?"),
        ("optimizer.learning_rate=-1", r"optimizer.learning_rate must be >= 0, got -1"),
        ("sampling.max_actions=0", r"sampling.max_actions must be >= 1, got 0"),
    ],
)
def test_an_option_of_a_part_says_what_it_takes(typed: str, answer: str):
    with pytest.raises(Exception, match=answer):
        assemble(compose([*TOY, "shape=log_exp", typed]))


def test_a_value_that_a_part_builds_is_let_through():
    """The tokenizer of policy=qwen2_5_vl_3b is a text that a function finds."""
    assemble(compose(["policy=qwen2_5_vl_3b", "data=toy"]))


def test_groups_in_which_nothing_differs_are_refused():
    compares = PerGroup(GroupNormalized())
    with pytest.raises(ValueError, match=r"sampling.group_size=1: .* say sampling.group_size=2"):
        refuse_equal_groups(compares, Sampling(group_size=1))
    with pytest.raises(ValueError, match=r"sampling.temperature=0: the 4 rollouts .* say sampling.temperature=1"):
        refuse_equal_groups(compares, Sampling(group_size=4, temperature=0.0))
    refuse_equal_groups(PerGroup(One()), Sampling(group_size=1, temperature=0.0))
    refuse_equal_groups(compares, Sampling(group_size=2))


def test_what_is_not_there_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "runs" / "mine").mkdir(parents=True)
    with pytest.raises(ValueError, match=r"there is no run runs/mien; did you mean runs/mine\?"):
        RunFolder(Path("runs/mien")).overrides()
    (tmp_path / "model").mkdir()
    (tmp_path / "model" / "config.json").write_text("{}")
    with pytest.raises(ValueError, match=r"^model is a Hugging Face folder and no run: say policy.weights=model"):
        RunFolder(Path("model")).overrides()
    with pytest.raises(ValueError, match=r"policy.weights=nobody/nothing: no folder .* does not answer"):
        check_reachable("nobody/nothing")
    with pytest.raises(ValueError, match=r"^no value for data.annotations"):
        assemble(compose(["policy=toy", "data=jsonl"]))
    with pytest.raises(ValueError, match=r"no annotation file .*rows.jsonl; correct the paths of `data`"):
        Jsonl("rows.jsonl").records()
    Path("rows.jsonl").write_text(json.dumps({"video": "a.mp4", "question": "rain", "spans": [[1, 2]]}) + "\n")
    with pytest.raises(ValueError, match=r"there is no folder of videos nowhere; correct data.videos"):
        Jsonl("rows.jsonl", "nowhere").records()


def test_every_reader_has_the_rules_for_missing_videos_and_invalid_rows():
    for file in sorted((Path(__file__).parents[2] / "conf" / "data").glob("*.yaml")):
        if "kairos.data.readers" in file.read_text():
            data = compose([f"data={file.stem}"]).data
            assert (data.missing, data.invalid) == ("skip", "error" if file.stem == "jsonl" else "skip"), file.stem
            for split in ("train", "val"):
                records = data[split].records
                assert (records.missing, records.invalid) == (data.missing, data.invalid)
    with pytest.raises(ValueError, match=r"data.invalid=maybe: data.invalid must be skip or error"):
        assemble(compose(["policy=toy", "data=jsonl", "data.annotations=x.jsonl", "data.invalid=maybe"]))


class FourSeconds:
    """Every video is a clip of four seconds."""

    def load(self, source: VideoSource) -> VideoClip:
        return VideoClip(source.path, torch.zeros(2, 3, 4, 4, dtype=torch.uint8), torch.tensor([0.0, 2.0]), 4.0)


def test_a_span_behind_the_clip_is_named(tmp_path: Path):
    rows = [{"video": "a.mp4", "question": "rain", "spans": [span], "uid": f"{span}"} for span in ([3, 9], [5, 7])]
    (tmp_path / "a.mp4").touch()
    (tmp_path / "rows.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    named = r"span 5 to 7 lies behind the clip, which ends after 4 s"
    skips = PromptDataset(Jsonl(str(tmp_path / "rows.jsonl"), str(tmp_path), invalid="skip"), FourSeconds())
    failed = skips[1]
    assert isinstance(failed, Failure) and failed.uid == "[5, 7]" and named in failed.reason
    assert not isinstance(skips[0], Failure), "one that only ends behind it is kept"
    stops = PromptDataset(Jsonl(str(tmp_path / "rows.jsonl"), str(tmp_path)), FourSeconds())
    with pytest.raises(ValueError, match=rf"^\[5, 7\]: {named}; .* data.invalid=skip"):
        stops.of(stops.records)[1]


def test_the_command_ends_in_one_line(repository: Path, tmp_path: Path):
    done = subprocess.run(
        [sys.executable, str(repository / "scripts" / "train.py"), *TOY, "iterations=1", "sampling.group_size=1"],
        cwd=tmp_path, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 1 and "Traceback" not in done.stderr
    assert "error: sampling.group_size=1: the advantage" in done.stderr

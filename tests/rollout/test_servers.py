"""rollout=vllm_server: prompts go out as tokens, weights as files; a server that is late, gone or stale is named."""

from __future__ import annotations

import base64
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from helpers.running import TINY as SIZES
from helpers.running import assert_same_run, rows
from helpers.serving import TinyServer
from helpers.tiny_language import policy, prompts

from kairos.compose import build
from kairos.core.types import RolloutGroup, Sampling
from kairos.policy.language import LanguagePolicy
from kairos.policy.network.layouts import layout_of
from kairos.rollout.vllm import agreement
from kairos.rollout.vllm.servers.client import ServerFailed
from kairos.rollout.vllm.servers.engine import VLLMServers
from kairos.rollout.vllm.servers.wire import FEATURES, POSITIONS
from kairos.rollout.vllm.weights import NotSynced
from kairos.train.callbacks.checkpoint import newest

SAMPLING = Sampling(max_actions=5)


@pytest.fixture
def pair(folder: str) -> Iterator[tuple[TinyServer, TinyServer]]:
    """Two servers with other weights than the trained policy has."""
    servers = [TinyServer(policy(folder)) for _ in range(2)]
    for server in servers:
        assert server.policy is not None
        with torch.no_grad():
            for parameter in server.policy.parameters():
                parameter.mul_(0.5)
    yield servers[0], servers[1]
    for server in servers:
        server.stop()


def engine_of(*servers: TinyServer, **options: object) -> VLLMServers:
    made = VLLMServers([server.url for server in servers], tolerance=None, **options)  # type: ignore[arg-type]
    made.setup(torch.device("cpu"))
    return made


def tokens(groups: list[RolloutGroup]) -> list[list[int]]:
    return [row.actions_A.tolist() for group in groups for row in group.rollouts]


@pytest.mark.parametrize("weights", ["files", "network"])
def test_every_server_gets_the_weights_and_prompts_go_to_them_in_turn(
    folder: str, pair: tuple[TinyServer, TinyServer], tmp_path: Path, weights: str
):
    built, asked = policy(folder).eval(), prompts()
    engine = engine_of(*pair, exchange=str(tmp_path), weights=weights)
    engine.tolerance = 1e-5
    for _ in range(2):
        engine.sync(built)
        assert engine.gap_of_probe < 1e-5 and not list(tmp_path.iterdir())
        assert len({server.version for server in pair}) == 1
        for server in pair:
            ours, theirs = built.towers.model.state_dict(), server.policy.towers.model.state_dict()
            same = {name for name in ours if torch.equal(ours[name], theirs[name])}
            assert {name for name in ours if ".visual." not in name} <= same
        with torch.no_grad():
            built.towers.text.layers[0].mlp.up_proj.weight.mul_(1.5)  # as an update does
    for server in pair:
        server.asked.clear()
    engine.tolerance = None
    groups = engine.generate(asked, 3, SAMPLING, seed=1)
    assert [len(server.asked) for server in pair] == [2, 1]
    assert [group.prompt.uid for group in groups] == ["a", "bb", "ccc"]
    assert [len(row) for row in tokens(groups)] == [3, 4, 5] * 3, "rows are in order, whatever the order of a reply"
    assert groups[0].rollouts[0].truncated and groups[0].rollouts[1].behavior_logprobs_A.tolist() == [-1.0] * 4
    assert tokens(engine.generate(asked[::-1], 3, SAMPLING, seed=1)) == [
        row for group in groups[::-1] for row in tokens([group])
    ], "a row is a function of seed, prompt and row"


def test_a_request_holds_the_layout_and_each_blocks_features_and_positions(
    folder: str, pair: tuple[TinyServer, TinyServer]
):
    built = policy(folder).eval()
    engine = engine_of(pair[0])
    engine.sync(built)
    (laid_out,), seen = built.look(prompts()[:1], 5)
    engine.generate([laid_out], 2, SAMPLING, seed=1)
    sent, layout = pair[0].asked[-1], layout_of(laid_out)
    assert sent["token_ids"] == layout.ids_L.tolist()
    features = sent["features"]
    places = [(place["offset"], place["length"]) for place in features["mm_placeholders"]["video"]]
    marked = torch.zeros(len(layout), dtype=torch.bool)
    for first, size in places:
        assert not marked[first : first + size].any()
        marked[first : first + size] = True
    assert len(places) == 4 and torch.equal(marked, layout.ids_L == built.towers.video_token)
    raw = [base64.b64decode(item) for item in features["kwargs_data"]["video"]]
    assert all(FEATURES.encode() in data and POSITIONS.encode() in data for data in raw)
    first_values = seen.tokens_ND[: places[0][1]].numpy().tobytes()[:64]
    assert first_values in raw[0] and first_values not in raw[1]
    assert len(set(features["mm_hashes"]["video"])) == 4
    assert sent["cache_salt"] == pair[0].version, "keys and values of other weights have another salt"


def test_a_server_that_is_late_gone_stale_or_another_program_is_named(folder: str, pair: tuple[TinyServer, TinyServer]):
    built, asked = policy(folder).eval(), prompts()
    one, other = pair
    engine = engine_of(one, other, timeout_seconds=2.0)
    engine.sync(built)

    other.version = "another-run"
    with pytest.raises(ServerFailed, match=rf"{other.url} holds weights another-run, and was sent \w+-1: it was start"):
        engine.generate(asked, 2, SAMPLING, seed=1)
    other.version = None  # started anew
    with pytest.raises(ServerFailed, match=r"holds random weights.*Give every run servers of its own"):
        engine.generate(asked, 2, SAMPLING, seed=1)
    engine.sync(built)

    other.late = 4.0
    with pytest.raises(ServerFailed, match=rf"{other.url} did not answer prompt .* within 2 s \(rollout.timeout_secon"):
        engine.generate(asked, 2, SAMPLING, seed=1)
    other.late = 0.0

    other.dies_at = len(other.asked) + 1
    with pytest.raises(ServerFailed, match=rf"{other.url} did not answer prompt .*, it is gone .*: start it again"):
        engine.generate(asked, 2, SAMPLING, seed=1)
    other.policy, held = None, other.policy
    with pytest.raises(ServerFailed, match=r"it is no vLLM server that takes weights\. Start one with `kairos serve`"):
        engine_of(one, other)
    other.policy, other.context = held, 64
    with pytest.raises(ValueError, match=r"rollout\.servers differ in dtype or context"):
        engine_of(one, other)
    other.stop()
    with pytest.raises(ServerFailed, match=rf"{other.url} did not say what it holds, it is gone \(.*refused"):
        engine_of(one, other)
    alone = engine_of(one)
    alone.sync(built)
    with pytest.raises(ValueError, match=r"the servers take 1024"):
        alone.generate(asked, 2, replace(SAMPLING, max_actions=1020), seed=1)


def test_weights_that_do_not_arrive_stop_the_sync(folder: str, pair: tuple[TinyServer, TinyServer]):
    built, engine = policy(folder).eval(), engine_of(*pair)
    load = pair[1].load
    pair[1].load = lambda *given: {"sum": str(int(str(load(*given)["sum"])) + 1)}  # type: ignore[method-assign]
    with pytest.raises(NotSynced, match="some were not copied"):
        engine.sync(built)
    pair[1].load = load  # type: ignore[method-assign]
    engine.tolerance = 1e-5
    told = pair[1].logprobs
    pair[1].logprobs = lambda *given: told(*given) - 0.5  # type: ignore[method-assign]
    with pytest.raises(agreement.Disagreement, match="it answers with other weights than it was sent"):
        engine.sync(built)
    with pytest.raises(ValueError, match="is no address such as http"):
        VLLMServers(["127.0.0.1:8000"])
    with pytest.raises(ValueError, match=r"rollout\.servers is empty"):
        VLLMServers([])


RUN = [
    *SIZES, "data=mini", "frames=mini", "template=answer", "data.clips=2", "data.val_clips=1", "trainer=cpu",
    "prompts=2", "sampling.max_actions=4", "sampling.group_size=2", "iterations=3", "optimizer.learning_rate=0.01",
    "evaluate=none", "callbacks.validation=null", "callbacks.progress=null", "objective=surrogate",
    "callbacks.checkpoint.every=1", "rollout=vllm_server", "rollout.tolerance=null",
    "rollout.ahead=1",
]  # fmt: skip


def run(*overrides: str) -> Path:
    """From its newest checkpoint if there is one, without a page."""
    built = build([*RUN, *overrides])
    checkpoint = newest(built.folder / "checkpoints")
    built.trainer.fit(built.module, built.datamodule, ckpt_path=checkpoint, weights_only=True if checkpoint else None)
    return built.folder


def test_a_run_whose_server_dies_in_the_middle_of_a_step_is_continued(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.chdir(tmp_path)
    built = build([*RUN, "name=held"]).module
    built.configure_model()
    assert isinstance(built.policy, LanguagePolicy)
    server = TinyServer(built.policy)
    address = f"rollout.servers=[{server.url}]"
    whole = run(address, "name=whole")
    server.dies_at = len(server.asked) + len(server.asked) - 2
    with pytest.raises(ServerFailed, match="it is gone"):
        run(address, "name=cut")
    server.stop()
    assert 0 < len(rows(tmp_path / "runs" / "cut" / "metrics.jsonl")) < 3
    again = TinyServer(built.policy, port=server.port)
    assert_same_run(whole, run(address, "name=cut"))
    again.stop()

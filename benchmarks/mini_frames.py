"""Measures whether choosing frames has something to gain: what an answerer makes of right, even and wrong frames.

    python benchmarks/mini_frames.py --answerers mini_base mini_answerer     # writes results/mini/frames.json

For needles of the mini world (168 or 192 candidate frames), and for the questions which object appears first or last
(128 candidates), each answerer is shown K frames: of the asked event as many as fill at most half of K, beside others
at random; evenly spread ones; evenly spread ones without the event; and all candidates. A minute on a GPU; on two CPU
cores: --clips 24 --frames 8 --data mini_needles --arms "with the event" uniform
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import cast

import numpy as np
import torch
from measuring import machine
from torch import Tensor
from torch.utils.data import Dataset

from kairos.compose import compose, part
from kairos.core.files import write_whole
from kairos.core.protocols import Answerer
from kairos.core.seeds import mix
from kairos.core.types import Failure, Prompt, Reply, Rollout
from kairos.credit.rewards.evidence import shows_evidence
from kairos.data.dataset import size_of
from kairos.evaluation.bootstrap import interval
from kairos.evaluation.floors import chance
from kairos.evaluation.predictions import predict
from kairos.video.samplers.spread import Uniform, even

Arm = Callable[[Prompt, int], Tensor]


def event(prompt: Prompt, count: int) -> Tensor:
    """At most half of the frames show the event; the others are drawn from those that do not."""
    rng = np.random.default_rng(mix("event", prompt.uid))
    inside_T = shows_evidence(prompt).numpy()
    kept = rng.permutation(inside_T.nonzero()[0])[: max(1, count // 2)]
    others = rng.permutation((~inside_T).nonzero()[0])[: count - len(kept)]
    return torch.from_numpy(np.sort(np.concatenate([kept, others])))


def without(prompt: Prompt, count: int) -> Tensor:
    """Evenly spread over the frames that do not show the event."""
    outside = (~shows_evidence(prompt)).nonzero().flatten()
    return outside[even(len(outside), min(count, len(outside) - 1))]


def whole(prompt: Prompt, count: int) -> Tensor:
    del count
    return torch.arange(len(prompt.clip))


ARMS: Mapping[str, Mapping[str, Arm]] = {
    "mini_needles": {"with the event": event, "uniform": Uniform(), "without the event": without, "all": whole},
    "mini_order": {"uniform": Uniform(), "all": whole},
}
KINDS = {"shape": "Which shape", "colour": "What colour", "order": "Which object"}


def main() -> None:
    options = _options()
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    found: dict[str, object] = {"command": f"python benchmarks/mini_frames.py {' '.join(sys.argv[1:])}".strip()}
    answerers = {name: _answerer(name, device) for name in options.answerers}
    for data in options.data:
        arms = {name: arm for name, arm in ARMS[data].items() if name in options.arms}
        prompts = _prompts(data, options.clips)
        floor = chance([len(prompt.options) for prompt in prompts])
        candidates = float(np.mean([len(prompt.clip) for prompt in prompts]))
        print(f"{data}: {len(prompts)} questions, chance {floor:.3f}")
        answered = {
            name: {
                f"{arm}, K = {count}" if arm != "all" else "all": _measured(answerer, prompts, sampler, count)
                for arm, sampler in arms.items()
                for count in (options.frames if arm != "all" else [0])
            }
            for name, answerer in answerers.items()
        }
        found[data] = {"prompts": len(prompts), "chance": floor, "candidates": candidates, "accuracy": answered}
    write_whole(Path(options.output), json.dumps({**found, "machine": machine(device)}, indent=1) + "\n")
    print(options.output)


def _measured(
    answerer: Answerer, prompts: Sequence[Prompt], sampler: Arm, count: int, at_once: int = 64
) -> dict[str, object]:
    """Accuracy with a 95 % interval over prompts, and by kind of question."""
    replies: list[Reply] = []
    for first in range(0, len(prompts), at_once):
        asked = prompts[first : first + at_once]
        replies += [reply for (reply,) in answerer.answer(asked, [[sampler(prompt, count)] for prompt in asked])]
    right = [float(bool(predict(p, Rollout(r.text, None)).correct)) for p, r in zip(prompts, replies, strict=True)]
    kinds = {
        kind: float(np.mean(values))
        for kind, words in KINDS.items()
        if (values := [v for prompt, v in zip(prompts, right, strict=True) if prompt.question.startswith(words)])
    }
    found = interval(right)
    print(f"  {getattr(sampler, '__name__', 'uniform'):10} K = {count:3}: {found.mean:.3f}", kinds, flush=True)
    return {**found._asdict(), "by question": kinds}


def _prompts(data: str, clips: int) -> list[Prompt]:
    chosen = ["policy=frame_agent", f"data={data}", "frames=mini_candidates", "template=answer"]
    config = compose([*chosen, f"data.val_clips={clips}"])
    dataset = cast("Callable[[], Dataset[Prompt | Failure]]", part(config.data.val))()
    items = [dataset[index] for index in range(size_of(dataset))]
    failed = [item for item in items if isinstance(item, Failure)]
    if failed:
        raise SystemExit(f"{failed[0].uid}: {failed[0].reason}")
    return [item for item in items if isinstance(item, Prompt)]


def _answerer(weights: str, device: torch.device) -> Answerer:
    config = compose(["policy=frame_agent", "answerer=mini", f"answerer.policy.weights={weights}"])
    answerer = cast("Answerer", part(config.answerer))
    answerer.build()
    answerer.to(device)
    return answerer


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--answerers", nargs="+", default=["mini_base", "mini_answerer"], help="weights, or runs")
    parser.add_argument("--frames", nargs="+", type=int, default=[4, 8, 16], help="K")
    parser.add_argument("--data", nargs="+", choices=list(ARMS), default=list(ARMS), help="kinds of questions")
    every = dict.fromkeys(arm for arms in ARMS.values() for arm in arms)
    parser.add_argument("--arms", nargs="+", choices=list(every), default=list(every), help="whose frames")
    parser.add_argument("--clips", type=int, default=120, help="of each kind, with two questions each")
    parser.add_argument("--output", default="results/mini/frames.json")
    return parser.parse_args()


if __name__ == "__main__":
    main()

"""A model for lmms-eval: it asks a Kairos run, by a process of Kairos' own environment.

    lmms-eval --model kairos --model_args run=runs/mine,python=.venv/bin/python,options=shown_frames=8;sampler=uniform

lmms-eval and Hydra cannot be installed together (they want different versions of antlr4), so this file imports
lmms-eval and the standard library only. In lmms-eval's environment: `pip install --no-deps kairos-video`. The task's
own wording is asked; frames, pixels and sampler are the run's, or those of `options`.
"""

# pyright: reportMissingImports=false
from __future__ import annotations

import json
import subprocess
import sys
import tempfile
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:

    class Lmms:
        """What lmms-eval's model class has that is used here."""

        task_dict: Mapping[str, Mapping[str, Sequence[Mapping[str, object]]]]

else:
    from lmms_eval.api.model import lmms as Lmms


class Request(Protocol):
    """One question of lmms-eval: its `args` are context, gen_kwargs, doc_to_visual, doc_id, task and split."""

    args: tuple[str, Mapping[str, object], Callable[[object], Sequence[str]], int, str, str]


class Kairos(Lmms):
    """Answers `generate_until` greedily; other kinds of request are refused."""

    is_simple = True

    def __init__(
        self,
        run: str | None = None,
        python: str = sys.executable,
        options: str = "",
        batch_size: int | str = 64,
        device: str | None = None,
        **unused: object,
    ) -> None:
        """`run`: a run's folder; without one `options` name the policy. `python`: that of Kairos' environment.

        `options`: overrides of `kairos evaluate`, with semicolons between them. lmms-eval's `device` is not used: say
        options=trainer=gpu.
        """
        super().__init__()
        if unused:
            raise ValueError(f"model kairos takes run, python, options and batch_size, got {', '.join(unused)}")
        self.run, self.python, self.size = run, python, int(batch_size)
        self.options = [option for option in str(options).split(";") if option]

    def generate_until(self, requests: Sequence[Request]) -> list[str]:
        """The answers in the order of the requests; those with the same limit of tokens are asked together."""
        answers: dict[int, str] = {}
        limits = [request.args[1].get("max_new_tokens") for request in requests]
        for limit in dict.fromkeys(limits):
            places = [place for place, other in enumerate(limits) if other == limit]
            found = self._ask([requests[place] for place in places], limit)
            answers |= dict(zip(places, found, strict=True))
        return [_cut(answers[place], request.args[1].get("until")) for place, request in enumerate(requests)]

    def generate_until_multi_round(self, requests: Sequence[Request]) -> list[str]:
        raise NotImplementedError("model kairos answers tasks of one round (output_type: generate_until)")

    def loglikelihood(self, requests: Sequence[Request]) -> list[tuple[float, bool]]:
        raise NotImplementedError("model kairos answers in words (output_type: generate_until)")

    def _ask(self, requests: Sequence[Request], limit: object) -> list[str]:
        with tempfile.TemporaryDirectory() as place:
            folder = Path(place)
            rows = [self._row(number, request) for number, request in enumerate(requests)]
            asked = folder / "asked.jsonl"
            asked.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
            command = [
                self.python, "-m", "kairos", "evaluate", *([f"run={self.run}"] if self.run else []), "data=jsonl",
                f"data.annotations={asked}", "data.videos=/", "template=verbatim", "split=val", f"size={self.size}",
                *([] if limit is None else [f"sampling.max_actions={limit}"]),
                f"output={folder / 'scores.json'}", *self.options,
            ]  # fmt: skip
            done = subprocess.run(command, stdout=sys.stderr, check=False)
            if done.returncode:
                raise RuntimeError(f"Kairos did not answer (exit code {done.returncode}): {' '.join(command)}")
            lines = (folder / "predictions" / "scores.default.jsonl").read_text(encoding="utf-8").splitlines()
        found = {str(row["uid"]): row for row in map(json.loads, lines)}
        failed = [f"{row['question'][:60]!r}: {row['reason']}" for row in found.values() if _failed(row)]
        for line in failed[:3]:
            print(f"not answered: {line}", file=sys.stderr)
        return [str(found[str(number)]["text"]) for number in range(len(requests))]

    def _row(self, number: int, request: Request) -> dict[str, object]:
        """The request as a row of data=jsonl."""
        context, _, doc_to_visual, doc, task, split = request.args
        visuals = [visual for visual in doc_to_visual(self.task_dict[task][split][doc]) if visual]
        if len(visuals) != 1 or not isinstance(visuals[0], str):
            raise ValueError(f"{task}, document {doc}: model kairos answers about one video file, got {visuals}")
        return {"uid": str(number), "video": str(Path(visuals[0]).resolve()), "question": context, "task": "asked"}


def _failed(row: Mapping[str, object]) -> bool:
    return str(row["reason"] or "").startswith(("failed", "missing"))


def _cut(text: str, until: object) -> str:
    """The text before the first of the task's stop strings."""
    stops = [until] if isinstance(until, str) else until if isinstance(until, list) else []
    for stop in stops:
        if isinstance(stop, str) and stop:
            text = text.partition(stop)[0]
    return text


def manifest() -> object:
    """What lmms-eval registers (entry point `lmms_eval.models`)."""
    from lmms_eval.models.registry_v2 import ModelManifest

    return ModelManifest(model_id="kairos", simple_class_path="kairos.lmms_plugin.Kairos")

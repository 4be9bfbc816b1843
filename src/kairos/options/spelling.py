"""Which option a misspelt one means."""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Sequence

ELSEWHERE = {
    "accelerator": "trainer.accelerator",
    "batch": "prompts",
    "batch_size": "prompts",
    "beta": "objective.terms.kl.coefficient",
    "dataset": "data",
    "devices": "trainer.devices",
    "epochs": "iterations",
    "fps": "frames.fps",
    "gpus": "trainer.devices",
    "lr": "optimizer.learning_rate",
    "max_steps": "iterations",
    "max_tokens": "sampling.max_actions",
    "model": "policy",
    "n": "sampling.group_size",
    "num_generations": "sampling.group_size",
    "num_workers": "workers",
    "output_dir": "output",
    "precision": "trainer.precision",
    "steps": "iterations",
    "weights": "policy.weights",
}
"""What other programs call an option of ours."""
_ALIKE = 0.6  # share of the letters
_NEARLY = 0.1  # less than the likeliest


def meant(typed: str, options: Sequence[str], most: int = 3) -> list[str]:
    """The options, dotted, that somebody may have meant who typed this one, the likeliest first; at most `most`.

    >>> meant("iteration", ["iterations", "prompts"]), meant("group_size", ["seed", "sampling.group_size"])
    (['iterations'], ['sampling.group_size'])
    """
    above, dot, name = typed.rpartition(".")
    ours = ELSEWHERE.get(name, "")
    known = [option for option in (ours, ours.rpartition(".")[2]) if option in options]
    level = [option.rpartition(".")[2] for option in options if option.rpartition(".")[0] == above]
    alike = [f"{above}{dot}{option}" for option in close(name, level, most)]
    same = sorted((o for o in options if o.rpartition(".")[2] == name), key=lambda option: option.count("."))
    found = [*known, *(alike or same)] or close(name, [option for option in options if "." not in option], most)
    return list(dict.fromkeys(found))[:most]


def close(word: str, words: Iterable[str], most: int = 3) -> list[str]:
    """The words that are spelt much like this one, the likeliest first; those that continue it, if none is.

    >>> close("qwen2_5_vl", ["mini", "qwen2_5_vl_3b", "qwen2_5_vl_7b"]), close("timezer", ["timezero", "time_r1"])
    (['qwen2_5_vl_3b', 'qwen2_5_vl_7b'], ['timezero'])
    """
    alike = {one: difflib.SequenceMatcher(None, word.lower(), one).ratio() for one in sorted(words)}
    least = max(_ALIKE, max(alike.values(), default=0.0) - _NEARLY)
    found = sorted((one for one in alike if alike[one] >= least), key=lambda one: -alike[one])
    return (found or [one for one in alike if len(word) > 2 and one.startswith(word.lower())])[:most]


def did_you_mean(options: Sequence[str]) -> str:
    """The options as a question; empty without any.

    >>> did_you_mean(["a", "b", "c"])
    'did you mean a, b or c?'
    """
    *others, last = [*options] or [""]
    listed = f"{', '.join(others)} or {last}" if others else last
    return f"did you mean {listed}?" if last else ""

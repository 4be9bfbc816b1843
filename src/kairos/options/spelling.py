"""Which option a misspelt one means."""

from __future__ import annotations

from collections.abc import Sequence

from kairos.core.spelling import close

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

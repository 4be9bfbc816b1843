"""Finds weights by name: the shipped mini models, a run, its checkpoint, a Hugging Face folder or id."""

from __future__ import annotations

import logging
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import torch
import yaml
from huggingface_hub import HfApi, try_to_load_from_cache
from huggingface_hub.errors import HfHubHTTPError, HFValidationError, RepositoryNotFoundError
from torch import Tensor, nn

from kairos.core.seals import check_folder, read_state
from kairos.policy.models.adapter_state import FACTS
from kairos.policy.models.checkpoints import newest_checkpoint, policy_state, state_of
from kairos.policy.models.foreign_code import check_model_folder

SHIPPED = "mini_base"
SHIPPED_ANSWERER = "mini_answerer"
SHIPPED_CLIP = "mini_clip"
_UNANSWERED: tuple[type[Exception], ...] = (OSError, *HfHubHTTPError.__bases__)
"""No network, or none for Hugging Face's library (HF_HUB_OFFLINE); the second is its HTTP client's base class."""
_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Weights:
    """Where a model's weights are."""

    base: str
    """Folder or id for `from_pretrained`: configuration, tokenizer, weights."""
    checkpoint: Path | None = None
    """A checkpoint of ours, whose weights replace those of `base`."""
    over: Weights | None = None
    """Where `checkpoint` holds an adapter only: the weights that it was trained over, and is added to."""

    def put_into(self, model: nn.Module) -> None:
        """Load the checkpoint's weights into a model that was loaded from `base`; do nothing without a checkpoint."""
        if self.over is not None:
            self.over.put_into(model)
        if self.checkpoint is not None:
            state = policy_state(self.checkpoint)
            named = {name.removeprefix("model."): value for name, value in state.items()}
            if FACTS in named:
                _add_adapter(named, model)
            else:
                model.load_state_dict(named)


def locate(weights: str) -> Weights:
    """Find shipped weights (`mini_base`, `mini_answerer`, `mini_clip`), `runs/<name>`, a run's .ckpt, a folder, an id.

    ValueError when a folder or checkpoint does not exist, when a run has none, or when runs name one another as what
    they were trained from. What a run takes from outside its own folder is logged.
    """
    return _located(weights, ())


def check_exists(weights: str, followed: tuple[str, ...] = ()) -> None:
    """ValueError for a name that looks like a path, where nothing lies; it is not asked for at Hugging Face.

    `followed`: the runs that led to this name, from the one that was asked for.
    """
    path = Path(weights).expanduser()
    if not path.exists() and _looks_like_a_path(weights):
        chain = " -> ".join([*followed, weights])
        raise ValueError(
            f"policy.weights={chain}: there is no such folder; a Hugging Face id is owner/name, and no folder of the "
            "owner's name may lie in the working directory"
        )


@cache
def check_reachable(weights: str) -> None:
    """ValueError for an id that Hugging Face does not have, or that is not here while it cannot be reached.

    One question, before its library asks for every file of a model six times over.
    """
    if Path(weights).is_dir():
        return
    try:
        if isinstance(try_to_load_from_cache(weights, "config.json"), str):
            return
        HfApi().model_info(weights, timeout=10)
    except (RepositoryNotFoundError, HFValidationError):
        why = "Hugging Face has no such model, or a private one (`hf auth login`)"
    except _UNANSWERED as error:
        why = f"it is not on this machine, and Hugging Face does not answer ({type(error).__name__})"
    else:
        return
    raise ValueError(f"policy.weights={weights}: no folder of this name, and {why}; name a folder or an id owner/name")


def _looks_like_a_path(weights: str) -> bool:
    parts = Path(weights).parts
    return (
        weights.startswith(("/", ".", "~"))
        or weights.endswith("/")
        or len(parts) > 2
        or parts[:1] == ("runs",)
        or (len(parts) == 2 and Path(parts[0]).exists())
    )


def _located(weights: str, followed: tuple[str, ...]) -> Weights:
    if weights in (SHIPPED, SHIPPED_ANSWERER, SHIPPED_CLIP):
        return Weights(str(Path(__file__).parent / "shipped" / weights))
    if weights in followed:
        chain = " -> ".join([*followed, weights])
        raise ValueError(f"{chain}: these runs name one another as the weights they were trained from")
    path = Path(weights).expanduser()
    if path.suffix == ".ckpt":
        if not path.exists():
            raise ValueError(f"policy.weights={weights}: there is no such checkpoint")
        return _of_checkpoint(path.parent.parent, path, (*followed, weights))
    check_exists(weights, followed)
    if not (path / "metrics.jsonl").exists():
        if path.is_dir():
            check_model_folder(path)
        return Weights(str(path) if path.is_dir() else weights)
    if (path / "model" / "config.json").exists():
        return _own_model(path)
    newest = newest_checkpoint(path)
    if newest is None:
        raise ValueError(f"policy.weights={weights}: the run has neither model/ nor a checkpoint yet")
    return _of_checkpoint(path, newest, (*followed, weights))


def _own_model(run: Path) -> Weights:
    check_folder(run / "model", but="*.safetensors")  # large ones are checked where they are loaded
    check_model_folder(run / "model")
    return Weights(str(run / "model"))


def _of_checkpoint(run: Path, checkpoint: Path, followed: tuple[str, ...]) -> Weights:
    if f"policy.{FACTS}" not in state_of(checkpoint):
        if (run / "model" / "config.json").exists():
            return Weights(_own_model(run).base, checkpoint)
        base = _named(run, "policy", "weights") or _named(run, "processor", "tokenizer")
        if base is None:
            raise ValueError(f"{run / 'config.yaml'} names neither policy.weights nor processor.tokenizer")
        return Weights(_elsewhere(run, base, followed).base, checkpoint)
    start = _named(run, "policy", "weights")
    if start is None:
        raise ValueError(f"{checkpoint} holds an adapter over random weights: nothing can be started from it")
    over = _elsewhere(run, start, followed)
    return Weights(over.base, checkpoint, over)


def _elsewhere(run: Path, weights: str, followed: tuple[str, ...]) -> Weights:
    """What a run was trained from, said where it is not shipped with Kairos."""
    if weights not in (SHIPPED, SHIPPED_ANSWERER, SHIPPED_CLIP):
        _say(f"{run} takes its configuration, tokenizer or base weights from {weights!r}, as its config.yaml says")
    return _located(weights, followed)


@cache
def _say(message: str) -> None:
    """Once in a process."""
    _log.warning(message)


def _named(run: Path, *keys: str) -> str | None:
    """A text in a run's config.yaml; None where it is not there or null. ValueError for anything else."""
    file = run / "config.yaml"
    if not file.is_file():
        raise ValueError(f"{file} is missing: it says what the run's checkpoint was trained from")
    node: object = yaml.safe_load(read_state(file))
    for key in keys:
        node = node.get(key) if isinstance(node, dict) else None
    if not isinstance(node, str | None):
        raise ValueError(f"{file}: {'.'.join(keys)} must be a text, got {node!r}")
    return node


@torch.no_grad()
def _add_adapter(adapter: dict[str, Tensor], model: nn.Module) -> None:
    """Add scaling * B A to the weight of every adapted layer."""
    scaling = float(adapter[FACTS][0])
    for name, a in adapter.items():
        layer, found, _ = name.partition(".lora_A.")
        if found:
            weight = model.get_parameter(f"{layer}.weight")
            weight += scaling * (adapter[name.replace(".lora_A.", ".lora_B.")] @ a).to(weight)

"""LoRA through peft: small trained matrices beside frozen linear layers, which can be switched off."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import cast

import safetensors.torch
import torch
from peft import LoraConfig, get_peft_model_state_dict, inject_adapter_in_model
from peft.tuners.lora import Linear as LoraLinear
from torch import Tensor, nn
from transformers import PreTrainedModel

from kairos.policy.models.held import tensors_of
from kairos.policy.network.towers import Towers


@dataclass(frozen=True)
class LoRA:
    """y = W x + alpha / rank * B A x, W frozen, A and B trained in fp32, B zero at first (Hu et al. 2021, section 4.1).

    The head and the embeddings are not adapted. Nothing else of the model is trained.
    """

    rank: int = 32
    """Columns of B and rows of A."""
    alpha: int = 64
    """Scale of the update, divided by `rank`."""
    dropout: float = 0.0
    """Probability that a number of A's input is dropped."""
    text: bool = True
    """Adapt the linear layers of the text tower."""
    vision: bool = False
    """Adapt the linear layers of the vision tower and its merger."""
    targets: tuple[str, ...] | list[str] = ()
    """Adapt only layers with these names (q_proj, ...); empty: all of them."""
    merge: bool = True
    """An export also holds the merged weights."""

    def __post_init__(self) -> None:
        if self.rank < 1 or self.alpha < 1:
            raise ValueError(f"adapter.rank must be >= 1 and adapter.alpha >= 1, got {self.rank} and {self.alpha}")
        if not 0 <= self.dropout < 1:
            raise ValueError(f"adapter.dropout must lie in [0, 1), got {self.dropout}")
        if not (self.text or self.vision):
            raise ValueError("adapter.text and adapter.vision are both false: nothing would be trained")

    @property
    def adapts(self) -> frozenset[str]:
        """Names of the parts of the model that it trains."""
        return frozenset(name for name, chosen in (("text", self.text), ("vision", self.vision)) if chosen)

    @property
    def scaling(self) -> float:
        """alpha / rank."""
        return self.alpha / self.rank

    def attach(self, towers: Towers) -> None:
        """Add the matrices to the layers in place and freeze every other parameter."""
        adapted = [*(towers.text.layers if self.text else ()), *([towers.vision] if self.vision else ())]
        inside = {id(module) for part in adapted for module in part.modules() if isinstance(module, nn.Linear)}
        names = [name for name, module in towers.model.named_modules() if id(module) in inside]
        if self.targets:
            names = [name for name in names if name.rpartition(".")[2] in self.targets]
        if not names:
            raise ValueError(
                f"adapter.targets={list(self.targets)} names no linear layer of the parts that are adapted"
            )
        config = LoraConfig(
            r=self.rank, lora_alpha=self.alpha, lora_dropout=self.dropout, target_modules=names, bias="none"
        )
        inject_adapter_in_model(config, towers.model)

    @contextmanager
    def off(self, model: PreTrainedModel) -> Iterator[None]:
        """Inside this context the model computes without the adapter."""
        layers = _adapted(model).values()
        for layer in layers:
            layer.enable_adapters(False)
        try:
            yield
        finally:
            for layer in layers:
                layer.enable_adapters(True)

    @torch.no_grad()
    def merged(self, model: PreTrainedModel) -> dict[str, Tensor]:
        """The state of an equivalent model without an adapter, under that model's names."""
        state = {
            name.replace(".base_layer.", "."): tensor
            for name, tensor in tensors_of(model).items()
            if ".lora_" not in name
        }
        for name, layer in _adapted(model).items():
            weight = cast("nn.Linear", layer.base_layer).weight
            state[f"{name}.weight"] = (weight.float() + layer.get_delta_weight("default").float()).to(weight.dtype)
        return state

    def save(self, model: PreTrainedModel, folder: Path, base: str | None) -> None:
        """Write the adapter alone, in the form that `PeftModel.from_pretrained(<base>, folder)` reads."""
        folder.mkdir(parents=True, exist_ok=True)
        state = get_peft_model_state_dict(model, tensors_of(model), adapter_name="default")
        config = cast("dict[str, LoraConfig]", model.peft_config)["default"]
        config.base_model_name_or_path = base
        config.save_pretrained(str(folder))
        whole = {f"base_model.model.{name}": tensor.cpu().contiguous() for name, tensor in state.items()}
        safetensors.torch.save_file(whole, str(folder / "adapter_model.safetensors"), {"format": "pt"})


def _adapted(model: PreTrainedModel) -> dict[str, LoraLinear]:
    return {name: module for name, module in model.named_modules() if isinstance(module, LoraLinear)}

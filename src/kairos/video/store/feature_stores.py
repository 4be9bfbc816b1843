"""Feature stores: keep what a frozen model computed from clips in memory, in files, or in both.

A key names the clip and all else that its features depend on; the code that computes the features makes the key.
"""

from __future__ import annotations

import json
import logging
import os
from collections import OrderedDict
from pathlib import Path

import torch
from torch import Tensor

from kairos.core.protocols import FeatureStore
from kairos.core.seals import BrokenFile, identity
from kairos.video.store.sealed import read_sealed, write_sealed

FORMAT = "kairos features 1"
_log = logging.getLogger(__name__)
_TYPES = {"BF16": torch.bfloat16, "F16": torch.float16, "F32": torch.float32}
_REMEDY = (
    "features cannot be written ({reason}); what is stored stays readable: free space, choose another folder "
    "(features.files.folder=<folder>), bound it (features.files.gigabytes) or keep them in memory alone "
    "(features=memory), then run the same command again"
)


class MemoryFeatures:
    """Keeps the most recently used features, up to `gigabytes` (1e9 bytes), on `device`.

    `device` is "cpu" (pinned memory if there is a GPU) or "cuda". A tensor larger than the bound is not kept.
    """

    def __init__(self, gigabytes: float = 8.0, device: str = "cpu") -> None:
        if not gigabytes > 0:
            raise ValueError(f"features.memory.gigabytes must be positive (features=none keeps none), got {gigabytes}")
        if torch.device(device).type not in ("cpu", "cuda"):
            raise ValueError(f"features.memory.device must be cpu or cuda, got {device}")
        self.limit, self.device, self.used = int(gigabytes * 1e9), torch.device(device), 0
        self._kept: OrderedDict[str, tuple[Tensor, int]] = OrderedDict()

    def __len__(self) -> int:
        return len(self._kept)

    def get(self, key: str) -> Tensor | None:
        if key not in self._kept:
            return None
        self._kept.move_to_end(key)
        return self._kept[key][0]

    def put(self, key: str, tensor: Tensor) -> None:
        pin = self.device.type == "cpu" and torch.cuda.is_available()
        size = tensor.numel() * tensor.element_size()
        if pin:
            size = 1 << max(size - 1, 0).bit_length()  # torch hands out pinned memory in powers of two
        if key in self._kept:
            self.used -= self._kept.pop(key)[1]
        if size > self.limit:
            return
        while self.used + size > self.limit:
            self.used -= self._kept.popitem(last=False)[1][1]
        held = torch.empty(tensor.shape, dtype=tensor.dtype, device=self.device, pin_memory=pin)
        held.copy_(tensor.detach(), non_blocking=True)  # a GPU reads it in the order in which it wrote it
        self._kept[key] = (held, size)
        self.used += size


class FeatureFiles:
    """One safetensors file per clip below `folder`, written atomically and memory-mapped, shared by processes and runs.

    Above `gigabytes` (1e9 bytes; None: no bound) nothing more is written. `broken` maps damaged files to what is wrong;
    they count as not stored and are written again.
    """

    def __init__(self, folder: str | os.PathLike[str], gigabytes: float | None = None) -> None:
        if gigabytes is not None and not gigabytes > 0:
            raise ValueError(f"features.files.gigabytes must be positive, or null for no bound, got {gigabytes}")
        self.folder = Path(folder).absolute()
        self.limit = None if gigabytes is None else int(gigabytes * 1e9)
        self.broken: dict[str, str] = {}
        self._used: int | None = None

    def get(self, key: str) -> Tensor | None:
        """The memory-mapped tensor; None if there is no intact file of this key."""
        path = self.path(key)
        try:
            now = identity(path)
            sealed = read_sealed(str(path), now.size, FORMAT)
            part = sealed.parts["features"]
            kind = _TYPES.get(part["dtype"], torch.float32)
            features = sealed.bytes("features", *_TYPES).view(kind).view(part["shape"])
            about = sealed.metadata["about"]
            if (stored := json.loads(about)["key"]) != key:
                raise BrokenFile(f"it holds the features of {stored}")
            sealed.check(about, [features], str(path), now)
        except (FileNotFoundError, NotADirectoryError):
            return None
        except (OSError, RuntimeError, KeyError, TypeError, ValueError) as error:
            self.broken[str(path)] = str(error) if isinstance(error, BrokenFile) else f"unreadable ({error!r})"
            _log.warning("%s: not used: %s; the tower sees this clip again", path, self.broken[str(path)])
            return None
        self.broken.pop(str(path), None)
        return features

    def put(self, key: str, tensor: Tensor) -> None:
        """StoreError when the disk is full or the folder cannot be written."""
        host = tensor.detach().to("cpu").contiguous()
        if host.dtype not in _TYPES.values():
            raise ValueError(f"features must be of {', '.join(map(str, _TYPES.values()))}, got {host.dtype}")
        if self.limit is not None and self._full(self.limit, host.numel() * host.element_size()):
            return
        write_sealed(self.path(key), FORMAT, json.dumps({"key": key}), {"features": host}, _REMEDY)

    def path(self, key: str) -> Path:
        """`<folder>/<everything before the last slash of the key>/<two characters>/<the rest>.safetensors`."""
        where, _, name = key.rpartition("/")
        return self.folder / where / name[:2] / f"{name}.safetensors"

    def _full(self, limit: int, more: int) -> bool:
        if self._used is None:
            self._used = sum(path.stat().st_size for path in self.folder.rglob("*.safetensors"))
        if self._used <= limit < self._used + more:
            _log.warning(
                "%s: holds %.1f of features.files.gigabytes=%.1f: no more features are written, and the tower runs for "
                "further clips; raise the bound or delete folders of towers that are not used any more",
                self.folder, self._used / 1e9, limit / 1e9,
            )  # fmt: skip
            self._used = limit + 1
        if self._used + more > limit:
            return True
        self._used += more
        return False


class MemoryAndFiles:
    """Looks in memory first, then in files; what only the files have is put into memory."""

    def __init__(self, memory: FeatureStore, files: FeatureStore) -> None:
        self.memory, self.files = memory, files

    def get(self, key: str) -> Tensor | None:
        if (found := self.memory.get(key)) is not None:
            return found
        if (found := self.files.get(key)) is not None:
            self.memory.put(key, found)
        return found

    def put(self, key: str, tensor: Tensor) -> None:
        self.memory.put(key, tensor)
        self.files.put(key, tensor)

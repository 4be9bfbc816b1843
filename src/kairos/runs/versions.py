"""Lists versions, hardware and missing extras of this machine, for `make doctor` and a run's versions.txt."""

from __future__ import annotations

import os
import platform
import shutil
import subprocess
import sys
from collections.abc import Collection
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

import psutil
import torch

from kairos.core.installing import install_line
from kairos.video.decoding.confinement import offered

PACKAGES = (
    "kairos-video", "torch", "torchvision", "transformers", "lightning", "hydra-core", "torchmetrics", "tokenizers",
    "safetensors", "peft", "numpy", "av", "decord", "torchcodec", "scipy", "matplotlib", "wandb",
)  # fmt: skip
EXTRAS = {
    "vllm": "vllm", "flash-attn-4": "flash", "flash-linear-attention": "fla", "hydra-joblib-launcher": "sweep",
    "nbclient": "notebooks", "pytest": "dev",
}  # fmt: skip
_HERE = Path(__file__)
_OPENCV = ("opencv-python", "opencv-contrib-python")


def versions(folder: Path | None = None) -> str:
    """Versions, hardware, free disk and memory, the install line of each missing extra, and warnings.

    `folder` is where the disk is measured and the git revision is looked up: the working folder by default. The commit
    of Kairos itself is known where it is installed from a checkout.
    """
    folder = Path.cwd() if folder is None else folder
    rows = [("python", f"{platform.python_version()} ({sys.executable})"), ("platform", platform.platform())]
    revisions = {"kairos commit": commit(), "revision": _revision(folder)}
    rows += [(name, revision) for name, revision in revisions.items() if revision is not None]
    rows += [(name, version_of(name) or "not installed") for name in PACKAGES]
    rows += [(name, version_of(name) or f"not installed: {install_line(extra)}") for name, extra in EXTRAS.items()]
    rows += [("CUDA", torch.version.cuda or "torch was built without it"), *_devices(), *_room(folder)]
    width = max(len(name) for name, _ in rows)
    present = [name for name in (*PACKAGES, *_OPENCV) if version_of(name) is not None]
    return "\n".join([f"{name:<{width}}  {text}" for name, text in rows] + warnings(present, has_screen())) + "\n"


def commit() -> str | None:
    """The git commit of Kairos itself, where it runs from a checkout."""
    return _revision(_HERE.parent) if _tracked(_HERE) else None


def version_of(name: str) -> str | None:
    """The version of an installed package, or None."""
    try:
        return version(name)
    except PackageNotFoundError:
        return None


def warnings(packages: Collection[str], screen: bool) -> list[str]:
    """What will not work with these packages on a host with or without a screen, each with its remedy."""
    found = [
        f"warning: {name} needs a screen's libraries (libGL) and this host has no display: "
        f"pip uninstall {name} && pip install {name}-headless"
        for name in _OPENCV
        if name in packages and not screen
    ]
    if "decord" not in packages and "torchcodec" not in packages:
        found.append("warning: neither decord nor torchcodec is installed, so no video can be decoded")
    return found


def has_screen() -> bool:
    """False on Linux without a display."""
    return not sys.platform.startswith("linux") or any(os.environ.get(n) for n in ("DISPLAY", "WAYLAND_DISPLAY"))


def _devices() -> list[tuple[str, str]]:
    if not torch.cuda.is_available():
        return [("GPU", "none")]
    devices = []
    for index in range(torch.cuda.device_count()):
        properties = torch.cuda.get_device_properties(index)
        devices.append((f"GPU {index}", f"{properties.name}, {properties.total_memory / 2**30:.0f} GiB"))
    return devices


def _room(folder: Path) -> list[tuple[str, str]]:
    disk, memory = shutil.disk_usage(folder), psutil.virtual_memory()
    return [
        ("CPU", f"{os.cpu_count()} cores, {torch.get_num_threads()} threads for torch"),
        ("memory", f"{memory.available / 2**30:.1f} GiB free of {memory.total / 2**30:.1f}"),
        ("disk", f"{disk.free / 2**30:.1f} GiB free of {disk.total / 2**30:.1f}"),
    ]


def _tracked(file: Path) -> bool:
    """Whether a file belongs to a git repository, rather than to an environment inside of one."""
    if shutil.which("git") is None:
        return False
    asked = ["git", "-C", str(file.parent), "ls-files", "--error-unmatch", file.name]
    return subprocess.run(asked, capture_output=True, check=False).returncode == 0


def _revision(folder: Path) -> str | None:
    """The git revision that the folder is at, marked when tracked files differ from it; None outside git."""
    if shutil.which("git") is None:
        return None

    def git(*arguments: str) -> str | None:
        done = subprocess.run(["git", "-C", str(folder), *arguments], capture_output=True, text=True, check=False)
        return done.stdout.strip() if done.returncode == 0 else None

    head = git("rev-parse", "HEAD")
    if head is None:
        return None
    return f"{head} (with local changes)" if git("status", "--porcelain", "--untracked-files=no") else head


def given_up() -> str:
    """What the decoding process gives up on this machine, and what the system does not let it give up."""
    found = offered()
    gone = ", ".join(name for name, given in found.items() if given) or "nothing"
    kept = ", ".join(name for name, given in found.items() if not given)
    return f"a decoding process gives up: {gone}{f'; cannot here: {kept}' if kept else ''}\n"

"""Small pictures of the clips that rollouts are about, by prompt, so that a page can show them without the videos."""

from __future__ import annotations

import base64
import hashlib
import io
import os
from collections.abc import Iterable
from pathlib import Path

from kairos.core.files import UNFINISHED, naming
from kairos.core.types import Prompt
from kairos.runs.strips import strip

FOLDER = "strips/rollouts"
_QUALITY = 55


def save_row_strip(prompt: Prompt, run: Path, frames: int = 10, height: int = 44) -> Path | None:
    """Save `frames` evenly spaced frames of the prompt's clip side by side, `height` pixels high, as WebP.

    None where it has no frames, or the picture is there. Its name is a hash of the prompt's uid.
    """
    file = _file(run, prompt.uid)
    if prompt.clip.frames_TCHW is None or len(prompt.clip) == 0 or file.exists():
        return None
    buffer = io.BytesIO()
    strip(prompt.clip, frames, height).save(buffer, format="webp", quality=_QUALITY)
    with naming(file):  # not synced, as other files of a run are: a picture is a small loss, and there are many
        file.parent.mkdir(parents=True, exist_ok=True)
        unfinished = file.with_name(f".{file.name}.{os.getpid()}{UNFINISHED}")
        unfinished.write_bytes(buffer.getvalue())
        unfinished.replace(file)
    return file


def read_row_strips(run: Path, uids: Iterable[str], most: int) -> dict[str, str]:
    """Data URIs of the saved pictures by uid, in this order, of `most` characters together."""
    found: dict[str, str] = {}
    for uid in uids:
        file = _file(run, uid)
        if not file.is_file():
            continue
        uri = f"data:image/webp;base64,{base64.b64encode(file.read_bytes()).decode('ascii')}"
        most -= len(uri)
        if most < 0:
            break
        found[uid] = uri
    return found


def _file(run: Path, uid: str) -> Path:
    return run / FOLDER / f"{hashlib.sha256(uid.encode(errors='surrogatepass')).hexdigest()[:20]}.webp"

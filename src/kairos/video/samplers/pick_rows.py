"""Chosen frames as rows of a JSON file, for `Listed` and for other programs."""

from __future__ import annotations

import numpy as np
from torch import Tensor

from kairos.core.types import Prompt
from kairos.video.loader import ClipLoader


def pick_row(prompt: Prompt, index_K: Tensor, loader: ClipLoader) -> dict[str, object]:
    """The row of one prompt, with the fields that `Listed` reads.

    `uid`, `video` (path; None for a clip that is no part of one file), `seconds` from the clip's start, `frame_idx` (of
    the file, None without one) and `frames`, indices of the clip's frames. VideoError where the file is gone.
    """
    clip = prompt.clip
    seconds_K = clip.seconds_T[index_K].double()
    numbers: list[int] | None = None
    if clip.source is not None:
        every_N = loader.frame_seconds(clip.source)
        of_file_K = seconds_K.numpy() + (clip.source.start or 0.0)
        numbers = np.abs(every_N[None] - of_file_K[:, None]).argmin(-1).tolist()
    return {
        "uid": prompt.uid,
        "video": None if clip.source is None else clip.source.path,
        "seconds": [round(second, 6) for second in seconds_K.tolist()],
        "frame_idx": numbers,
        "frames": index_K.tolist(),
    }

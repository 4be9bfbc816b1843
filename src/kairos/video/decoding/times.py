"""What is asked of the frame times that any decoder gives."""

from __future__ import annotations

import numpy as np

from kairos.video.decoding.decoder import Reader
from kairos.video.errors import RE_ENCODE, VideoError

GRACE = 1.0
"""Seconds by which a time may exceed the stated duration: many writers leave out the last, reordered frames."""


def check_times(path: str, reader: Reader, stated: float) -> None:
    """VideoError unless the reader's times are finite, not negative, strictly rising and end within the container's
    `stated` duration (seconds; 0: it states none). The message names the decoder and the time."""
    seconds_N, by = np.asarray(reader.seconds_N, dtype=np.float64), reader.probe.version
    if len(seconds_N) != reader.probe.frames:
        raise VideoError(f"{path}: {by} finds {reader.probe.frames} frames and {len(seconds_N)} times; {RE_ENCODE}")
    if len(seconds_N) == 0:
        raise VideoError(f"{path}: {by} finds no frames in it; {RE_ENCODE}")
    wrong = np.flatnonzero(~np.isfinite(seconds_N) | (seconds_N < -1e-6))
    if len(wrong):
        raise VideoError(
            f"{path}: frame {wrong[0]} would be shown at {seconds_N[wrong[0]]:g} s by {by}, which is no time; "
            f"{RE_ENCODE}"
        )
    still = np.flatnonzero(np.diff(seconds_N) <= 0)
    if len(still):
        at = int(still[0])
        raise VideoError(
            f"{path}: times that do not rise: {by} gives frame {at} {seconds_N[at]:.6g} s and frame {at + 1} "
            f"{seconds_N[at + 1]:.6g} s; {RE_ENCODE}"
        )
    if stated > 0 and seconds_N[-1] > stated + GRACE:
        raise VideoError(
            f"{path}: {by} shows the last frame at {seconds_N[-1]:.6g} s, but the file says that it lasts {stated:.6g} "
            f"s; {RE_ENCODE}"
        )

"""Errors of videos, decoders and clip stores; each message names the file, the fault and the remedy."""

from __future__ import annotations

from kairos.core.prompt_text import PromptError

RE_ENCODE = "re-encode it: ffmpeg -i <file> -c:v libx264 <new>.mp4"
"""The remedy for a file whose pictures carry wrong times."""


class VideoError(PromptError):
    """This one clip cannot be used; others may be fine. A data set counts it and goes on."""


class DecoderError(ValueError):
    """The decoder cannot be used on this machine, so no clip can be decoded: the run stops."""


class StoreError(ValueError):
    """The clip store cannot be written, or lacks required clips: the run stops."""

"""What can go wrong with a video, a decoder or a clip store: each message names the file, the fault and the remedy."""

from __future__ import annotations


class VideoError(ValueError):
    """This one clip cannot be used; others may be fine. A data set counts it and goes on."""


class DecoderError(ValueError):
    """The decoder itself is not usable here, so no clip would be: stop, and install or choose another."""


class StoreError(ValueError):
    """The clip store cannot be written, or lacks what was required of it: stop."""

"""The memory of a frozen answerer that a rollout engine asks about chosen frames."""

from __future__ import annotations

from dataclasses import dataclass

from kairos.policy.memory.estimate import GIB, Allocation, looking_bytes, reading_bytes
from kairos.policy.memory.sizes import Sizes


@dataclass(frozen=True)
class Answering:
    """What an answerer computes at once."""

    sizes: Sizes
    text_tokens: int
    """Of one set of frames and its question, at most."""
    vision_tokens: int
    """Of one set of frames, at most."""
    frames: int
    """Frames of one set, at most."""
    frames_at_once: int
    """Frames that pass the vision tower together."""
    tokens_at_once: int
    """Sets are answered together up to so many tokens."""
    completion: int
    """Tokens of an answer at most."""
    cache_gib: float
    """Of features of frames that stay in memory."""

    @property
    def prompt(self) -> int:
        """Tokens of one set and its question."""
        return self.text_tokens + self.vision_tokens

    @property
    def tokens(self) -> int:
        """Tokens that are read together: one set at least."""
        return max(self.prompt, self.tokens_at_once)

    @property
    def sets(self) -> int:
        """Sets that are answered together."""
        return max(1, self.tokens_at_once // self.prompt)

    def allocations(self, gpu: bool) -> list[Allocation]:
        """Lines of the memory table; the weights have a line of their own."""
        sizes, low = self.sizes, 2 if gpu else 4
        cached = self.tokens + self.sets * self.completion
        states = 4 * self.sets * sizes.state
        patches = self.frames_at_once * self.vision_tokens / self.frames * sizes.patches
        features = self.tokens * sizes.hidden * sizes.levels * low
        keys_values = cached * sizes.key_value_bytes * low / 2 + states
        return [
            Allocation("answering: features of frames that are kept", self.cache_gib * GIB),
            Allocation("answering: keys and values", keys_values, "roll out", False),
            Allocation("answering: sets read at once", self.tokens * reading_bytes(sizes, low), "roll out", False),
            Allocation(
                "answering: vision tower and its features", patches * looking_bytes(sizes, low) + features, "roll out",
                False,
            ),
            Allocation("answering: scores of the next token", self.sets * sizes.vocabulary * 28, "roll out", False),
        ]  # fmt: skip

"""`experiment=mini/tspo` as small as it may be: needles of 36 or 48 candidate frames, of which 4 are chosen."""

from __future__ import annotations

from pathlib import Path

NEEDLES = [
    "data=mini_needles", "data.clips=16", "data.val_clips=16", "data.composition.distractors=2",
    "data.composition.frames=12", "frames=mini_candidates", "enrich=mini_clip",
]  # fmt: skip
AGENT_RUN = [
    "experiment=mini/tspo", *NEEDLES, "probes=none", "trainer=cpu", "iterations=2", "prompts=2",
    "sampling.group_size=4", "sampling.max_actions=4", "callbacks=default", "callbacks.validation=null",
    "callbacks.progress=null",
]  # fmt: skip


def beside(folder: Path) -> list[str]:
    """Overrides that keep rendered clips, decoded ones and features below `folder`."""
    return [f"data.folder={folder}/mini", f"store={folder}/clips", f"enrich.clip.store.folder={folder}/features"]

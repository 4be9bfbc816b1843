"""Decode all clips of a data set into the clip store that training reads.

Goes on where it stopped; failures.jsonl in the store says which videos failed, and why. With an option of enrich= that
keeps features, those of all clips and questions are made as well.

Examples:

    kairos cache_videos                                           # the mini world
    kairos cache_videos data=charades data.annotations=charades data.videos=charades/videos workers=8
    kairos cache_videos data=jsonl data.annotations=mine.jsonl data.videos=videos policy=qwen3_vl_4b
    kairos cache_videos data=jsonl data.annotations=mine.jsonl data.videos=videos splits=[val] store=clips
    kairos cache_videos enrich=mini_clip                          # and the CLIP features of frames and questions
"""

from __future__ import annotations

from hydra.utils import instantiate
from omegaconf import DictConfig

from kairos.cli import command, user_errors
from kairos.compose import check_values
from kairos.core.protocols import Embeds
from kairos.data.dataset import records_of
from kairos.data.embedding import fill
from kairos.video.store.caching import cache


@command("cache_videos", goes_on=True)
def main(config: DictConfig) -> None:
    with user_errors():
        check_values(config, "datamodule", "loader", "enrich")
        datamodule = instantiate(config.datamodule, _convert_="all")
        records = [record for split in config.splits for record in records_of(datamodule.dataset(split))]
        if not records:
            raise ValueError(f"data={config.data}: nothing to cache, its prompts have no videos")
        loader = instantiate(config.loader, _convert_="all")
        print(cache([record.video for record in records], loader, workers=config.workers or None))
        for name, add in instantiate(config.enrich, _convert_="all").items():
            if isinstance(add, Embeds):
                print(f"enrich.{name}: {fill(records, loader, add)}")


if __name__ == "__main__":
    main()

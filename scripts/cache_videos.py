"""Decode all clips of a data set into the clip store: `python scripts/cache_videos.py data=charades ...`."""

from __future__ import annotations

from hydra.utils import instantiate
from omegaconf import DictConfig

from kairos.cli import command, user_errors
from kairos.data.dataset import records_of
from kairos.video.store.caching import cache


@command("cache_videos")
def main(config: DictConfig) -> None:
    with user_errors():
        datamodule = instantiate(config.datamodule, _convert_="all")
        sources = [record.video for split in config.splits for record in records_of(datamodule.dataset(split))]
        if not sources:
            raise ValueError(f"data={config.data}: nothing to cache, its prompts have no videos")
        print(cache(sources, instantiate(config.loader, _convert_="all"), workers=config.workers or None))


if __name__ == "__main__":
    main()

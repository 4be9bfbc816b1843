r"""Convert the rows of any data option to our JSONL, filtered, and say what fell and why.

Examples:

    kairos convert data=time_r1 data.annotations=train_2k5.json data.videos=videos output=mine.jsonl
    kairos convert data=time_r1 data.annotations=train_2k5.json data.videos=videos output=mine.jsonl \
        keep.duration=[5,240]                                     # only clips of 5 to 240 s
    kairos convert data=charades data.annotations=charades data.videos=charades/videos split=val output=val.jsonl
    kairos convert data=qvhighlights data.annotations=qvhighlights data.videos=videos output=mine.jsonl \
        keep.coverage=[null,0.5]                                  # only spans of at most half the clip
    kairos convert data=mini output=mini.jsonl                    # the mini world
"""

from __future__ import annotations

from pathlib import Path

from hydra.utils import instantiate
from omegaconf import DictConfig

from kairos.cli import command, user_errors
from kairos.compose import check_values
from kairos.data.dataset import records_of
from kairos.data.filters import Keep
from kairos.data.writing import write_jsonl


@command("convert")
def main(config: DictConfig) -> None:
    with user_errors():
        check_values(config, "keep", "datamodule")
        keep: Keep = instantiate(config.keep, _convert_="all")
        output = Path(config.output)
        records = records_of(instantiate(config.datamodule, _convert_="all").dataset(config.split))
        if not records:
            raise ValueError("nothing to convert: the prompts of this data option have no videos")
        kept, fallen = keep.split(records)
        if not kept:
            why = ", ".join(f"{count} {reason}" for reason, count in fallen.most_common())
            raise ValueError(f"none of {len(records)} records is kept ({why}): widen the ranges of `keep`")
        write_jsonl(kept, output)
        print(f"{output}: {len(kept)} of {len(records)} records kept")
        for reason, count in fallen.most_common():
            print(f"  {count} left out: {reason}")


if __name__ == "__main__":
    main()

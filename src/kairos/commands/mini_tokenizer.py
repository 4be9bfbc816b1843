"""Build the mini policy's tokenizer from the mini world's own words.

usage: kairos mini_tokenizer FOLDER

Examples:

    kairos mini_tokenizer tokenizer                               # into ./tokenizer
"""

from __future__ import annotations

import sys

from kairos.data.mini.world import corpus
from kairos.policy.models.mini_tokenizer import build_tokenizer


def main() -> None:
    if len(sys.argv) != 2:
        sys.exit("usage: kairos mini_tokenizer FOLDER")
    print(build_tokenizer(corpus(), sys.argv[1]))


if __name__ == "__main__":
    main()

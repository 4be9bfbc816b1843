"""Builds the mini policy's tokenizer from the mini world's own words: `python scripts/mini_tokenizer.py FOLDER`."""

from __future__ import annotations

import sys

from kairos.data.mini.world import corpus
from kairos.policy.models.mini_tokenizer import build_tokenizer

if __name__ == "__main__":
    if len(sys.argv) != 2:
        sys.exit("usage: python scripts/mini_tokenizer.py FOLDER")
    print(build_tokenizer(corpus(), sys.argv[1]))

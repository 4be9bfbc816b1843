"""Runs the command that this file is named after, with the Kairos beside it if none is installed (kairos/commands/)."""

import sys
from pathlib import Path

if __name__ == "__main__":
    sys.path.append(str(Path(__file__).resolve().parents[1] / "src"))
    from kairos.entry.start import script

    script(__file__)

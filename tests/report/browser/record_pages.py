"""Takes the pictures of results/pages: `python tests/report/browser/record_pages.py <run folder>`, with a Chromium.

The run's page by day and by night, 1,300 and 400 pixels wide; and how soon a page of 10,000 rollouts can be used.
"""

from __future__ import annotations

import json
import os
import sys
import tempfile
from pathlib import Path

ROOT = Path(__file__).resolve().parents[3]
sys.path.insert(0, str(ROOT / "tests"))

from helpers.chromium import browsing  # noqa: E402
from helpers.rollout_rows import many_rows, run_of  # noqa: E402

from kairos.report.run_page.page import write_report  # noqa: E402

OUTPUT = ROOT / "results" / "pages"
VIEWS = (("1300", 1300, 1500, False), ("1300-dark", 1300, 1500, True), ("400", 400, 900, False))


def record(run: Path) -> None:
    OUTPUT.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory() as folder, browsing(Path(folder) / "profile") as page:
        ours = write_report(run).as_uri()
        for name, width, height, dark in VIEWS:
            page.open(ours, width, height, dark)
            page.picture(OUTPUT / f"run-{name}.webp")
            page.run("document.getElementById('browser').scrollIntoView()")
            page.run("document.querySelectorAll('article')[0].querySelectorAll('details')[1].open = true")
            page.wait("document.querySelector('details.rollout[open] pre') !== null")
            page.run("new Promise(done => requestAnimationFrame(() => requestAnimationFrame(done)))")
            page.picture(OUTPUT / f"rollouts-{name}.webp")
        large = write_report(run_of(Path(folder) / "many", many_rows()))
        seconds = []
        for _ in range(5):
            seconds.append(page.open(large.as_uri()))
        measured = {
            "command": "python tests/report/browser/record_pages.py <run folder>",
            "what": "seconds from the start of loading a page of 10,000 rollouts until it answers, headless Chromium",
            "rollouts": 10_000, "mib": round(large.stat().st_size / 2**20, 2), "cores": os.cpu_count(),
            "seconds": [round(each, 3) for each in sorted(seconds)],
        }  # fmt: skip
    (OUTPUT / "pages.json").write_text(json.dumps(measured, indent=1) + "\n")
    print(json.dumps(measured))


if __name__ == "__main__":
    record(Path(sys.argv[1]))

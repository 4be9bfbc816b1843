"""Show what a run's policy was asked, what it wrote and what that earned.

Examples:

    kairos rollouts runs/mine iteration=last
    kairos rollouts runs/mine iteration=1:3 limit=20
    kairos rollouts runs/mine sort=-advantage limit=10            # the best first
    kairos rollouts runs/mine where="reason!=null or terms.iou<0.1"
    kairos rollouts runs/mine follow=true where=truncated         # while it trains
"""

from __future__ import annotations

import time

from omegaconf import DictConfig
from rich.console import Console

from kairos.cli import UserError, command, user_errors
from kairos.core.stop_signals import Stopped
from kairos.report.rollouts.query import Query, order_by
from kairos.report.rollouts.selected import Rollouts
from kairos.report.rollouts.view import RolloutView
from kairos.report.rollouts.where import parse
from kairos.runs.folder import find_run


@command("rollouts")
def main(config: DictConfig) -> None:
    with user_errors():
        show(config)


def show(config: DictConfig) -> None:
    if "run" not in config or config.run is None:
        raise UserError("error: say which run to read: run=runs/<name>")
    rollouts = Rollouts(find_run(str(config.run)))
    query = Query(
        where=None if config.where is None else parse(str(config.where), rollouts.fields()),
        order=None if config.sort is None else order_by(str(config.sort)),
        limit=config.limit,
    )
    iteration = None if config.iteration is None else str(config.iteration)
    view = RolloutView(Console(), config.show_prompt, config.max_text)
    try:
        if config.follow:
            found = rollouts.live(
                iteration,
                query,
                wait=lambda: time.sleep(config.poll),
                went_back=lambda lines: view.note(f"\nthe run went back: it kept {lines} rollouts and writes on"),
            )
        else:
            found = rollouts.rows(iteration, query)
        for row in found:
            view.show(row)
    except Stopped:
        return
    if view.count:
        view.note(f"\nrollouts shown: {view.count}, prompts: {view.groups}")
    else:
        view.note(f"no such rollout: {rollouts.extent()}")


if __name__ == "__main__":
    main()

"""``recover``: what is whole in a damaged folder."""

from __future__ import annotations

from pathlib import Path

import click

from robustbench_fl.cli.options import folder_argument, plugin_option
from robustbench_fl.cli.saying import say

_SHOWN = 10


@click.command()
@folder_argument
@plugin_option
def recover(folder: Path, plugins: tuple[Path, ...]) -> int:
    """Keep what is whole in a damaged folder, and say what is lost.

    Every packed record whose own checksum fits is kept; the plan is made anew from sweep.toml and the
    cells, and a damaged sweep.toml is taken out of the plan. Damaged files stay, under another name. The exit
    code is 1 if files of cells cannot be trusted, or a record was lost. Give the sweep's plug-ins with
    --plugin.
    """
    from robustbench_fl.core.status import MISSING
    from robustbench_fl.store import Store
    from robustbench_fl.store.ownership import require_ours
    from robustbench_fl.store.recovery import recover_pack, recover_sweep
    from robustbench_fl.store.versions import outdated
    from robustbench_fl.sweep.replan import replan

    Store.existing(folder)
    require_ours(folder)
    done = [text for text in (recover_sweep(folder), recover_pack(folder)) if text]
    store = Store.existing(folder)
    if why := store.plan_problem() or outdated(store):
        replan(store, why, plugins)
    problems = store.problems()
    for text in done:
        say(text)
    for name, why in problems:
        say(f"{name} {why}. It is left as it is.")
    missing = [row for row in store.summaries() if row["status"] == MISSING]
    if not done and not problems and not why:
        say("Nothing is damaged.")
        return 0
    say(f"{len(missing)} planned cells have no result now; the same sweep runs them again.")
    for row in missing[:_SHOWN]:
        labels = row["labels"]
        say(f"  {row['key']}  {labels['aggregator']} under {labels['attack']}")
    if len(missing) > _SHOWN:
        say(f"  … and {len(missing) - _SHOWN} more")
    return int(bool(problems) or any("lines are not" in text for text in done))

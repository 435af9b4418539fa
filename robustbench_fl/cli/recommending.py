"""``recommend``: which rule to use in a setting, from stored results."""

from __future__ import annotations

from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING

import click

from robustbench_fl.cli.answers import of_folders
from robustbench_fl.cli.options import PATH
from robustbench_fl.cli.output import format_option
from robustbench_fl.cli.saying import say
from robustbench_fl.cli.tabling import Shown, records_of, table_text
from robustbench_fl.core.errors import UsageError

if TYPE_CHECKING:
    from robustbench_fl.api import Dataset, Model

SUITE, TIER = "rbfl-1", "cpu"
"""Where answers come from by default, once its main blocks are finished."""
REFERENCE = "reference-digits"
"""Where they come from until then."""


@click.command()
@click.option("--clients", type=click.IntRange(1), required=True, metavar="N", help="Clients of a round.")
@click.option("--malicious", type=click.FloatRange(0, 1, min_open=True, max_open=True), required=True,
              metavar="SHARE", help="Share of them that may lie: 0.2.")  # fmt: skip
@click.option("--alpha", type=click.FloatRange(0, min_open=True), default=1.0, show_default=True, metavar="A",
              help="How unlike the clients' data are, as Dirichlet's alpha; from 100 on: alike.")  # fmt: skip
@click.option("--knows", default="", metavar="NAMES",
              help="What the server knows, comma separated: f, model, client_ids, history, root_data, "
              "sample_counts, recipe, raw.  [default: nothing]")  # fmt: skip
@click.option("--budget-ms", type=click.FloatRange(0, min_open=True), metavar="MS",
              help="Most processor time that the rule may take in a round.")  # fmt: skip
@click.option("--params", type=click.IntRange(1), metavar="D",
              help="Parameters of your network; server time is scaled to them.")  # fmt: skip
@click.option("--results", type=PATH, metavar="DIR",
              help="The sweep to answer from.  [default: rbfl-1, else reference-digits]")  # fmt: skip
@format_option
def recommend(
    clients: int, malicious: float, alpha: float, knows: str, budget_ms: float | None,
    params: int | None, results: Path | None, format_: str,
) -> None:  # fmt: skip
    """Say which rules fit a setting, best first: what each keeps and costs, and what would break it.

    \b
    robustbench-fl recommend --clients 30 --malicious 0.2 --alpha 0.5 --knows f,model --budget-ms 50
    robustbench-fl recommend --clients 30 --malicious 0.2 --params 11173962 --budget-ms 5000

    The answer comes from the block of a finished sweep that lies nearest, and says where nothing nearby was
    measured.
    """
    names = frozenset(filter(None, (name.strip() for name in knows.split(","))))

    folders, shown = (results,) if results else _standard(), Shown.now(format_)

    def made() -> str:
        from robustbench_fl.analysis.frame import frame
        from robustbench_fl.analysis.recommend import Setting
        from robustbench_fl.analysis.recommend import recommend as found

        cells = frame([record for folder in folders for record in records_of(folder)])
        setting = Setting(clients=clients, malicious=malicious, alpha=alpha, knows=names,
                          budget_ms=budget_ms, params=params)  # fmt: skip
        return table_text(found(cells, setting, _size_of), format_, shown)

    say(of_folders(folders, made, shown), styled=True)


def _size_of(dataset: str, model: str) -> int | None:
    """Return the parameters of a network on a data set, ``None`` where its files would have to say."""
    from robustbench_fl.api.build import make

    try:
        data: Dataset = make("datasets", dataset)
        if data.image_shape is None or data.n_classes is None:
            return None
        network: Model = make("models", model).build(data.image_shape, data.n_classes)
    except UsageError:  # a plug-in's, or of another version
        return None
    return network.n_params


def _standard() -> tuple[Path, ...]:
    """Return the folders that answers come from by default: here, or in the checkout that runs."""
    from robustbench_fl.sweep.suites import read_suite, stored_at

    with suppress(UsageError):  # there is no suite where there is no checkout
        tier = read_suite(SUITE).tier(TIER)
        blocks = tuple(stored_at(tier) / block.name for block in tier.blocks if block.main)
        if blocks and all(map(_is_finished, blocks)):
            return blocks
    for home in (Path("results"), Path(__file__).resolve().parents[2] / "results"):
        if _is_finished(home / REFERENCE):
            return (home / REFERENCE,)
    raise UsageError(
        f"No results to answer from: neither the suite {SUITE} nor results/{REFERENCE} is here. Name a "
        "finished sweep with --results DIR."
    )


def _is_finished(folder: Path) -> bool:
    return all((folder / name).is_file() for name in ("sweep.toml", "cells.jsonl.gz"))  # packed at its end

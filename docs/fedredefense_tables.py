"""Put the committed sweeps' tables into the page on FedREDefense: ``python docs/fedredefense_tables.py``."""

from __future__ import annotations

import re
from pathlib import Path

import pandas as pd
from marked import with_made
from scipy.stats import binomtest

from robustbench_fl.analysis.frame import frame
from robustbench_fl.store import Store

ROOT = Path(__file__).parent.parent
PAGE = ROOT / "docs" / "fedredefense.md"
TABLES = {
    "detection": ("fedredefense-detection", ["aggregator", "partition", "attack"]),
    "fashion_mnist": ("fedredefense-fashion_mnist", ["aggregator", "partition", "attack"]),
    "sensitivity": (
        "fedredefense-sensitivity",
        ["aggregator", "lr", "local_epochs", "participation", "malicious", "partition", "attack"],
    ),
}
"""Per marker in the page: folder under ``results/`` and the columns that tell rows apart."""
SETTING = ["aggregator", "dataset", "model", "partition", "lr", "local_epochs"]
"""What makes a row of the table of all settings."""
GRIDS = {
    "calibrated": ("fedredefense-calibrated-grid", SETTING),
    "unseen": ("fedredefense-unseen", SETTING[:4]),
}
"""Per marker of a table of settings: folder, and the columns that tell rows apart."""


def table(folder: str, by: list[str]) -> str:
    """Return rates of clients ever rejected, pooled over the seeds, with exact 95 % intervals.

    Parameters
    ----------
    folder : str
        Below ``results/``.
    by : list of str
        Columns of the frame that make a row.
    """
    cells = frame(Store.existing(ROOT / "results" / folder).records())
    cells = cells[cells.status == "done"]
    lines = [
        "| " + " | ".join([*by, "seeds", "TPR", "FPR", "accuracy", "server s"]) + " |",
        "|" + "---|" * (len(by) + 5),
    ]
    for key, rows in cells.groupby(by, sort=False):
        values = [
            *map(_short, key),
            str(len(rows)),
            _rate(rows.tpr, rows.malicious_clients),
            _rate(rows.fpr, rows.honest_clients),
            f"{rows.accuracy.mean():.3f}",
            f"{rows.aggregate_seconds.mean():.2f}",
        ]
        lines.append("| " + " | ".join(values) + " |")
    return "\n".join(lines)


def settings_table(folder: str, by: list[str]) -> str:
    """Return one row a setting: false bans, clean and attacked, the attack found least, the cost of ALIE.

    Parameters
    ----------
    folder : str
        Below ``results/``.
    by : list of str
        Columns of the frame that make a row; recipes are pooled if theirs are not among them.
    """
    cells = frame(Store.existing(ROOT / "results" / folder).records())
    cells = cells[cells.status == "done"].sort_values([*SETTING, "attack", "seed"])
    oracle = cells[cells.aggregator == "oracle_mean"]
    heads = (
        "rule", "data, network", "partition", "lr × epochs", "seeds", "FPR, clean", "attacks",
        "FPR, attacked", "smallest TPR", *(["`alie`: accuracy − oracle, points"] if len(oracle) else []),
    )  # fmt: skip
    lines = ["| " + " | ".join(heads) + " |", "|" + "---|" * len(heads)]
    for key, rows in cells[cells.aggregator != "oracle_mean"].groupby(by, sort=False):
        rule, dataset, model, partition = key[:4]
        recipes = [f"{lr:g} × {epochs}" for lr, epochs in dict.fromkeys(zip(rows.lr, rows.local_epochs))]
        clean, attacked = rows[rows.attack == "none"], rows[rows.attack != "none"]
        found = attacked.groupby("attack").tpr.mean()
        worst = attacked[attacked.attack == found.idxmin()] if len(found) else attacked
        least = f"{_rate(worst.tpr, worst.malicious_clients)} {found.idxmin()}" if len(found) else "–"
        values = [
            _short(rule), f"{_short(dataset)}, {model}", _short(partition),
            recipes[0] if len(recipes) == 1 else f"{len(recipes)} recipes",
            _seeds(rows), _rate(clean.fpr, clean.honest_clients), str(len(found)),
            _rate(attacked.fpr, attacked.honest_clients),
            "1 for each" if len(found) and found.min() == 1 else least,
        ]  # fmt: skip
        if len(oracle):
            values.append(_above(attacked, oracle, key))
        lines.append("| " + " | ".join(values) + " |")
    return "\n".join(lines)


def _seeds(rows: pd.DataFrame) -> str:
    """Return how many seeds, and under attack, where those are fewer."""
    all_, under = (some.seed.nunique() for some in (rows, rows[rows.attack != "none"]))
    return str(all_) if under in {0, all_} else f"{all_}, {under} attacked"


def _above(attacked: pd.DataFrame, oracle: pd.DataFrame, key: tuple[object, ...]) -> str:
    """Return by how much accuracy under ALIE exceeds the oracle's, the worse of both strengths."""
    same = (oracle[SETTING[1:]] == list(key[1:])).all(axis=1)
    best = oracle[same].set_index("seed").accuracy
    alie = attacked[attacked.attack.str.startswith("alie") & attacked.seed.isin(best.index)]
    if not len(alie):
        return "–"
    above = alie.accuracy - alie.seed.map(best)
    return f"{100 * above.groupby(alie.attack).mean().min():+.1f}"


def adaptive_table() -> str:
    """Return one row an attack that knows the rule: whom it finds, and what accuracy is left."""
    cells = frame(Store.existing(ROOT / "results" / "fedredefense-calibrated-adaptive").records())
    cells = cells[cells.status == "done"]
    partitions = sorted(cells.partition.unique())
    names = ("TPR", "FPR", "accuracy", "oracle", "mean")
    head = [f"{_short(partition)}: {names[0]}" for partition in partitions]
    lines = [
        "| attack | " + " | ".join(" | ".join([first, *names[1:]]) for first in head) + " |",
        "|" + "---|" * (1 + len(names) * len(partitions)),
    ]
    for attack, rows in cells.groupby("attack", sort=False):
        values = [str(attack)]
        for partition in partitions:
            here = rows[rows.partition == partition]
            rule = here[here.aggregator.str.startswith("fedredefense")]
            rates = [_plain(rule.tpr, rule.malicious_clients), _plain(rule.fpr, rule.honest_clients)]
            others = (rule, here[here.aggregator == "oracle_mean"], here[here.aggregator == "mean"])
            values += [*rates, *(f"{some.accuracy.mean():.3f}" for some in others)]
        lines.append("| " + " | ".join(values) + " |")
    return "\n".join(lines)


def iterations_table() -> str:
    """Return where ALIE's iterations from fresh data lie beside honest ones, and its class sums."""
    updates = pd.read_csv(PAGE.with_name("fedredefense_iterations.csv"))
    lines = [
        "| data | alpha | update | smallest | quartiles | largest | not in 120 | class sums of its length |",
        "|---|---|---|--:|---|--:|---|---|",
    ]
    shown = updates[updates.who.isin(["honest", "alie", "alie(z=1.5)"])]
    for (data, alpha, who), rows in shown.groupby(["dataset", "alpha", "who"], sort=False):
        counts = rows.iterations.where(rows.iterations > 0, float("inf"))
        quartiles = ", ".join(map(_count, counts.quantile([0.25, 0.5, 0.75], interpolation="lower")))
        sums = f"{rows.class_sums.min():.0e} to {rows.class_sums.max():.0e}"
        never = f"{(rows.iterations == 0).sum()} of {len(rows)}"
        least, most = _count(counts.min()), _count(rows.iterations.max() or float("inf"))
        lines.append(f"| {data} | {alpha:g} | {who} | {least} | {quartiles} | {most} | {never} | {sums} |")
    return "\n".join(lines)


def _count(iterations: float) -> str:
    return f"{iterations:.0f}" if iterations < float("inf") else "–"


def _plain(rates: pd.Series, sizes: pd.Series) -> str:
    total = int(sizes[rates.notna()].sum())
    return f"{round(float((rates * sizes).sum()))}/{total}" if total else "–"


def _rate(rates: pd.Series, sizes: pd.Series) -> str:
    total = int(sizes[rates.notna()].sum())
    if not total:
        return "–"
    hits = round(float((rates * sizes).sum()))
    interval = binomtest(hits, total).proportion_ci(method="exact")
    return f"{hits}/{total} = {hits / total:.3f} [{interval.low:.3f}, {interval.high:.3f}]"


def _short(value: object) -> str:
    text = re.sub(r"^balanced_dirichlet\((alpha=[0-9.]+)\)$", r"\1", str(value))
    text = re.sub(r"^npz\(path=(\w+)\.npz.*\)$", r"\1", text)
    text = re.sub(r"^fedredefense\(preset=(fast|paper-\w+)(, )?(.*)\)$", r"\1 \3", text)
    text = re.sub(r"^fedredefense(\((.*)\))?$", r"calibrated \2", text)
    return text.strip()


def page(text: str) -> str:
    """Return the page's `text` with every marked table made anew."""
    tables = {name: table(folder, by) for name, (folder, by) in TABLES.items()}
    tables |= {name: settings_table(folder, by) for name, (folder, by) in GRIDS.items()}
    tables |= {"adaptive": adaptive_table(), "iterations": iterations_table()}
    return with_made(text, tables, PAGE.name)


if __name__ == "__main__":
    PAGE.write_text(page(PAGE.read_text()))

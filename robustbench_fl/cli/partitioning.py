"""``partition``: how a data set is spread over clients, in numbers and as a figure."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from robustbench_fl.cli.options import (
    GivenPath,
    axis_options,
    complete_method,
    data_dir_option,
    plugin_option,
    typed,
)
from robustbench_fl.cli.output import figure_format, format_option, print_rows, rows_text
from robustbench_fl.cli.saying import say
from robustbench_fl.core.counted import counted
from robustbench_fl.core.errors import UsageError
from robustbench_fl.core.settings import Axes, Settings

if TYPE_CHECKING:
    from robustbench_fl.api import Arrays
    from robustbench_fl.data.spread import Indices
    from robustbench_fl.report.canvas import Format
    from robustbench_fl.sweep.runner.environment import Environment

    Clients = Sequence[Indices]

_SHOWN_CLASSES = 20
"""Most classes that have a column each in the table for people."""

_OF_TRAINING = ("rounds", "local_epochs", "batch_size", "lr", "momentum")
_OF_SANITY = ("model", *_OF_TRAINING)
"""Flags that only training has a use for."""


@click.command()
@click.option(
    "-d", "--dataset", "datasets", multiple=True, default=[Axes.dataset], show_default=True, metavar="SPEC",
    shell_complete=complete_method, help="Data set. May be repeated with --sanity.",
)  # fmt: skip
@click.option(
    "-p", "--partition", "partitions", multiple=True, default=[Axes.partition],
    show_default=True, metavar="SPEC", shell_complete=complete_method,
    help="How it is spread. May be repeated with --sanity.",
)  # fmt: skip
@axis_options("clients", "validation", "root_size")
@click.option(
    "--seed", type=click.IntRange(0), default=0, show_default=True, help="Seed of the world, as in a cell."
)
@click.option(
    "--figure", type=GivenPath(dir_okay=False), metavar="FILE",
    help="Also draw it: a .png or .svg with a bar of classes for each client.",
)  # fmt: skip
@click.option(
    "--sanity", is_flag=True,
    help="Train each client alone, and one model on all data, and print their accuracies as Markdown.",
)  # fmt: skip
@click.option(
    "-m", "--model", default=Axes.model, show_default=True, metavar="SPEC",
    shell_complete=complete_method, help="Network, for --sanity.",
)  # fmt: skip
@axis_options(*_OF_TRAINING, note="For --sanity.")
@plugin_option
@data_dir_option
@format_option
def partition(
    datasets: tuple[str, ...],
    partitions: tuple[str, ...],
    seed: int,
    figure: Path | None,
    sanity: bool,
    model: str,
    plugins: tuple[Path, ...],
    data_dir: Path | None,
    format_: str,
    **given: Any,
) -> None:
    """Show how a data set is spread over clients: sizes, classes, distance from the overall distribution.

    \b
    robustbench-fl partition -d fashion_mnist -p 'dirichlet(alpha=0.1)' --clients 100 --figure split.png
    robustbench-fl partition -p iid -p 'shards(k=2)' --sanity

    Every cell with this data set, partition, number of clients and seed has this split.
    """
    from robustbench_fl.api import registry
    from robustbench_fl.data.locations import default_data_dir
    from robustbench_fl.sweep.runner.environment import Environment

    for path in plugins:
        registry.load_plugin(path)
    environment = Environment(data_dir=data_dir or default_data_dir())
    settings = Settings(**given)
    worlds = [
        (_text("datasets", d, environment), _text("partitions", p)) for d in datasets for p in partitions
    ]
    if sanity:
        if figure:
            raise UsageError("--figure draws one partition, --sanity trains. Give one of them.")
        form = format_ if typed("format_") else "md"
        _print_sanity(worlds, _text("models", model), seed, settings, environment, form)
        return
    if stated := list(filter(typed, _OF_SANITY)):
        raise UsageError(
            f"--{stated[0].replace('_', '-')} is for --sanity, which trains. Add it, or leave it out."
        )
    if len(worlds) != 1:
        raise UsageError("Several data sets or partitions are for --sanity; name one of each.")
    ((dataset, split),) = worlds
    _print_report(dataset, split, seed, settings, environment, figure, format_)


def _text(kind: str, text: str, environment: Environment | None = None) -> str:
    from robustbench_fl.api import build

    method = build.make(kind, text)
    return build.text_of(method if environment is None else method.pinned(environment.data_dir))


def _print_report(
    dataset: str,
    split: str,
    seed: int,
    settings: Settings,
    environment: Environment,
    figure: Path | None,
    format_: str,
) -> None:
    from robustbench_fl.api import build
    from robustbench_fl.core.cell import World
    from robustbench_fl.data.shared import shared
    from robustbench_fl.data.spread import spread

    form: Format = "png" if figure is None else figure_format(figure)
    world = World(dataset, split, seed, settings.clients, settings.root_size, settings.validation)
    arrays = shared(build.make("datasets", dataset), environment.data_dir)
    clients = spread(world, arrays).clients
    summary = _summary(dataset, split, arrays, clients)
    rows = _client_rows(arrays, clients, every_class=format_ in ("csv", "json"))
    if format_ in ("csv", "json"):
        print_rows(rows, format_)
    else:
        say(rows_text([summary], format_) + "\n\n" + rows_text(rows, format_))
    if figure:
        _draw(figure, form, dataset, split, seed, arrays, clients, summary)


def _summary(dataset: str, split: str, arrays: Arrays, clients: Clients) -> dict[str, Any]:
    import numpy as np

    from robustbench_fl.data.heterogeneity import skew_report

    report = skew_report(arrays.train_labels, clients, arrays.n_classes)
    return {
        "dataset": dataset,
        "partition": split,
        "clients": len(report.sizes),
        "min": min(report.sizes),
        "median": float(np.median(report.sizes)),
        "max": max(report.sizes),
        "label_entropy": round(report.label_entropy, 3),
        "total_variation": round(report.total_variation, 3),
    }


def _client_rows(arrays: Arrays, clients: Clients, *, every_class: bool) -> list[dict[str, Any]]:
    from robustbench_fl.data.heterogeneity import client_skew, label_counts

    classes = arrays.n_classes
    counts = label_counts(arrays.train_labels, clients, classes)
    entropy, distance = client_skew(counts)
    shown = range(classes) if every_class or classes <= _SHOWN_CLASSES else ()
    return [
        {
            "client": client,
            "samples": int(row.sum()),
            "classes": int((row > 0).sum()),
            "label_entropy": round(float(entropy[client]), 3),
            "total_variation": round(float(distance[client]), 3),
            **{f"class_{c}" if every_class else str(c): int(row[c]) for c in shown},
        }
        for client, row in enumerate(counts)
    ]


def _draw(
    figure: Path,
    form: Format,
    dataset: str,
    split: str,
    seed: int,
    arrays: Arrays,
    clients: Clients,
    summary: dict[str, Any],
) -> None:
    from robustbench_fl.core.files import write_atomically
    from robustbench_fl.data.heterogeneity import label_counts
    from robustbench_fl.report.canvas import written_as
    from robustbench_fl.report.stacks import class_stacks

    counts = label_counts(arrays.train_labels, clients, arrays.n_classes)
    note = (
        f"{counted(summary['clients'], 'client')}, seed {seed}; "
        f"samples {summary['min']} to {summary['max']}, "
        f"median {summary['median']:g}; label entropy {summary['label_entropy']:.2f} bits, "
        f"mean total variation {summary['total_variation']:.2f}"
    )
    with written_as(form):
        write_atomically(figure, class_stacks(f"{dataset}, {split}", note, counts))
    say(f"\nFigure: {figure}", err=True)


def _print_sanity(
    worlds: list[tuple[str, str]],
    model: str,
    seed: int,
    settings: Settings,
    environment: Environment,
    format_: str,
) -> None:
    from robustbench_fl.sweep.runner.baselines import sanity

    rows = []
    for dataset, split in worlds:
        found = sanity(
            dataset=dataset,
            partition=split,
            model=model,
            seed=seed,
            settings=settings,
            environment=environment,
        )
        report = found.federation.report
        rows.append(
            {
                "dataset": dataset,
                "partition": split,
                "clients": settings.clients,
                "total_variation": round(report.total_variation, 3),
                "alone_%": round(100 * found.alone_mean, 1),
                "alone_min_%": round(100 * min(found.alone), 1),
                "alone_max_%": round(100 * max(found.alone), 1),
                "central_%": round(100 * found.central, 1),
            }
        )
    print_rows(rows, format_)
    if format_ in ("md", "table"):
        epochs = settings.rounds * (settings.local_epochs or 1)
        say(
            f"\nTest accuracy of {model} after {epochs} "
            f"{'pass' if epochs == 1 else 'passes'} over the own data (alone: mean, least and "
            f"most over the clients; central: all clients' data), batch {settings.batch_size}, "
            f"lr {settings.lr:g}, momentum {settings.momentum:g}, seed {seed}."
        )

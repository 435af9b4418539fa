"""The flags that describe a sweep, shared by ``sweep`` and ``plan``."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import click

from robustbench_fl.core.errors import UsageError

if TYPE_CHECKING:
    from robustbench_fl.sweep.config import Sweep

F = TypeVar("F", bound=Callable[..., Any])

_METHODS = {
    "aggregator": ("-a", "Rule, such as krum or 'nnm > median', or a group, such as @all."),
    "attack": ("-t", "Attack, such as none or 'alie(z=1.5)', or a group, such as @untargeted."),
    "partition": ("-p", "How data is spread, such as 'dirichlet(alpha=0.5)'."),
    "dataset": ("-d", "Data set.  [default: digits]"),
    "model": ("-m", "Network.  [default: mlp(hidden=[200])]"),
}
_NUMBERS: dict[str, tuple[str | None, type, str]] = {
    "malicious": ("-f", float, "Share of malicious clients.  [default: 0.3]"),
    "clients": (None, int, "Clients of the federation.  [default: 20]"),
    "rounds": (None, int, "Server rounds.  [default: 20]"),
    "participation": (None, float, "Share of clients in a round.  [default: 1]"),
    "local_epochs": (None, int, "Local passes over the data a round.  [default: 1]"),
    "local_steps": (None, int, "Local SGD steps a round, in place of --local-epochs; 1 is FedSGD."),
    "batch_size": (None, int, "Samples a step.  [default: 32]"),
    "lr": (None, float, "Clients' learning rate.  [default: 0.05]"),
    "momentum": (None, float, "Clients' momentum.  [default: 0]"),
    "weight_decay": (None, float, "Clients' weight decay.  [default: 0]"),
    "proximal_mu": (None, float, "Weight of FedProx's proximal term.  [default: 0]"),
    "server_lr": (None, float, "Factor of the server's step.  [default: 1]"),
    "eval_every": (None, int, "Rounds between evaluations.  [default: 1]"),
    "eval_last": (None, int, "Final figures are means over so many last evaluations.  [default: 5]"),
    "validation": (None, float, "Share of the training data held out for validation.  [default: 0.1]"),
    "root_size": (None, int, "Samples held out for the server's root set.  [default: 100]"),
}
_CHOICES = {
    "lr_schedule": "Clients' learning rate over the rounds: constant, cosine(end=0), linear(end=0) or "
    "step(every=10, factor=0.1).  [default: constant]",
    "server": "What the server makes of the aggregate: sgd, momentum(beta=0.9) or "
    "fedadam(beta1=0.9, beta2=0.99, tau=0.001).  [default: sgd]",
    "augment": "Training images: none or crop_flip(padding=4).  [default: none]",
}


def complete_method(context: click.Context, parameter: click.Parameter, incomplete: str) -> list[str]:
    """Complete the last name of a spec, after commas and '>' too, or of a group."""
    from robustbench_fl.api.groups import groups
    from robustbench_fl.api.registry import PACKAGES, names

    axis = f"{parameter.name}s"
    kinds = [axis] if axis in PACKAGES else list(PACKAGES)
    start = max(incomplete.rfind(mark) for mark in ",> ") + 1
    known = sorted({name for kind in kinds for name in names(kind)})
    known += list(groups(axis)) if axis in PACKAGES else []
    return [incomplete[:start] + name for name in known if name.startswith(incomplete[start:])]


def sweep_options(function: F) -> F:
    """Add the sweep's file argument and one flag for each axis and setting."""
    path = click.Path(path_type=Path)
    options = [
        click.argument("file", required=False, type=path),
        *(_listed(name, short, "SPEC", text) for name, (short, text) in _METHODS.items()),
        _listed("alpha", None, "NUMBER", "Short for -p balanced_dirichlet(alpha=NUMBER)."),
        *(_listed(name, short, "NUMBER", text) for name, (short, _, text) in _NUMBERS.items()),
        *(_listed(name, None, "SPEC", text) for name, text in _CHOICES.items()),
        _listed("assumed_f", None, "MODE", "exact, 0.5x, 2x or none.  [default: exact]"),
        _listed("seeds", None, "SEEDS", "5 (0 to 4), 1000:1020, or 3,7,11.  [default: 0:1]"),
        click.option("--name", help="The sweep's name.  [default: the file's stem, or sweep]"),
        click.option("-o", "--out", type=path, metavar="DIR", help="Folder.  [default: results/NAME]"),
        click.option(
            "--plugin",
            "plugins",
            multiple=True,
            type=path,
            metavar="FILE.py",
            help="Python file that registers further methods.",
        ),
    ]
    for option in reversed(options):
        function = option(function)
    return function


def data_dir_option(function: F) -> F:
    """Add ``--data-dir``, which the environment may give too."""
    decorated: F = click.option(
        "--data-dir",
        type=click.Path(path_type=Path),
        envvar="ROBUSTBENCH_FL_DATA",
        metavar="DIR",
        help="Where data sets lie.  [default: $ROBUSTBENCH_FL_DATA, else the user's data directory]",
    )(function)
    return decorated


def sweep_of(file: Path | None, flags: dict[str, Any]) -> Sweep:
    """Return the sweep that a file and flags describe."""
    from robustbench_fl.sweep.config import make_sweep, read_sweep

    table = read_sweep(file) if file else {}
    return make_sweep(table, _overrides(flags), file.name if file else "the flags")


def _listed(name: str, short: str | None, metavar: str, text: str) -> Callable[[F], F]:
    flags = [f"--{name.replace('_', '-')}", *([short] if short else [])]
    complete = complete_method if name in _METHODS else None
    return click.option(*flags, name, multiple=True, metavar=metavar, help=text, shell_complete=complete)


def _overrides(flags: dict[str, Any]) -> dict[str, Any]:
    given: dict[str, Any] = {"name": flags["name"]} if flags.get("name") else {}
    for name in (*_METHODS, *_CHOICES):
        if flags[name]:
            given[name] = list(flags[name])
    if flags["alpha"]:
        if flags["partition"]:
            raise UsageError(
                "--alpha is short for a balanced_dirichlet partition; give --alpha or --partition, not both."
            )
        given["partition"] = [f"balanced_dirichlet(alpha={item})" for item in _items(flags["alpha"])]
    for name, (_, kind, _) in _NUMBERS.items():
        if flags[name]:
            given[name] = [_number(item, kind, name) for item in _items(flags[name])]
    if flags["assumed_f"]:
        given["assumed_f"] = _items(flags["assumed_f"])
    if flags["seeds"]:
        given["seeds"] = ",".join(flags["seeds"])
    return given


def _items(values: tuple[str, ...]) -> list[str]:
    return [item.strip() for value in values for item in value.split(",")]


def _number(text: str, kind: type, name: str) -> Any:
    try:
        return kind(text)
    except ValueError:
        wanted = "a whole number" if kind is int else "a number"
        raise UsageError(f"--{name.replace('_', '-')} must be {wanted}, got {text!r}.") from None

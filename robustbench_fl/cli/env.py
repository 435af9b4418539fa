"""``env`` and ``--version``: what this installation is and runs on."""

from __future__ import annotations

import sys
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

import click

from robustbench_fl.cli.output import format_option, print_rows

_REQUIRED = ("torch", "torchvision", "numpy", "pandas", "scikit-learn", "scipy", "matplotlib", "click")
_EXTRAS = {
    **{name: name for name in ("ray", "tensorboard", "wandb", "mlflow")},
    **{"scikit-posthocs": "stats", "selenium": "browser"},
}
"""Packages of the extras, and the extra that installs each."""


def version_text() -> str:
    """Return one line with the version and what it runs on, for ``--version``."""
    from robustbench_fl.core.provenance import provenance

    about = provenance()
    commit = f"commit {about['commit']}{', changed' if about['dirty'] else ''}, " if about["commit"] else ""
    where = f"{about['hardware']['system']} {about['hardware']['machine']}"
    found = about["versions"]
    return f"{commit}Python {found['python']}, torch {found['torch']}, numpy {found['numpy']}, {where}"


def environment_rows() -> list[dict[str, Any]]:
    """Return what decides numbers and speed here, one thing a row."""
    from robustbench_fl.core.provenance import provenance
    from robustbench_fl.core.version import __version__
    from robustbench_fl.data.locations import cache_dir, default_data_dir
    from robustbench_fl.sweep.runner.cores import available_cores

    about = provenance()
    facts = {
        "robustbench-fl": __version__,
        "commit": about["commit"],
        "changed since": about["dirty"],
        "python": about["versions"]["python"],
        **{name: _version(name) for name in _REQUIRED},
        **{
            name: _version(name) or f"not installed (pip install 'robustbench-fl[{extra}]')"
            for name, extra in _EXTRAS.items()
        },
        "system": f"{about['hardware']['system']} {about['hardware']['machine']}",
        "processor": about["hardware"]["processor"],
        "workers with -j auto": available_cores(),
        "gpu": ", ".join(_gpus()) or "none",
        "data directory": str(default_data_dir()),
        "cache directory": str(cache_dir()),
    }
    return [{"what": name, "value": value} for name, value in facts.items()]


@click.command()
@format_option
def env(format_: str) -> None:
    """Show versions, hardware and folders, for reports of problems."""
    print_rows(environment_rows(), format_)


def _gpus() -> list[str]:
    """Return the names of the GPUs; torch, which knows them, is imported where there may be one."""
    nodes = [path for name in ("nvidia[0-9]*", "dxg", "kfd") for path in Path("/dev").glob(name)]
    if sys.platform == "darwin" or (sys.platform == "linux" and not nodes):
        return []
    import torch

    return [torch.cuda.get_device_name(i) for i in range(torch.cuda.device_count())]


def _version(name: str) -> str | None:
    try:
        return version(name)
    except PackageNotFoundError:
        return None

"""What a run needs beside its cells: folders, device, engine. Nothing here imports torch by itself."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from robustbench_fl.core.errors import UsageError

if TYPE_CHECKING:
    from robustbench_fl.engine.training import Engine

Device = Literal["cpu", "cuda"]


@dataclass(frozen=True, kw_only=True)
class Environment:
    """What a run needs that does not change its numbers.

    Parameters
    ----------
    data_dir : Path
        Where data sets look for their files.
    download : bool
        Whether missing files may be fetched.
    engine : {"auto", "stacked", "loop"}
        How clients are trained.
    device : {"cpu", "cuda"}
        Where tensors live.
    plugins : tuple of Path
        Python files whose methods are registered first.
    folder : Path, optional
        The sweep's folder, for checkpoints of long cells; without one there are none.
    suite : tuple of (str, str or int), optional
        What the provenance of cells says of the suite that they are run for
        (:meth:`robustbench_fl.sweep.suites.Suite.mark`).
    updates_in : Path, optional
        A folder for files with a round's updates, which else are in memory.

    Raises
    ------
    UsageError
        If updates are to lie in files and on a GPU.
    """

    data_dir: Path
    download: bool = False
    engine: Engine = "auto"
    device: Device = "cpu"
    plugins: tuple[Path, ...] = ()
    folder: Path | None = None
    suite: tuple[tuple[str, str | int], ...] | None = None
    updates_in: Path | None = None

    def __post_init__(self) -> None:
        if self.updates_in is not None and self.device == "cuda":
            raise UsageError("--updates-in keeps updates in files, not on a GPU: give --device cpu too.")


def chosen_device(wanted: Literal["auto", "cpu", "cuda"]) -> Device:
    """Return where to compute: with ``auto`` on a GPU if there is one. Imports torch to find out.

    Raises
    ------
    UsageError
        If a GPU is asked for and PyTorch finds none.
    """
    import torch

    if wanted == "auto":
        return "cuda" if torch.cuda.is_available() else "cpu"
    if wanted == "cuda" and not torch.cuda.is_available():
        raise UsageError("--device cuda: PyTorch finds no GPU on this machine. Use --device cpu or auto.")
    return wanted

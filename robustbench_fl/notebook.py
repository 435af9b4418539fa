"""The Python interface: aggregate a matrix, run one cell, load a sweep's results."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar, cast

from robustbench_fl.data.locations import default_data_dir

if TYPE_CHECKING:
    import pandas as pd
    import torch
    from numpy.typing import NDArray

    from robustbench_fl.api import LayerShapes
    from robustbench_fl.core.record import CellRecord

    Matrix = TypeVar("Matrix", torch.Tensor, NDArray[Any])


def aggregate(
    rule: str,
    updates: Matrix | str | Path,
    *,
    f: int | None = None,
    seed: int = 0,
    layer_shapes: LayerShapes = (),
    threads: int | None = None,
) -> Matrix:
    """Aggregate one round of updates with a rule that needs nothing else and remembers nothing.

    For all others, and for more than one round, there is :class:`~robustbench_fl.Server`.

    Parameters
    ----------
    rule : str
        For example ``"nnm > krum"`` or ``"trimmed_mean(trim=0.1)"``.
    updates : Tensor or array [n, d], or path
        One row a client; rows with NaN or Inf are dropped first. A path names a ``.npy`` file that holds
        such a float32 matrix. It may be larger than the memory: rules read it in blocks of columns.
    f : int, optional
        How many clients are assumed malicious, for rules that need it.
    seed : int
        Of the rule's random stream.
    layer_shapes : tuple of (str, tuple of int)
        Names and shapes of the parameter tensors in the order in which a row holds them, for rules that
        look at each: ``(("fc.weight", (10, 64)), ("fc.bias", (10,)))``.
    threads : int, optional
        Threads that the rule may use, as for :class:`~robustbench_fl.Server`.

    Returns
    -------
    Tensor or array [d]
        The aggregate, of the kind and type of `updates`; a float32 array for a file.

    Raises
    ------
    UsageError
        If the rule does not exist, needs more than this, has a memory, or `updates` is no matrix.
    InfeasibleError
        If the rule cannot work with so many rows and this f.

    Examples
    --------
    >>> import numpy as np
    >>> aggregate("median", np.array([[0.0], [1.0], [9.0]]))
    array([1.])
    """
    from robustbench_fl.integrations.once import aggregate_once

    outcome = aggregate_once(rule, updates, f=f, seed=seed, layer_shapes=layer_shapes, threads=threads)
    return cast("Matrix", outcome.aggregate)


@dataclass(frozen=True)
class CellResult:
    """The outcome of one cell.

    Parameters
    ----------
    record : CellRecord
        Everything that a sweep would store of it.
    """

    record: CellRecord

    def __repr__(self) -> str:
        """Return five lines: key, world, rule and attack, figures, costs."""
        record, metrics, costs = self.record, self.metrics, self.record.costs
        labels, cell = record.labels.model_dump(), record.cell
        found = [f"{name.replace('_', ' ')} {100 * metrics[name]:.1f} %" for name in _HEADLINES
                 if metrics.get(name) is not None]  # fmt: skip
        world = ", ".join(labels[name] for name in ("dataset", "partition", "model"))
        seconds = costs.model_dump() if costs else {}
        spent = sum(value for name, value in seconds.items() if name.endswith("_seconds") and value)
        return "\n".join(
            [
                f"CellResult {self.key}, {self.status}",
                f"  world   {world}, seed {cell['seed']}",
                f"  rule    {labels['aggregator']} under {labels['attack']}, "
                f"{100 * cell['malicious']:.3g} % of {cell['clients']} clients malicious",
                f"  result  {', '.join(found) or record.reason or 'none'}",
                f"  cost    {cell['rounds']} rounds in {spent:.1f} s",
            ]
        )

    @property
    def key(self) -> str:
        """The cell's key."""
        return self.record.key

    @property
    def status(self) -> str:
        """``done``, ``diverged``, ``infeasible`` or why there is no result."""
        return self.record.status

    @property
    def accuracy(self) -> float | None:
        """Final test accuracy, mean of the last evaluations."""
        return self.record.metrics.accuracy if self.record.metrics else None

    @property
    def metrics(self) -> dict[str, Any]:
        """All final figures."""
        return self.record.metrics.model_dump() if self.record.metrics else {}

    @property
    def curves(self) -> dict[str, list[Any]]:
        """Figures at every evaluation."""
        return self.record.curves.model_dump() if self.record.curves else {}


def run_cell(
    *,
    aggregator: str,
    attack: str = "none",
    dataset: str = "digits",
    model: str = "mlp(hidden=[200])",
    partition: str = "balanced_dirichlet(alpha=0.1)",
    malicious: float = 0.3,
    assumed_f: str = "exact",
    seed: int = 0,
    data_dir: str | Path | None = None,
    **settings: Any,
) -> CellResult:
    """Simulate one cell in this process.

    Parameters
    ----------
    aggregator, attack, dataset, model, partition : str
        Methods in the spec language.
    malicious : float
        Share of malicious clients, in [0, 1).
    assumed_f : {"exact", "0.5x", "2x", "none"}
        What the server believes of it.
    seed : int
        Of the cell's world.
    data_dir : path, optional
        Where data sets look for their files; default ``$ROBUSTBENCH_FL_DATA`` or the user's
        data directory.
    **settings
        Fields of :class:`~robustbench_fl.core.settings.Settings`: ``clients``, ``rounds``, ``lr`` …

    Returns
    -------
    CellResult
        The same numbers as the same cell of a sweep.

    Raises
    ------
    UsageError
        On unknown methods, parameters or settings.
    RuntimeError
        If the cell fails, with the reason.
    """
    from robustbench_fl.sweep.config import make_sweep
    from robustbench_fl.sweep.expand import canonical, expand
    from robustbench_fl.sweep.runner.environment import Environment
    from robustbench_fl.sweep.runner.execute import execute

    point = {
        "aggregator": aggregator, "attack": attack, "dataset": dataset, "model": model,
        "partition": partition,
        "malicious": malicious, "assumed_f": assumed_f, "seeds": [seed], **settings,
    }  # fmt: skip
    place = Path(data_dir) if data_dir else default_data_dir()
    plan = expand(canonical(make_sweep({}, point, "run_cell"), data_dir=place))
    if len(plan) != 1:
        raise ValueError(f"run_cell runs one cell; these values describe {len(plan)}. Use a sweep.")
    record = execute(plan[0], Environment(data_dir=place))
    if record.status in ("failed", "oom"):
        raise RuntimeError(f"{record.reason}\n{record.traceback or ''}")
    return CellResult(record)


_HEADLINES = ("accuracy", "attack_success", "tpr", "fpr")


def load_results(folder: str | Path, curves: bool = False) -> pd.DataFrame:
    """Return a sweep's results, one row a planned cell.

    Parameters
    ----------
    folder : path
        What ``sweep --out`` wrote, packed or not.
    curves : bool, optional
        One row an evaluated round instead: the cell's settings, then ``round``, ``accuracy`` and
        ``attack_success`` of that round. Cells without a curve have none.

    Raises
    ------
    UsageError
        If the folder holds no sweep.
    """
    from robustbench_fl.analysis.curves import curves as over_rounds
    from robustbench_fl.analysis.frame import COLUMNS, IDENTITY, frame
    from robustbench_fl.sweep.replan import existing

    records = existing(Path(folder)).records()
    table = frame(records)
    if not curves:
        return table
    settings = [
        name for name in table if name in IDENTITY or (name not in COLUMNS and not name.startswith("_"))
    ]
    return table[settings].merge(over_rounds(records), on="key")

"""FLANDERS (Gabrielli et al., 2023)."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Annotated, ClassVar

import numpy as np
import torch
from annotated_types import Ge, Gt
from numpy.typing import NDArray

from robustbench_fl.aggregators._inner import asked_about, check_inner, inner_rule
from robustbench_fl.api import Aggregation, Aggregator, Need, ServerSpec, ServerView, State, register

if TYPE_CHECKING:
    from torch import Tensor

_AT_REST = 1e-6
"""The fit stops once its forecast changes by less than this share."""

Floats = NDArray[np.float64]


@dataclass(frozen=True, kw_only=True)
class Series(State):
    """What FLANDERS remembers.

    Parameters
    ----------
    columns : int64 Tensor [s], optional
        The parameters that are looked at.
    models : dict of int to Tensor [t, s]
        The last models of each client in these parameters, the newest last.
    """

    columns: Tensor | None = None
    models: dict[int, Tensor] = field(default_factory=dict)


def forecast(series: Floats, *, alpha: float = 0.1, beta: float = 0.1, iterations: int = 100) -> Floats:
    """Return the next matrix of a series by a matrix autoregressive model of order one.

    Parameters
    ----------
    series : float array [t, m, s]
        Matrices X_1 … X_t.
    alpha, beta : float
        Ridge penalties of A and B.
    iterations : int
        Alternations at most.

    Returns
    -------
    float array [m, s]
        ``A X_t Bᵀ`` with A and B that make ``Σ ‖X_i − A X_{i−1} Bᵀ‖²`` and the penalties small, found by
        least squares for one and the other in turn, from B the identity. With a single matrix that matrix.

    Notes
    -----
    ``B = Yᵀ (Z Zᵀ + β I)⁻¹ Z`` with Z the matrices A X_{i−1} one below the other and Y the X_i, so that
    nothing of the size s × s is inverted.
    """
    before, after = series[:-1], series[1:]
    last: Floats = series[-1]
    if not len(before):
        return last
    t, m, s = before.shape
    b = np.eye(s)
    found: Floats = last
    for _ in range(iterations):
        moved = before @ b.T
        a = np.linalg.solve(
            np.einsum("tij,tkj->ik", moved, moved) + alpha * np.eye(m),
            np.einsum("tij,tkj->ik", moved, after),
        ).T
        z, y = (a @ before).reshape(t * m, s), after.reshape(t * m, s)
        b = y.T @ np.linalg.solve(z @ z.T + beta * np.eye(t * m), z)
        previous, found = found, a @ last @ b.T
        if np.abs(found - previous).max() <= _AT_REST * np.abs(found).max():
            break
    return found


@register("flanders", paper="Gabrielli 2023", year=2023, cost="n²s·window, s sampled parameters")
@dataclass(frozen=True, kw_only=True)
class Flanders(Aggregator):
    """Keep the clients whose models are what the last rounds' models let expect.

    The clients' models of the last rounds, in a random sample of the parameters, are a series of matrices
    with one row a client. A matrix autoregressive model is fitted to it and forecasts this round's; a
    client's score is the distance of its model from the forecast. The f highest are left out.

    Parameters
    ----------
    sampling : int
        Parameters looked at, the same in all rounds; all, if there are no more.
    window : int
        Rounds that the model is fitted to.
    alpha, beta : float
        Ridge penalties of the model's two matrices.
    iterations : int
        Alternations of the fit at most.
    inner : str
        What aggregates those who are left: the mean in the paper, any rule without a memory that needs
        neither model nor root data.

    Notes
    -----
    Made for full participation. A client that was never there before is not judged and not left out;
    the fit goes as far back as all who are judged reach. In the first round nobody is judged. Selecting is
    not accusing: f are left out in any case, and scores are reported. Time
    O(iterations · window · n² s), extra memory the sample.

    Faithfulness
    ------------
    Release: ``github.com/edogab33/flanders`` at 0c4ae42 (``strategy/flanders_global.py``), the authors'.
    Compared: formulas, line by line; the fit with dense least squares, numbers, in the tests.
    Difference: 1e-6 of the largest entry from the dense form.
    On purpose: the fit starts from the identity, where the release draws A and B; it begins with the second
        matrix, where the release also fits the first to the last; and values are divided by the largest
        for fit and forecast alike, where the release shifts them for the fit alone. `window` and the number
        kept, n − f, are this project's; penalties are the release's.

    References
    ----------
    .. [1] E. Gabrielli, D. Belli, Z. Matrullo, V. Miori and G. Tolomei, "Protecting Federated Learning from
       Extreme Model Poisoning Attacks via Multidimensional Time Series Anomaly Detection",
       arXiv 2303.16668, 2023.
    """

    sampling: Annotated[int, Ge(1)] = 500
    window: Annotated[int, Ge(1)] = 10
    alpha: Annotated[float, Gt(0)] = 0.1
    beta: Annotated[float, Gt(0)] = 0.1
    iterations: Annotated[int, Ge(1)] = 100
    inner: str = "mean"

    robust: ClassVar[bool] = False

    def __post_init__(self) -> None:
        """Refuse an inner rule that cannot be asked about those who are left."""
        check_inner(self.inner)

    @property
    def needs(self) -> frozenset[Need]:
        """The assumed f, the parameters, who sent which row, a memory, and what the inner rule needs."""
        own = frozenset({Need.F, Need.MODEL, Need.CLIENT_IDS, Need.HISTORY})
        return own | inner_rule(self.inner, "inner").needs

    def infeasible(self, n_clients: int, f: int) -> str | None:
        """Somebody must be left, and the inner rule able to work with all."""
        if f >= n_clients:
            return f"it keeps n - f clients; n = {n_clients}, f = {f} leaves none"
        reason = inner_rule(self.inner, "inner").infeasible(n_clients, f)
        return reason and f"{self.inner}: {reason}"

    def init_state(self, spec: ServerSpec) -> Series:
        """Start without a past."""
        return Series()

    def aggregate(self, updates: Tensor, view: ServerView, state: Series) -> tuple[Aggregation, Series]:
        """Return what the inner rule makes of the clients nearest to the forecast."""
        columns = state.columns
        if columns is None:
            d = updates.shape[1]
            drawn = np.sort(view.rng.choice(d, min(self.sampling, d), replace=False))
            columns = torch.from_numpy(drawn).to(updates.device)
        rows = updates[:, columns] + view.params[columns]
        scores = self._scores(rows, view.client_ids, state.models)
        kept = torch.ones(len(updates), dtype=torch.bool, device=updates.device)
        if bool(scores.any()):
            kept[scores.argsort(descending=True, stable=True)[: view.f]] = False
            # Where fewer than f are judged, the others' scores of 0 are no reason.
            kept |= torch.tensor([c not in state.models for c in view.client_ids], device=kept.device)
        outcome = asked_about(self.inner, updates, kept, view)
        models = state.models | {
            client: torch.cat([*self._past(state, client), row[None]])[-self.window :]
            for client, row in zip(view.client_ids, rows, strict=True)
        }
        found = Aggregation(outcome.aggregate, outcome.weights, outcome.selected, scores=scores)
        return found, Series(columns=columns, models=models)

    def _past(self, state: Series, client: int) -> list[Tensor]:
        return [state.models[client]] if client in state.models else []

    def _scores(self, rows: Tensor, clients: tuple[int, ...], models: dict[int, Tensor]) -> Tensor:
        """Return each client's distance from the forecast, 0 for those without a past."""
        scores = torch.zeros(len(rows), dtype=torch.float64, device=rows.device)
        # In the order of the clients, so that the order of the rows does not matter.
        judged = sorted((i for i, client in enumerate(clients) if client in models), key=lambda i: clients[i])
        if not judged:
            return scores
        reach = min(len(models[clients[i]]) for i in judged)
        past = torch.stack([models[clients[i]][-reach:] for i in judged], 1).double().cpu().numpy()
        scale = float(np.abs(past).max()) or 1.0
        expected = scale * forecast(
            past / scale, alpha=self.alpha, beta=self.beta, iterations=self.iterations
        )
        distances = rows[judged].double() - torch.from_numpy(expected).to(rows.device)
        scores[judged] = torch.linalg.vector_norm(distances, dim=1)
        return scores

"""What the clients of a round sent, as rows of numbers; what does not fit is no reason to stop."""

from __future__ import annotations

import warnings
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from robustbench_fl.api import UsageError
from robustbench_fl.integrations.forms import Buffers, Layout, as_tensor, middle


@dataclass(frozen=True, kw_only=True)
class Gathered:
    """One round's rows.

    Parameters
    ----------
    rows : float32 Tensor [n, d]
        One a client; NaN of those whose tensors do not fit.
    buffers : list of n mappings
        Each client's buffers; empty of those.
    """

    rows: Tensor
    buffers: Sequence[Buffers]

    def middles(self, layout: Layout, apart: NDArray[np.bool_]) -> dict[str, Tensor]:
        """Return the coordinate-wise median of each buffer over the clients that are not `apart` [n]."""
        used = [sent for sent, out in zip(self.buffers, apart, strict=True) if sent and not out]
        if not used:
            return {}
        return {name: middle([sent[name] for sent in used], layout.dtypes[name]) for name in layout.buffers}


def matrix(updates: Any, n_params: int | None, device: str) -> Gathered:
    """Return the rows of a matrix.

    Raises
    ------
    UsageError
        If it is none, or has other columns than `n_params`.
    """
    rows = as_tensor(updates)
    if rows.ndim != 2 or not rows.is_floating_point() or not rows.numel():
        raise UsageError(
            "updates must be a floating-point matrix [n, d] with n >= 1, "
            f"got shape {tuple(rows.shape)} of {rows.dtype}."
        )
    if n_params is not None and rows.shape[1] != n_params:
        raise UsageError(f"The rows have {rows.shape[1]} numbers; the network has {n_params} parameters.")
    return Gathered(rows=rows.detach().to(device, torch.float32), buffers=[{}] * len(rows))


def one_by_one(clients: Sequence[Any], layout: Layout, device: str, *, strict: bool) -> Gathered:
    """Return the rows of networks that came one by one.

    Parameters
    ----------
    clients : sequence of n networks
        Modules, state dicts, lists of arrays or flat arrays.
    layout : Layout
        What they must consist of.
    device : str
        Where the rows go.
    strict : bool
        Whether one that does not fit is an error. Else its row is NaN, and a warning says why.

    Raises
    ------
    UsageError
        If there are none, or none fits.
    """
    if not len(clients):
        raise UsageError("There is no client to aggregate.")
    rows = torch.full((len(clients), layout.n_params), torch.nan, device=device)
    buffers: list[Buffers] = []
    reasons = []
    for place, client in enumerate(clients):
        try:
            row, own = layout.read(client)
        except UsageError as error:
            reasons.append(f"What client {place} of the round sent does not fit: {error}")
            buffers.append({})
            continue
        buffers.append({name: value.to(device) for name, value in own.items()})
        if _all_finite(own.values()):
            rows[place] = row.to(device)
    if reasons and (strict or len(reasons) == len(clients)):
        raise UsageError(reasons[0])
    for reason in reasons:
        warnings.warn(f"{reason} It is dropped.", stacklevel=4)
    return Gathered(rows=rows, buffers=buffers)


def counts_of(sample_counts: Any, rows: Tensor) -> tuple[Tensor | None, NDArray[np.bool_] | None]:
    """Return the counts as float32 [n], 0 for those that are no numbers that can be, and whose those are [n].

    Raises
    ------
    UsageError
        If there is not one count a row.
    """
    if sample_counts is None:
        return None, None
    try:
        counts = torch.as_tensor(sample_counts, dtype=torch.float32, device=rows.device)
    except (TypeError, ValueError, OverflowError, RuntimeError) as error:
        raise UsageError(f"sample_counts are no numbers: {error}") from None
    if counts.shape != (len(rows),):
        raise UsageError(
            f"There are {len(rows)} rows and sample_counts {list(counts.shape)}; give one a row."
        )
    wrong = ~torch.isfinite(counts) | (counts < 0)
    return torch.where(wrong, 0.0, counts), wrong.cpu().numpy() if bool(wrong.any()) else None


def _all_finite(tensors: Iterable[Tensor]) -> bool:
    rounded = (t for t in tensors if t.dtype.is_floating_point or t.is_complex())
    return all(bool(t.to(torch.complex128).isfinite().all()) for t in rounded)

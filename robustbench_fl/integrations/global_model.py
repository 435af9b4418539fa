"""The global model of a server: parameters as one vector, buffers, and the form in which they come and go."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor, nn

from robustbench_fl.api import UsageError
from robustbench_fl.integrations.forms import Buffers, Layout
from robustbench_fl.integrations.gathered import Gathered, one_by_one


class GlobalModel:
    """What the clients of a round start from, as far as the server knows it.

    Parameters
    ----------
    module : torch.nn.Module, optional
        Says which tensors are parameters.
    buffer_names : sequence of str
        Further tensors that are none.
    device : str
        Where they are kept.

    Attributes
    ----------
    layout : Layout or None
        What the model consists of; learned from the first tensors that come.
    vector : float32 Tensor [d] or None
        The parameters; ``None`` where nobody gave them.
    buffers : mapping of str to Tensor
        The buffers.
    buffer_names : tuple of str
        As given.
    """

    def __init__(self, module: nn.Module | None, buffer_names: Sequence[str], device: str) -> None:
        self._module, self.buffer_names, self._device = module, tuple(buffer_names), device
        self.layout: Layout | None = None
        self.vector: Tensor | None = None
        self.buffers: Buffers = {}

    @property
    def n_params(self) -> int | None:
        """Length of the vector, where it is known."""
        return None if self.vector is None else len(self.vector)

    def given(self) -> Any:
        """Return the model in the form in which it was given; ``None`` if it was not."""
        if self.vector is None or self.layout is None:
            return None
        return self.layout.written(self.vector, self.buffers)

    def place(self, params: Any) -> None:
        """Take `params`, in any form, for the model."""
        self.layout = self.layout or self._layout_of(params)
        vector, buffers = self.layout.read(params)
        self.vector = vector.to(self._device)
        self.buffers = {name: value.to(self._device, copy=True) for name, value in buffers.items()}

    def gather(self, clients: Any) -> tuple[Layout, Gathered]:
        """Return the rows of `clients`, one network each; those that do not fit a known model are dropped."""
        if isinstance(clients, Mapping | nn.Module | str) or not isinstance(clients, Sequence):
            raise UsageError(
                "Give a matrix [n, d], or a list with one state dict, list of arrays or flat array a client; "
                f"got a {type(clients).__name__}."
            )
        if self.layout is None and not clients:
            raise UsageError("There is no client to aggregate.")
        layout = self.layout or self._layout_of(clients[0])
        gathered = one_by_one(clients, layout, self._device, strict=self.layout is None)
        self.layout = layout  # of which every client was, where nobody said it before
        return layout, gathered

    def step(self, step: Tensor) -> None:
        """Add `step` [d] to the parameters, where they are known."""
        if self.vector is not None and self.layout is not None:
            self.vector = self.layout.rounded(self.vector + step)

    def set_buffers(self, values: Buffers) -> None:
        """Put new values in the place of those named."""
        self.buffers = {**self.buffers, **values}

    def add_to_buffers(self, changes: Buffers) -> None:
        """Add what clients say their buffers changed by."""
        self.set_buffers(
            {name: self.buffers[name] + c for name, c in changes.items() if name in self.buffers}
        )

    def step_written(self, step: Tensor, changes: Buffers) -> Any:
        """Return `step` [d] and the `changes` of buffers in the form of one client's update."""
        assert self.layout is not None
        still = {name: torch.zeros(self.layout.shapes[name]) for name in self.layout.buffers}
        return self.layout.written(step, {**still, **changes})

    def _layout_of(self, value: Any) -> Layout:
        return Layout.of(value, self._module, self.buffer_names)

"""What a rule or an attack remembers from one round to the next."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Self

import torch

if TYPE_CHECKING:
    from torch import Tensor

_NUMBERS = (bool, int, float)
"""A bool is an int too, so it comes first."""


@dataclasses.dataclass(frozen=True, kw_only=True)
class State:
    """Base of all states: a frozen dataclass of tensors, numbers, ``None``, states and dicts.

    Dicts are keyed by client id and hold tensors or numbers. A state is never changed; a round
    returns a new one (``dataclasses.replace``). :meth:`to_tensors` and :meth:`from_tensors`
    carry it through a checkpoint without pickle.
    """

    def to_tensors(self) -> dict[str, Tensor]:
        """Return the state as a flat mapping from names to tensors."""
        flat: dict[str, Tensor] = {}
        for field in dataclasses.fields(self):
            _encode(field.name, getattr(self, field.name), flat)
        return flat

    def from_tensors(self, tensors: Mapping[str, Tensor]) -> Self:
        """Return the state saved in `tensors`.

        Parameters
        ----------
        tensors : mapping of str to Tensor
            What :meth:`to_tensors` gave.

        Returns
        -------
        State
            Of the same class as ``self``, which is a freshly initialised state of the same
            rule and only lends its structure.
        """
        values = {
            field.name: _decode(field.name, getattr(self, field.name), tensors)
            for field in dataclasses.fields(self)
        }
        return dataclasses.replace(self, **values)


@dataclasses.dataclass(frozen=True, kw_only=True)
class StageStates(State):
    """The states of a pipeline, one for each stage, ``None`` for those without."""

    stages: tuple[State | None, ...]


def _encode(name: str, value: Any, flat: dict[str, Tensor]) -> None:
    if value is None:
        flat[f"{name}:none"] = torch.empty(0)
    elif isinstance(value, torch.Tensor):
        flat[name] = value
    elif isinstance(value, bool | int | float):
        kind = next(kind for kind in _NUMBERS if isinstance(value, kind))
        flat[f"{name}:{kind.__name__}"] = torch.tensor(
            value, dtype=torch.float64 if kind is float else torch.int64
        )
    elif isinstance(value, dict):
        if not all(type(key) is int for key in value):
            raise TypeError(f"State field {name!r} is a dict with keys that are no client ids (int).")
        flat[f"{name}:dict"] = torch.tensor(list(value), dtype=torch.int64)
        for client, item in value.items():
            if isinstance(item, State):
                raise TypeError(f"State field {name!r} is a dict of states; it may hold tensors and numbers.")
            _encode(f"{name}/{client}", item, flat)
    elif isinstance(value, tuple):
        flat[f"{name}:tuple"] = torch.tensor(len(value))
        for index, item in enumerate(value):
            _encode(f"{name}/{index}", item, flat)
    elif isinstance(value, State):
        flat[f"{name}:state"] = torch.empty(0)
        for key, tensor in value.to_tensors().items():
            flat[f"{name}.{key}"] = tensor
    else:
        raise TypeError(
            f"State field {name!r} holds a {type(value).__name__}, which no checkpoint can carry."
        )


def _decode(name: str, template: Any, flat: Mapping[str, Tensor]) -> Any:
    if name in flat:
        return flat[name]
    if f"{name}:none" in flat:
        return None
    for kind in _NUMBERS:
        if f"{name}:{kind.__name__}" in flat:
            return kind(flat[f"{name}:{kind.__name__}"].item())
    if f"{name}:dict" in flat:
        return {int(c): _decode(f"{name}/{int(c)}", None, flat) for c in flat[f"{name}:dict"].tolist()}
    if f"{name}:tuple" in flat:
        count = int(flat[f"{name}:tuple"])
        items = template if isinstance(template, tuple) and len(template) == count else (None,) * count
        return tuple(_decode(f"{name}/{i}", items[i], flat) for i in range(count))
    if f"{name}:state" in flat and isinstance(template, State):
        prefix = f"{name}."
        return template.from_tensors({k[len(prefix) :]: v for k, v in flat.items() if k.startswith(prefix)})
    raise KeyError(f"The checkpoint holds no value for state field {name!r}.")

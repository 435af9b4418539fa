"""The forms in which networks travel, and the rows of numbers that rules work on.

A network comes as a module, a state dict, a list of arrays or a flat vector. Its parameters are laid end
to end in the order in which the module holds them, as everywhere in this package. What it keeps beside
them, its buffers (running means, counters), is no update and no rule sees it.
"""

from __future__ import annotations

import math
import warnings
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from robustbench_fl.api import LayerShapes, UsageError

BUFFERS = ("running_mean", "running_var", "num_batches_tracked")
"""How names of buffers end, where no module says which they are: those of PyTorch's normalisations."""

_HALVES = (torch.real, torch.imag)
Form = Literal["vector", "list", "mapping"]
Buffers = Mapping[str, Tensor]


@dataclass(frozen=True, kw_only=True)
class Layout:
    """Which tensors a network consists of, and the form in which they come and go.

    Parameters
    ----------
    form : {"vector", "list", "mapping"}
        One flat array, a list of arrays, or arrays by name.
    numpy : bool
        Whether they are NumPy arrays, not tensors.
    shapes : mapping of str to tuple of int
        Of all tensors, in the order in which they come.
    dtypes : mapping of str to torch.dtype
        Of all tensors.
    parameters : tuple of str
        Those that are learned, in flattening order.
    buffers : tuple of str
        The others.
    aliases : mapping of str to str
        Further names of parameters that a module uses in several places.
    """

    form: Form
    numpy: bool
    shapes: Mapping[str, tuple[int, ...]]
    dtypes: Mapping[str, torch.dtype]
    parameters: tuple[str, ...]
    buffers: tuple[str, ...] = ()
    aliases: Mapping[str, str]

    @classmethod
    def of(cls, value: Any, module: nn.Module | None = None, buffers: Iterable[str] = ()) -> Layout:
        """Return the layout of `value`.

        Parameters
        ----------
        value : module, mapping, sequence of arrays, or array [d]
            A network's tensors.
        module : torch.nn.Module, optional
            Says which of them are parameters, and how those of a list are called. Without one, integers
            and names that end as in :data:`BUFFERS` are buffers.
        buffers : iterable of str
            Further names that are buffers; those of a list are ``"0"``, ``"1"`` …

        Raises
        ------
        UsageError
            If `value` is nothing of the kind, or is not of `module`.
        """
        module = value if isinstance(value, nn.Module) else module
        form, numpy = _form(value)
        named = _named(value, module)
        known = dict(module.named_parameters()) if module is not None else {}
        extra = set(buffers)
        if unknown := extra - set(named):
            raise UsageError(f"The network has no tensors called {', '.join(sorted(unknown))}.")
        aliases = _aliases(module)
        if form == "vector":
            parameters: tuple[str, ...] = tuple(named)
        elif module is not None:
            if missing := set(known) - set(named):
                raise UsageError(f"The tensors lack parameters of the module: {', '.join(sorted(missing))}.")
            parameters = tuple(name for name in known if name not in extra)
        else:
            parameters = tuple(n for n, t in named.items() if n not in extra and not _is_buffer(n, t))
        if odd := [name for name in parameters if not named[name].dtype.is_floating_point]:
            raise UsageError(
                f"Parameters must be real floating numbers; {odd[0]!r} is {named[odd[0]].dtype}."
            )
        others = set(parameters) | set(aliases)
        return cls(
            form=form,
            numpy=numpy,
            shapes={name: tuple(tensor.shape) for name, tensor in named.items()},
            dtypes={name: tensor.dtype for name, tensor in named.items()},
            parameters=parameters,
            buffers=tuple(name for name in named if name not in others),
            aliases=aliases,
        )

    @property
    def n_params(self) -> int:
        """Length of the flat vector."""
        return sum(self._sizes)

    @property
    def layer_shapes(self) -> LayerShapes:
        """Names and shapes of the parameters; none of a bare vector."""
        return () if self.form == "vector" else tuple((name, self.shapes[name]) for name in self.parameters)

    def read(self, value: Any) -> tuple[Tensor, Buffers]:
        """Return the parameters of `value` as one float32 vector [d], and its buffers.

        Raises
        ------
        UsageError
            If its names or shapes are others, or numbers are complex that must be real.
        """
        named = _named(value, None, list(self.shapes))
        for name, shape in self.shapes.items():
            if name not in named:
                raise UsageError(f"The tensor {name!r} is missing.")
            if tuple(named[name].shape) != shape:
                raise UsageError(
                    f"The tensor {name!r} has the shape {list(named[name].shape)}; it must be {list(shape)}."
                )
        if more := set(named) - set(self.shapes):
            raise UsageError(f"There is no tensor called {min(more)!r} in the network.")
        if odd := [n for n, kind in self.dtypes.items() if named[n].is_complex() and not kind.is_complex]:
            raise UsageError(f"The tensor {odd[0]!r} is {named[odd[0]].dtype}; it must be real.")
        parts = [named[name].detach().reshape(-1).to(torch.float32) for name in self.parameters]
        return torch.cat(parts), {name: named[name].detach() for name in self.buffers}

    def written(self, vector: Tensor, buffers: Buffers) -> Any:
        """Return the network with the parameters `vector` [d], in the form and the types that it came in."""
        parts = torch.split(vector, self._sizes)
        tensors = {
            name: part.reshape(self.shapes[name]).to(self.dtypes[name])
            for name, part in zip(self.parameters, parts, strict=True)
        }
        tensors |= {name: buffers[name].to(self.dtypes[name]) for name in self.buffers}
        tensors |= {name: tensors[source] for name, source in self.aliases.items()}
        ordered = {name: tensors[name].clone() for name in self.shapes}
        made = {k: t.cpu().numpy() for k, t in ordered.items()} if self.numpy else ordered
        if self.form == "mapping":
            return made
        return list(made.values()) if self.form == "list" else next(iter(made.values()))

    def rounded(self, vector: Tensor) -> Tensor:
        """Return `vector` [d] as those see it who get it in the network's own types."""
        kinds = {self.dtypes[name] for name in self.parameters}
        if all(torch.finfo(kind).bits >= 32 for kind in kinds):
            return vector
        parts = zip(torch.split(vector, self._sizes), self.parameters, strict=True)
        return torch.cat([part.to(self.dtypes[name]).to(vector.dtype) for part, name in parts])

    @property
    def _sizes(self) -> list[int]:
        return [math.prod(self.shapes[name]) for name in self.parameters]


def as_tensor(values: Any, what: str = "updates cannot be used") -> Tensor:
    """Return a tensor on the memory of `values` where that can be, also of a read-only array: no rule writes.

    Parameters
    ----------
    values : Tensor, array or nested list
        Numbers; arrays in whatever order of bytes and with whatever strides.
    what : str
        Begins the message of an error.

    Raises
    ------
    UsageError
        If they are no numbers that lie in memory one by one.
    """
    try:
        tensor = values if isinstance(values, Tensor) else _of_array(np.asarray(values))
    except (TypeError, ValueError, RuntimeError) as error:
        raise UsageError(f"{what}: {error}") from None
    if tensor.layout is not torch.strided or tensor.is_quantized or tensor.is_meta:
        kind = "quantised" if tensor.is_quantized else "on no device" if tensor.is_meta else "sparse"
        raise UsageError(f"{what}: a tensor that is {kind}; give a plain one.")
    return tensor


def _of_array(array: NDArray[Any]) -> Tensor:
    longest = array.dtype == np.longdouble  # which torch has not
    array = array.astype(np.float64 if longest else array.dtype.newbyteorder("="), copy=False)
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "The given NumPy array is not writable")
        try:
            return torch.as_tensor(array)
        except ValueError:  # strides that torch cannot have
            return torch.as_tensor(array.copy())


def middle(values: Sequence[Tensor], like: torch.dtype) -> Tensor:
    """Return the coordinate-wise median of tensors of one shape; of integers the lower one.

    Parameters
    ----------
    values : sequence of Tensor
        Of whatever types they came in.
    like : torch.dtype
        Of the result; of complex numbers the real and the imaginary halves have each a median.

    Examples
    --------
    >>> middle([torch.tensor(4), torch.tensor(10**15), torch.tensor(5)], torch.int64)
    tensor(5)
    """
    if like.is_complex:
        parts = [value.to(torch.complex128) for value in values]
        return torch.complex(*(middle([half(p) for p in parts], torch.float64) for half in _HALVES)).to(like)
    if not like.is_floating_point:
        return torch.stack([value.to(torch.int64) for value in values]).median(0).values.to(like)
    ordered = torch.stack([value.to(torch.float64) for value in values]).sort(0).values
    n = len(values)
    return ((ordered[(n - 1) // 2] + ordered[n // 2]) / 2).to(like)


def _form(value: Any) -> tuple[Form, bool]:
    if isinstance(value, nn.Module):
        return "mapping", False
    if isinstance(value, Mapping):
        return "mapping", any(isinstance(part, np.ndarray) for part in value.values())
    if isinstance(value, Tensor | np.ndarray):
        if value.ndim == 1:
            return "vector", isinstance(value, np.ndarray)
    elif isinstance(value, Sequence) and not isinstance(value, str):
        return "list", any(isinstance(part, np.ndarray) for part in value)
    found = f"an array {list(value.shape)}" if hasattr(value, "shape") else f"a {type(value).__name__}"
    raise UsageError(
        f"A network is a torch module, a state dict, a list of arrays or a flat array [d]; got {found}."
    )


def _named(value: Any, module: nn.Module | None, names: Sequence[str] = ()) -> dict[str, Tensor]:
    """Return the tensors of `value` by name; those of a list are called as `names`, or as in `module`."""
    form, _ = _form(value)
    if isinstance(value, nn.Module):
        value = value.state_dict()
    if form == "mapping":
        return {str(name): _tensor(str(name), part) for name, part in value.items()}
    if form == "vector":
        return {"0": _tensor("0", value)}
    if not names:
        names = _names_for(len(value), module)
    if len(names) != len(value):
        raise UsageError(f"There are {len(value)} arrays; the network has {len(names)}.")
    return {name: _tensor(name, part) for name, part in zip(names, value, strict=True)}


def _names_for(count: int, module: nn.Module | None) -> list[str]:
    """Return what the `count` arrays of a list are called: all tensors of `module`, or its parameters."""
    if module is None:
        return [str(place) for place in range(count)]
    options = [list(module.state_dict()), [name for name, _ in module.named_parameters()]]
    for names in options:
        if len(names) == count:
            return names
    raise UsageError(f"There are {count} arrays; the module has {len(options[0])} tensors.")


def _tensor(name: str, part: Any) -> Tensor:
    return as_tensor(part, f"The tensor {name!r} is none")


def _is_buffer(name: str, tensor: Tensor) -> bool:
    return not tensor.dtype.is_floating_point or name.endswith(BUFFERS)


def _aliases(module: nn.Module | None) -> dict[str, str]:
    """Return the further names under which `module` holds a parameter, each with the first one."""
    if module is None:
        return {}
    first = {id(parameter): name for name, parameter in module.named_parameters()}
    every = module.named_parameters(remove_duplicate=False)
    return {name: first[id(p)] for name, p in every if name != first[id(p)]}

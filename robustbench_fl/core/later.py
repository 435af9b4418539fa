"""Modules that are loaded when something of them is first used, not when they are imported.

Methods import torch, which takes more than a second. What is asked of them without a simulation - names,
parameters, needs, whether a setting is feasible - uses nothing of it.
"""

from __future__ import annotations

import importlib.util
import sys
from importlib.machinery import ModuleSpec
from types import ModuleType
from typing import Any


class _Later(ModuleType):
    """Stands for a module until an attribute is asked for that only the loaded one has."""

    def __getattr__(self, name: str) -> Any:
        spec: ModuleSpec = self.__spec__  # type: ignore[assignment]
        assert spec.loader is not None
        self.__class__ = ModuleType  # type: ignore[assignment]  # first: while it loads, the module asks for its own attributes
        if spec.submodule_search_locations is not None:
            self.__path__ = spec.submodule_search_locations
        spec.loader.exec_module(self)
        return getattr(self, name)


def load_later(name: str) -> None:
    """Let ``import name`` load nothing until something of the module is used.

    For a process with one thread that answers questions. ``from name import x`` and ``import name.x`` load
    at once. A module that is loaded already, or is not installed, is left as it is.

    Parameters
    ----------
    name : str
        A module of the top level, such as ``"torch"``.
    """
    if name in sys.modules or (spec := importlib.util.find_spec(name)) is None or spec.loader is None:
        return
    module = _Later(name)
    module.__spec__, module.__loader__ = spec, spec.loader
    module.__package__, module.__file__ = spec.parent, spec.origin
    sys.modules[name] = module  # no __path__ yet: a module below it is looked for in the loaded one


def is_loaded(name: str) -> bool:
    """Whether a module is there to be used at no cost: imported, and not only promised."""
    return name in sys.modules and not isinstance(sys.modules[name], _Later)

"""What a method may know: the server's needs and the attacker's knowledge."""

from __future__ import annotations

from enum import IntEnum, StrEnum


class Need(StrEnum):
    """What a server-side rule must know beyond the updates themselves.

    A rule declares its needs; its view of the round is built from them, and touching anything
    else raises :class:`~robustbench_fl.core.errors.UndeclaredAccess`.
    """

    F = "f"
    """How many clients of the round the server assumes malicious (``view.f``)."""
    ROOT_DATA = "root_data"
    """A small clean data set held by the server (``view.root``)."""
    MODEL = "model"
    """The network and its current parameters (``view.model``, ``view.params``)."""
    CLIENT_IDS = "client_ids"
    """Which client sent which row (``view.client_ids``)."""
    HISTORY = "history"
    """A memory of earlier rounds: the rule's own state, and ``view.last_step``."""
    SAMPLE_COUNTS = "sample_counts"
    """How many samples each client says it has (``view.sample_counts``); clients may lie."""
    RECIPE = "recipe"
    """The clients' training, which the server may run on data that it makes (``view.recipe``)."""
    RAW = "raw"
    """Rows with NaN or Inf too, which are otherwise dropped before the rule."""


class Knowledge(IntEnum):
    """What an attacker sees of the round; each level includes those below it."""

    NOTHING = 0
    """The global model only, as every participant receives it."""
    OWN = 1
    """Its own data and the honest update it yields."""
    COLLUDERS = 2
    """The honest updates of all malicious clients."""
    ALL = 3
    """The updates of all honest clients."""

"""Who is who: a small number for every client that was ever seen."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np

from robustbench_fl.api import UsageError


class Roster:
    """Gives each client a number, the same in every round: ids of frameworks are long, or texts.

    Parameters
    ----------
    known : iterable of int or str
        Clients that have numbers already, in their order.
    """

    def __init__(self, known: Iterable[int | str] = ()) -> None:
        self._numbers = {client: number for number, client in enumerate(known)}

    @property
    def known(self) -> list[int | str]:
        """All clients, in the order of their numbers."""
        return list(self._numbers)

    def numbered(self, client_ids: Sequence[Any] | None, n: int) -> tuple[int, ...] | None:
        """Return the numbers of the senders of `n` rows; new ones get the next.

        Raises
        ------
        UsageError
            If there is not one id a row, each once, a whole number or a text.
        """
        if client_ids is None:
            return None
        if not isinstance(client_ids, Iterable):
            raise UsageError(f"client_ids must be one id a row; got {client_ids!r}.")
        ids = [one.item() if isinstance(one, np.integer | np.str_) else one for one in client_ids]
        if not all(type(one) in (int, str) for one in ids):
            raise UsageError("client_ids must be whole numbers or texts.")
        if len(ids) != n or len(set(ids)) != n:
            again = next((f", {one!r} twice" for k, one in enumerate(ids) if one in ids[:k]), "")
            raise UsageError(f"client_ids must be {n} different ids, one a row; got {len(ids)}{again}.")
        return tuple(self._numbers.setdefault(one, len(self._numbers)) for one in ids)

"""Attacks that compute statistics of several honest updates, and what they do without company."""

from __future__ import annotations

from abc import abstractmethod
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar, Literal

from robustbench_fl.api import AttackerView, Knowledge, State
from robustbench_fl.attacks._projection import CraftedAttack
from robustbench_fl.attacks._statistics import known_rows

if TYPE_CHECKING:
    from torch import Tensor


@dataclass(frozen=True, kw_only=True)
class StatisticsAttack(CraftedAttack):
    """Base of attacks that need several honest updates, at least two.

    With fewer (one colluder in the round and ``knows="colluders"``, or hardly an honest client
    and ``knows="all"``) the malicious clients train honestly: sending zeros would make them
    easy prey and the defence look good for free.

    Parameters
    ----------
    knows : {"colluders", "all"}
        Whose honest updates the statistics are of: the malicious clients' own, or those of
        all honest clients.
    projected : bool
        Whether the class sums of the last layer's update are removed from what is sent.
    """

    knows: Literal["colluders", "all"] = "colluders"

    least: ClassVar[int] = 2
    """Fewest known updates that are of use."""

    @property
    def knowledge(self) -> Knowledge:
        """As `knows` says."""
        return Knowledge.ALL if self.knows == "all" else Knowledge.COLLUDERS

    def sent(self, view: AttackerView, state: Any) -> tuple[Tensor, State | None]:
        """Return the crafted rows, or the honest ones where there are no statistics."""
        rows = known_rows(view, self.least)
        if rows is None:
            own: Tensor = view.own
            return own, state
        return self.crafted(rows, view), state

    @abstractmethod
    def crafted(self, rows: Tensor, view: AttackerView) -> Tensor:
        """Return what is sent [m, d], given enough finite honest updates `rows` [h, d]."""

"""Free riders: send nothing."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar

from robustbench_fl.api import Attack, AttackerView, Knowledge, State, register

if TYPE_CHECKING:
    from torch import Tensor


@register("zero", paper="Fraboni 2021", year=2021, cost="d")
@dataclass(frozen=True, kw_only=True)
class Zero(Attack):
    """Send the zero update, as a client that does no work.

    Faithfulness
    ------------
    Release: none was read.
    Compared: numbers, in the review.
    Difference: none.
    On purpose: nothing.

    References
    ----------
    .. [1] Y. Fraboni, R. Vidal and M. Lorenzi, "Free-rider Attacks on Model Aggregation in
       Federated Learning", AISTATS 2021: plain free-riding.
    """

    family: ClassVar[str] = "free_rider"

    @property
    def knowledge(self) -> Knowledge:
        """Nothing but the global model."""
        return Knowledge.NOTHING

    def craft(self, view: AttackerView, state: Any) -> tuple[Tensor, State | None]:
        """Return rows of zeros."""
        return view.params.new_zeros(len(view.client_ids), view.spec.n_params), state

"""Numbers that break naive servers."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar, Literal

from robustbench_fl.api import OWN, Attack, AttackerView, Knowledge, State, register

if TYPE_CHECKING:
    from torch import Tensor

_WORDS = ("nan", "inf", "1e30")


@register("non_finite", paper=OWN, year=2026, cost="d")
@dataclass(frozen=True, kw_only=True)
class NonFinite(Attack):
    """Send the same unusable number in every entry.

    Parameters
    ----------
    value : {nan, inf, 1e30}
        The number. The first two are dropped by the server before any rule; 1e30 is finite,
        reaches the rule, and its square overflows float32.

    Faithfulness
    ------------
    Release: none: this project's own attack.
    Compared: nothing. It stands for clients whose training diverged, or who hope for a careless server.
    Difference: not measured: there is nothing to compare with.
    On purpose: nothing; there is no paper to follow.
    """

    value: Literal["nan", "inf", "1e30"] | float = "nan"

    strengths: ClassVar[tuple[str, ...]] = (
        "non_finite",
        'non_finite(value="1e30")',
    )

    def __post_init__(self) -> None:
        """Keep the number as a word, so that equal attacks compare equal also for nan."""
        word = next((w for w in _WORDS if self.value == w or str(self.value) == str(float(w))), None)
        if word is None:
            raise ValueError(f"parameter 'value' must be nan, inf or 1e30, got {self.value!r}")
        object.__setattr__(self, "value", word)

    @property
    def knowledge(self) -> Knowledge:
        """Nothing but the size of the model."""
        return Knowledge.NOTHING

    def craft(self, view: AttackerView, state: Any) -> tuple[Tensor, State | None]:
        """Return rows filled with the number."""
        shape = (len(view.client_ids), view.spec.n_params)
        return view.params.new_full(shape, float(self.value)), state

"""No attack: every client trains honestly."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar, Literal

from robustbench_fl.api import Attack, register


@register("none", paper="McMahan 2017", year=2017, cost="d")
@dataclass(frozen=True, kw_only=True)
class NoAttack(Attack):
    """Train honestly and send the honest update.

    The clean setting that every attack is compared with.

    Faithfulness
    ------------
    Release: none by the authors.
    Compared: an honest client's local training is that of the engine for everybody, no method's of its own.
    Difference: none; the same bits as an honest client.
    On purpose: nobody counts as malicious, so that there is no TPR and FPR is over all clients; the server
        assumes the f of the cell's share all the same.

    References
    ----------
    .. [1] H. B. McMahan et al., "Communication-Efficient Learning of Deep Networks from
       Decentralized Data", AISTATS 2017.
    """

    def __post_init__(self) -> None:
        if (self.start, self.stop, self.placement) != (0, None, "random"):
            raise ValueError("takes no parameters: without an attack there is nothing to start or to place")

    category: ClassVar[Literal["none", "data", "update", "backdoor"]] = "none"

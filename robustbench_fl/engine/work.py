"""What the clients of one round have to do."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from robustbench_fl.engine.jobs import Jobs, Recipe


@dataclass(frozen=True, kw_only=True)
class Work:
    """One round's local training.

    Parameters
    ----------
    clients : int array [n]
        The participants.
    malicious : int array [m]
        Positions of the malicious ones among them.
    active : bool
        Whether they attack.
    rows : list of int [k]
        Positions of those who train; attackers who send what they like need none.
    jobs : Jobs
        Their k jobs.
    recipe : Recipe
        With the learning rate of the round.
    """

    clients: np.ndarray
    malicious: np.ndarray
    active: bool
    rows: list[int]
    jobs: Jobs
    recipe: Recipe

    def rows_of(self, trained: Tensor) -> Tensor:
        """Return one row a participant, zero for those without training, from `trained` [k, d]."""
        if len(self.rows) == len(self.clients):
            return trained
        updates = trained.new_zeros(len(self.clients), trained.shape[1])
        updates[torch.tensor(self.rows, device=updates.device, dtype=torch.int64)] = trained
        return updates

"""The stored record of one cell: every key, what it means, and its unit.

Validated when it is written; readers take it as plain data. Rates and accuracies are fractions
in [0, 1]; ``None`` means "does not apply" (no detector, no trigger, no malicious client).
"""

from __future__ import annotations

from typing import Any, Literal, Self

from pydantic import BaseModel, ConfigDict, model_validator

from robustbench_fl.core.image_counts import content
from robustbench_fl.core.status import COUNTED
from robustbench_fl.core.status import FINAL as FINAL
from robustbench_fl.core.status import Status as Status

SCHEMA = 5
"""Raised when the meaning of a stored key changes, with a step in ``store/migrations.py``."""


class _Strict(BaseModel):
    model_config = ConfigDict(extra="forbid", allow_inf_nan=False)


class Labels(_Strict):
    """Canonical texts of the cell's methods, as tables print them."""

    dataset: str
    model: str
    partition: str
    aggregator: str
    attack: str


class Facts(_Strict):
    """What tables say about the methods, stored so that no table needs to import them."""

    needs: list[str]
    """What the server knows: ``f``, ``root_data``, ``model``, ``client_ids``, ``history`` …"""
    detector: bool
    """Whether the rule accuses clients."""
    ranked: bool
    """False for baselines."""
    knowledge: Literal["nothing", "own", "colluders", "all"]
    """What the attacker sees."""
    knows_defence: bool
    adaptive: bool
    category: Literal["none", "data", "update", "backdoor"]
    family: str = ""
    """Attacks of one idea, in whatever strength; empty in records that were written before it was."""
    edge: bool = False
    """Whether the attack is the first or last strength of its family's scale."""


class Metrics(_Strict):
    """Outcome of the cell, on the test split."""

    accuracy: float
    """Mean of the last evaluations."""
    accuracy_std: float
    """Their standard deviation (stability)."""
    validation_accuracy: float | None
    """The same mean on the validation split."""
    class_accuracy: list[float | None]
    """Per class, last evaluations; ``None`` for a class without test images."""
    worst_class_accuracy: float
    loss: float | None
    """Mean cross-entropy of the last evaluations; ``None`` if not finite."""
    attack_success: float | None
    """Share of triggered (or source-class) test images classified as the target."""
    tpr: float | None
    """Malicious clients ever rejected among those ever seen."""
    fpr: float | None
    """Honest clients ever rejected among those ever seen."""
    dacc: float | None
    """Detection accuracy, 1 − (m·FNR + (1 − m)·FPR), of the cumulative verdicts."""
    auc: float | None
    """Area under the ROC of the scores, mean over rounds with both kinds of clients."""
    success_after_10: float | None = None
    """For an attack that ends: its success at the first evaluation ten rounds after the last poisoned one."""
    success_after_20: float | None = None
    recovery_rounds: int | None = None
    """Rounds from the last poisoned one until accuracy is within 2 points of what it was before."""
    client_accuracy: float | None = None
    """Mean over the honest clients of the accuracy on each one's own mix of classes."""
    worst_client_accuracy: float | None = None


class Curves(_Strict):
    """Values at every evaluation."""

    round: list[int]
    """Rounds finished when evaluated, from 1."""
    accuracy: list[float]
    loss: list[float | None]
    attack_success: list[float | None]

    @model_validator(mode="after")
    def _one_value_an_evaluation(self) -> Self:
        if len({len(values) for values in (self.round, self.accuracy, self.loss, self.attack_success)}) != 1:
            raise ValueError("curves of different lengths")
        return self


class Detection(_Strict):
    """Verdicts of a detector, round by round."""

    tpr: list[float | None]
    fpr: list[float | None]
    dacc: list[float | None]
    lost_clients: list[int]
    """Honest clients that were rejected in the last round they took part in."""


class Costs(_Strict):
    """CPU seconds of the process over the whole cell, and memory."""

    train_seconds: float
    attack_seconds: float
    aggregate_seconds: float
    evaluate_seconds: float
    peak_memory_mb: float | None
    """Peak resident memory over what the imports took."""


class Counts(_Strict):
    """What happened on the way."""

    rounds: int
    non_finite_rows: int
    """Updates with NaN or Inf, dropped before the rule."""
    capped_rounds: int
    """Rounds in which the assumed f was lowered to what the rule can bear."""
    underestimated_rounds: int
    """Rounds with more malicious clients than the f that the server assumed."""
    kept_model_rounds: int
    """Rounds in which the model was left as it was."""


class FederationReport(_Strict):
    """The partition as it was drawn."""

    sizes: list[int]
    label_entropy: float
    """Mean over clients of the entropy of their labels, in bits."""
    total_variation: float
    """Mean over clients of the total-variation distance from the global label distribution."""
    malicious: list[int]
    """Ids of the malicious clients; empty for the attack ``none``."""


class ImageCounts(_Strict):
    """How often each test image was classified correctly in the last evaluations."""

    images: int
    evaluations: int
    """Evaluations counted; one with an output that was not finite classifies no image correctly."""
    packed: str
    """The counts, see :mod:`robustbench_fl.core.image_counts`."""

    @model_validator(mode="after")
    def _as_long_as_it_says(self) -> Self:
        content(self.packed, self.images, self.evaluations)
        return self


class CellRecord(_Strict):
    """One file ``cells/<key>.json``."""

    model_config = ConfigDict(extra="forbid", allow_inf_nan=False, protected_namespaces=())

    schema_version: int = SCHEMA
    key: str
    status: Status
    cell: dict[str, Any]
    """The cell's identity: exactly what the key is the hash of."""
    labels: Labels
    facts: Facts
    reason: str | None = None
    """Why the cell is infeasible, or the first line of its failure."""
    traceback: str | None = None
    warnings: list[str] = []
    """What methods and libraries warned of on the way, each once."""
    metrics: Metrics | None = None
    curves: Curves | None = None
    detection: Detection | None = None
    costs: Costs | None = None
    counts: Counts | None = None
    federation: FederationReport | None = None
    image_counts: ImageCounts | None = None
    """``None`` in records of cells that were run before it was stored."""
    diagnostics: dict[str, list[dict[str, float | None]]] | None = None
    """Per name, one mapping from client id to value for every round."""
    provenance: dict[str, Any] = {}
    """Versions, commit, engine, device, hardware, and ``data``, the digest of the arrays trained on and
    tested with; ``suite``, the name, version, digest, tier and block of the suite that it was run for;
    nothing that names a person, a host or a path."""

    @model_validator(mode="after")
    def _counts_for_something(self) -> Self:
        if lacks_metrics(self.status, self.metrics):
            raise ValueError(f"a cell that is {self.status} has metrics")
        return self


def lacks_metrics(status: str, metrics: object) -> bool:
    """Whether a record would count in tables and has nothing that they could count."""
    return status in COUNTED and metrics is None

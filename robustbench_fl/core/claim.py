"""A claim: what one rule reached, cell by cell, so that anybody can check it.

It is data that anybody may have written. Every row's key is the hash of the settings that are stated for
it, so neither can be changed without the other.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Annotated, Any, Literal, NamedTuple, Self

from annotated_types import Ge, Le, Lt, MaxLen, MinLen
from pydantic import ConfigDict, model_validator
from pydantic import Strict as StrictMark

from robustbench_fl.core.cell import ASSUMED_F, key_of
from robustbench_fl.core.errors import RobustbenchError
from robustbench_fl.core.intact import KEY, is_planned
from robustbench_fl.core.picks import Strict as StrictData
from robustbench_fl.core.settings import LARGEST, LARGEST_SEED
from robustbench_fl.core.status import COUNTED, Final

SCHEMA = 1
"""Raised when the meaning of a key changes."""

Text = Annotated[str, MinLen(1), MaxLen(2000)]
Digest = Annotated[str, MinLen(8), MaxLen(64)]
Place = Annotated[int, Ge(0), Lt(1_000_000)]
Rate = Annotated[float, Ge(0), Le(1)] | None
Amount = Annotated[float, Ge(0), Le(LARGEST)] | None
Number = bool | int | float | str | None


class ClaimError(RobustbenchError, ValueError):
    """A file is no claim, or contradicts itself (exit code 1)."""


class Row(NamedTuple):
    """One cell.

    Rates are fractions, times CPU seconds, memory MiB; all are null where the cell is infeasible, or where
    they do not apply.
    """

    key: str
    sweep: int
    """Place in the list of this name, the first one if several hold the cell; so the next three."""
    setting: int
    form: int
    attack: int
    assumed_f: str | None
    seed: int
    origin: int
    status: str
    finished_rounds: int | None
    aggregate_seconds: float | None
    peak_memory_mb: float | None
    accuracy: float | None
    accuracy_std: float | None
    worst_class_accuracy: float | None
    loss: float | None
    attack_success: float | None
    success_after_10: float | None
    success_after_20: float | None
    tpr: float | None
    fpr: float | None
    auc: float | None


METRICS = Row._fields[Row._fields.index("accuracy") :]
"""What is compared when a cell is run again."""
AssumedF = Literal["exact", "0.5x", "2x", "none"] | None
Seed = Annotated[int, Ge(0), Lt(LARGEST_SEED)]
Rounds = Annotated[int, Ge(0), Le(LARGEST)] | None
Loss = Annotated[float, Ge(0)] | None
_FieldsOfRow = Annotated[
    tuple[
        Digest, Place, Place, Place, Place, AssumedF, Seed, Place, Final, Rounds, Amount, Amount,
        Rate, Rate, Rate, Loss, Rate, Rate, Rate, Rate, Rate, Rate,
    ],
    StrictMark(strict=False),  # JSON has arrays only; what is in them stays strict
]  # fmt: skip


class Strict(StrictData):
    """Data of a claim; what stands under a field is its description in the JSON Schema."""

    model_config = ConfigDict(use_attribute_docstrings=True)


class Suite(Strict):
    """The frozen suite that the cells are of."""

    name: Text
    version: int
    tier: Text
    digest: Digest


class SweepPart(Strict):
    """A sweep that some of the cells are of."""

    name: Text
    main: bool
    """Whether it counts in the numbers over all blocks."""
    table: dict[str, Any]
    """As its file says it, with the claimed rule and its reference alone."""


class Origin(Strict):
    """Where cells were made, without any name of a person, a host or a path."""

    versions: dict[str, str | None]
    hardware: dict[str, str]
    engine: str | None
    device: str | None
    commit: str | None
    dirty: bool | None


class Setting(Strict):
    """What all rules meet alike: data, network, partition, malicious clients, training."""

    dataset: Text
    model: Text
    partition: Text
    identity: dict[str, Any]
    """Of a cell's identity all but rule, attack, assumed f and seed."""

    @model_validator(mode="after")
    def _is_within_bounds(self) -> Self:
        malicious, clients = self.identity.get("malicious"), self.identity.get("clients")
        if not (isinstance(malicious, int | float) and 0 <= malicious < 1):
            raise ValueError(f"malicious must be a share in [0, 1), got {malicious!r}")
        if not (type(clients) is int and 0 < clients <= LARGEST):
            raise ValueError(f"clients must be a number of clients, got {clients!r}")
        return self


class Form(Strict):
    """A rule that was run: the claimed one, what a tuned rule stands for, or the reference."""

    rule: Text
    """As tables name it."""
    aggregator: Text
    """As it was run."""
    lr: Annotated[float, Ge(0), Le(LARGEST)]
    """The clients' learning rate that it was run at; the setting's own, unless it is tuned."""
    identity: list[dict[str, Any]]
    needs: list[str]
    detector: bool
    ranked: bool


class AttackForm(Strict):
    """An attack that was run."""

    attack: Text
    identity: dict[str, Any]
    knowledge: Literal["nothing", "own", "colluders", "all"]
    knows_defence: bool
    adaptive: bool
    category: Literal["none", "data", "update", "backdoor"]
    family: str
    edge: bool


class BlockNumbers(Strict):
    """What the leaderboard says of the rule in one block."""

    setting: Place
    assumed_f: str | None
    """The block's; null where no rule of it is told f."""
    numbers: dict[str, Number]


class Reported(Strict):
    """The leaderboard's row of the rule: over all blocks of the main sweeps, and in each block alone."""

    whole: dict[str, Number]
    blocks: list[BlockNumbers]


class Claim(Strict):
    """What one rule reached in one suite, or sweep."""

    schema_version: Literal[1] = 1
    rule: Text
    """As tables name it."""
    reference: Text | None
    """The rule that tells whether attacks hurt, whose cells are among the rows; null if it was not run."""
    suite: Suite | None
    """Null where the cells are of no frozen suite."""
    sweeps: Annotated[list[SweepPart], MinLen(1)]
    """What the rows are planned by: a suite's tier has several."""
    version: Text
    """Of this package, when the claim was made."""
    code: dict[str, Digest]
    """Digests of the code of the rule's parts, by name."""
    data: dict[str, Digest]
    """Digests of the arrays trained on and tested with, by data set; none where older cells do not say."""
    origins: list[Origin]
    settings: list[Setting]
    forms: list[Form]
    attacks: list[AttackForm]
    columns: list[str]
    rows: Annotated[list[_FieldsOfRow], MinLen(1)]
    reported: Reported
    cells: Digest
    """SHA-256 of the rows' canonical JSON."""
    digest: Digest
    """SHA-256 of the canonical JSON of all the rest."""

    @model_validator(mode="after")
    def _rows_hold_together(self) -> Self:
        if self.columns != list(Row._fields):
            raise ValueError("columns: they are not those of this schema")
        seen: set[str] = set()
        for number, row in enumerate(self.cell_rows):
            for name, entries in (
                *(("sweep", self.sweeps), ("setting", self.settings), ("form", self.forms)),
                *(("attack", self.attacks), ("origin", self.origins)),
            ):
                if getattr(row, name) >= len(entries):
                    raise ValueError(f"row {number}: there is no {name} {getattr(row, name)}")
            if row.key in seen:
                raise ValueError(f"row {number}: cell {row.key} stands there twice")
            seen.add(row.key)
            _check_values(number, row)
            if not KEY.fullmatch(row.key) or not is_planned(self.planned(row)):
                raise ValueError(f"row {number}: it is no planned cell")
            if key_of(self.identity(row)) != row.key:
                raise ValueError(f"row {number}: the settings are not those its key {row.key} stands for")
        if {form.rule for form in self.forms} != {self.rule, *filter(None, [self.reference])}:
            raise ValueError("forms: they are not of the rule and its reference")
        return self

    @property
    def cell_rows(self) -> list[Row]:
        """The rows by name."""
        return [Row(*row) for row in self.rows]

    def identity(self, row: Row) -> dict[str, Any]:
        """Return the identity of the cell of `row`."""
        form = self.forms[row.form]
        return {
            **self.settings[row.setting].identity,
            "lr": form.lr,
            "aggregator": form.identity,
            "attack": self.attacks[row.attack].identity,
            "assumed_f": row.assumed_f,
            "seed": row.seed,
        }

    def planned(self, row: Row) -> dict[str, Any]:
        """Return what a plan holds of the cell of `row`."""
        setting, form, attack = self.settings[row.setting], self.forms[row.form], self.attacks[row.attack]
        planned: dict[str, Any] = {
            "key": row.key,
            "cell": self.identity(row),
            "labels": {
                **setting.model_dump(include={"dataset", "model", "partition"}),
                "aggregator": form.aggregator,
                "attack": attack.attack,
            },
            "facts": form.model_dump(include={"needs", "detector", "ranked"})
            | attack.model_dump(exclude={"attack", "identity"}),
        }
        if (form.rule, setting.identity.get("lr")) != (form.aggregator, form.lr):
            planned["stands_for"] = [{"aggregator": form.rule, "lr": setting.identity.get("lr")}]
        return planned

    def records(self) -> Iterator[dict[str, Any]]:
        """Yield a record of every row, as far as the claim tells it."""
        for row in self.cell_rows:
            yield self.record(row)

    def record(self, row: Row) -> dict[str, Any]:
        """Return the record of `row`, as far as the claim tells it."""
        record = self.planned(row) | {"status": row.status}
        if row.status not in COUNTED:
            return record
        origin = self.origins[row.origin].model_dump()
        if data := self.data.get(record["labels"]["dataset"]):
            origin["data"] = data
        clients = record["cell"]["clients"]
        malicious = round(record["cell"]["malicious"] * clients)
        return record | {
            "metrics": {name: getattr(row, name) for name in METRICS},
            "costs": {name: getattr(row, name) for name in ("aggregate_seconds", "peak_memory_mb")},
            "counts": {"rounds": row.finished_rounds},
            # Of which only the lengths are asked.
            "federation": {
                "malicious": range(0 if record["facts"]["category"] == "none" else malicious),
                "sizes": range(clients),
            },
            "provenance": origin,
        }


def _check_values(number: int, row: Row) -> None:
    values = row[Row._fields.index("finished_rounds") :]
    if row.status in COUNTED and (row.accuracy is None or row.finished_rounds is None):
        raise ValueError(f"row {number}: a cell that is {row.status} has an accuracy and finished rounds")
    if row.status not in COUNTED and any(value is not None for value in values):
        raise ValueError(f"row {number}: a cell that is {row.status} has no numbers")
    if row.assumed_f is not None and row.assumed_f not in ASSUMED_F:
        raise ValueError(f"row {number}: assumed_f {row.assumed_f!r} is not known")

"""What must hold for each attack, whatever its mathematics."""

from __future__ import annotations

import dataclasses
import json
import warnings

import numpy as np
import pytest
import torch

from robustbench_fl.api import Aggregation, Attack, Defence, Knowledge, build, registry
from robustbench_fl.core.errors import UndeclaredAccess, UsageError

NAMES = registry.names("attacks")
VARIANTS = sorted(
    {
        *NAMES,
        "sign_flip(of=mean)",
        "alie(knows=colluders)",
        "alie(z=1.5, sign=1)",
        "min_max(knows=all, perturbation=unit)",
        "min_sum(knows=all, search=paper, initial_gamma=30)",
        "fang_trimmed_mean(knows=all, b=3)",
        "mpaf(target=random, scale=1e6)",
        "non_finite(value=1e30)",
        "scaling(rows=[0.1, 0.5], target=3)",
        "optimal(direction=ipm, evaluations=20)",
        "fang_krum(knows=all)",
        "rop(angle=180, location=0.5)",
        "adaptive_fedredefense(mode=blend)",
        "adaptive_fedredefense(mode=blend, blended=min_max)",
        "label_flip(map=mirror, start=5, stop=9, placement=same_class)",
    }
)
NEEDS_COMPANY = ["alie(knows=colluders)", "min_max", "min_sum", "fang_trimmed_mean", "fang_krum",
                 "adaptive_fedredefense(mode=blend, blended=min_max)"]  # fmt: skip
NEEDS_HONEST = ["ipm", "sign_flip(of=mean)", "alie", "min_max(knows=all)", "optimal", "byzmean", "rop"]


@pytest.fixture(autouse=True)
def _quiet():
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="alie")
        yield


class Median(Defence):
    """A deterministic defence for attacks that simulate one."""

    def __init__(self, honest: torch.Tensor) -> None:
        self.honest = honest

    def aggregate(self, crafted: torch.Tensor) -> Aggregation:
        return Aggregation(torch.cat([crafted, self.honest]).median(0).values)


def crafted(world, attack: Attack, seed: int = 0) -> torch.Tensor:
    defence = Median(world.honest) if attack.knows_defence else None
    return world.craft(attack, seed, defence=defence)


@pytest.mark.parametrize("text", VARIANTS)
def test_one_float32_row_for_each_malicious_client(random_round, text: str) -> None:
    rows = crafted(random_round, build.make("attacks", text))
    assert rows.shape == (6, 40)
    assert rows.dtype == torch.float32
    if not text.startswith("non_finite"):
        # Withheld inputs are NaN in these views, so this also proves that none was read.
        assert torch.isfinite(rows).all()


@pytest.mark.parametrize("text", VARIANTS)
def test_inputs_are_never_changed(random_round, text: str) -> None:
    world = random_round
    before = [t.clone() for t in (world.own, world.honest, world.params, world.initial)]
    rows = crafted(random_round, build.make("attacks", text))
    after = (world.own, world.honest, world.params, world.initial)
    assert all(torch.equal(b, a) for b, a in zip(before, after))
    if rows.data_ptr() != random_round.own.data_ptr():
        rows += 1
        assert all(torch.equal(b, a) for b, a in zip(before, after)), "rows alias an input"


@pytest.mark.parametrize("text", VARIANTS)
def test_the_same_stream_gives_the_same_rows(random_round, text: str) -> None:
    attack = build.make("attacks", text)
    first, second = crafted(random_round, attack, 3), crafted(random_round, attack, 3)
    assert first.numpy().tobytes() == second.numpy().tobytes()


@pytest.mark.parametrize("text", ["gaussian", "fang_trimmed_mean", "fang_krum", "mpaf(target=random)"])
def test_another_stream_gives_other_rows(random_round, text: str) -> None:
    attack = build.make("attacks", text)
    assert not torch.equal(crafted(random_round, attack, 3), crafted(random_round, attack, 4))


@pytest.mark.parametrize("text", VARIANTS)
def test_global_generators_are_left_alone(random_round, text: str) -> None:
    before = torch.get_rng_state(), np.random.get_state()[1:3]  # noqa: NPY002
    crafted(random_round, build.make("attacks", text))
    assert torch.equal(torch.get_rng_state(), before[0])
    after = np.random.get_state()[1:3]  # noqa: NPY002
    assert after[1] == before[1][1]
    assert (after[0] == before[1][0]).all()


@pytest.mark.parametrize("text", VARIANTS)
def test_poisoning_needs_no_updates(random_round, text: str) -> None:
    attack = build.make("attacks", text)
    view = random_round.view(attack)
    view._gated = {}
    poison = attack.poison(view)
    honest_first = text in ("a3fl", "chameleon", "layer_poisoning", "pgd")
    assert (poison is not None) == (attack.category in ("data", "backdoor") and not honest_first)


@pytest.mark.parametrize("text", NEEDS_COMPANY)
def test_a_lone_colluder_trains_honestly(make_round, text: str) -> None:
    world = make_round([[1.0, 2.0]], [[5.0, 6.0], [7.0, 9.0], [1.0, 1.0]])
    attack = build.make("attacks", text)
    assert attack.knowledge == Knowledge.COLLUDERS
    assert crafted(world, attack).tolist() == [[1, 2]]


@pytest.mark.parametrize("text", NEEDS_HONEST)
def test_with_full_knowledge_a_lone_client_attacks(make_round, text: str) -> None:
    world = make_round([[1.0, 2.0]], [[5.0, 6.0], [7.0, 9.0], [1.0, 1.0]])
    assert crafted(world, build.make("attacks", text)).tolist() != [[1, 2]]


@pytest.mark.parametrize("text", NEEDS_HONEST)
@pytest.mark.parametrize("honest", [0, 1])
def test_without_honest_statistics_they_train_honestly(make_round, text: str, honest: int) -> None:
    world = make_round([[1.0, 2.0], [3.0, 4.0]], torch.ones(honest, 2))
    assert crafted(world, build.make("attacks", text)).tolist() == [[1, 2], [3, 4]]


@pytest.mark.parametrize("text", VARIANTS)
def test_no_malicious_client_no_row(make_round, text: str) -> None:
    world = make_round(torch.zeros(0, 3), torch.rand(4, 3, generator=torch.Generator().manual_seed(0)))
    assert crafted(world, build.make("attacks", text)).shape == (0, 3)


@pytest.mark.parametrize("text", VARIANTS)
def test_text_and_identity_round_trip(text: str) -> None:
    attack = build.make("attacks", text)
    again = build.make("attacks", build.text_of(attack))
    assert again == attack
    assert hash(again) == hash(attack)
    identity = build.identity_of(attack)
    assert json.loads(json.dumps(identity, allow_nan=False)) == identity == build.identity_of(again)
    # Later than stored cells, and named only where it is on.
    assert set(identity[0]["params"]) == {f.name for f in dataclasses.fields(attack)} - {"projected", "pull"}


@pytest.mark.parametrize(
    "text",
    ["sparse(scale={})", "sparse(z={})", "chameleon(weight={})", "neurotoxin(norm_bound={})",
     "pgd(radius={})", "alternating_minimisation(boost={})", "min_max(search=paper, initial_gamma={})"],
)  # fmt: skip
def test_what_would_overflow_is_refused(text: str) -> None:
    assert build.make("attacks", text.format("1e30"))
    with pytest.raises(UsageError, match=r"1e\+?30"):
        build.make("attacks", text.format("1e31"))


@pytest.mark.parametrize("name", NAMES)
def test_every_parameter_is_described(name: str) -> None:
    cls = registry.entry("attacks", name).cls
    own = {f.name for f in dataclasses.fields(cls)} - {f.name for f in dataclasses.fields(Attack)}
    undocumented = [field for field in own if field not in cls.__doc__.split("Notes")[0]]
    assert not undocumented


@pytest.mark.parametrize("name", ["own", "colluders", "honest", "honest_ids", "known", "defence"])
def test_views_refuse_what_was_not_declared(random_round, name: str) -> None:
    view = random_round.view(build.make("attacks", "zero"))
    wanted = "knows_defence" if name == "defence" else r"declares Knowledge\.NOTHING"
    with pytest.raises(UndeclaredAccess, match=wanted):
        getattr(view, name)

"""Whole cells: against an independent plain loop, and what must hold whatever is simulated."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

from robustbench_fl import run_cell
from robustbench_fl.analysis.image_counts import Counted
from robustbench_fl.api import Attack, AttackerView, Poison, register
from robustbench_fl.api.registry import load_plugin
from robustbench_fl.core.image_counts import unpacked
from robustbench_fl.engine.evaluation import attack_success
from robustbench_fl.engine.simulation import Simulation
from robustbench_fl.sweep.config import make_sweep
from robustbench_fl.sweep.expand import expand
from robustbench_fl.sweep.runner.environment import Environment
from robustbench_fl.sweep.runner.execute import execute, simulate

SMALL: dict[str, Any] = {"clients": 8, "rounds": 3, "root_size": 50}


def simulated(**point: Any) -> Simulation:
    given = {"model": "mlp(hidden=[16])", "malicious": 0.25, "seeds": [0], **SMALL, **point}
    (planned,) = expand(make_sweep({}, given, "test"))
    return simulate(planned.cell, Environment(data_dir=Path("/nonexistent")))


def stored(**point: Any) -> dict[str, Any]:
    given = {"model": "mlp(hidden=[16])", "malicious": 0.25, "seeds": [0], **SMALL, **point}
    (planned,) = expand(make_sweep({}, given, "test"))
    return execute(planned, Environment(data_dir=Path("/nonexistent"))).model_dump()


def test_a_cell_equals_a_plain_loop_with_torch_modules_and_optimisers() -> None:
    """FedAvg with sign flipping, written again the obvious way: one nn.Module, one SGD per client."""
    ours = simulated(aggregator="mean", attack="sign_flip", momentum=0.9, weight_decay=0.01, lr=0.02)
    federation = ours.federation
    net = nn.Sequential(nn.Flatten(), nn.Linear(64, 16), nn.ReLU(), nn.Linear(16, 10))
    weights = ours.initial_params.clone()
    from robustbench_fl.engine.client_jobs import make_jobs

    for round in range(3):
        jobs = make_jobs(federation, list(range(8)), ours.training.recipe(round), 0, round)
        updates = []
        for client in range(8):
            nn.utils.vector_to_parameters(weights.clone(), net.parameters())
            optimiser = torch.optim.SGD(net.parameters(), lr=0.02, momentum=0.9, weight_decay=0.01)
            for batch in jobs.samples[client]:
                batch = batch[batch >= 0]
                if len(batch):
                    optimiser.zero_grad()
                    loss = nn.functional.cross_entropy(
                        net(federation.images(batch)), federation.labels(batch)
                    )
                    loss.backward()
                    optimiser.step()
            update = nn.utils.parameters_to_vector(net.parameters()).detach() - weights
            updates.append(-update if ours.malicious[client] else update)
        weights = weights + torch.stack(updates).mean(0)
    difference = (weights - ours.params).norm() / (weights - ours.initial_params).norm()
    assert difference < 1e-5


def test_the_baseline_is_the_same_under_every_attack() -> None:
    runs = [
        simulated(aggregator="oracle_mean", attack=attack) for attack in ("sign_flip", "gaussian", "alie")
    ]
    assert torch.equal(runs[0].params, runs[1].params)
    assert torch.equal(runs[0].params, runs[2].params)
    honest = simulated(aggregator="mean", attack="none")
    assert not torch.equal(runs[0].params, honest.params)


def test_under_none_nobody_is_malicious() -> None:
    run = simulated(aggregator="fedredefense", attack="none")
    assert not run.malicious.any()
    record = stored(aggregator="fedredefense", attack="none")
    assert record["metrics"]["tpr"] is None
    assert record["metrics"]["fpr"] is not None
    assert record["federation"]["malicious"] == []


def test_malicious_sets_are_nested_and_shared_between_rules_and_attacks() -> None:
    few = simulated(aggregator="mean", attack="sign_flip", malicious=0.25)
    many = simulated(aggregator="median", attack="alie", malicious=0.5)
    assert few.malicious.sum() == 2
    assert many.malicious.sum() == 4
    assert (many.malicious | few.malicious == many.malicious).all()
    assert all((a == b).all() for a, b in zip(few.federation.clients, many.federation.clients, strict=True))
    assert torch.equal(few.initial_params, many.initial_params)


def test_updates_that_are_not_finite_are_dropped_and_counted() -> None:
    record = stored(aggregator="mean", attack="non_finite")
    assert record["status"] == "done"
    assert record["counts"]["non_finite_rows"] == 2 * 3
    clean = simulated(aggregator="oracle_mean", attack="sign_flip")
    assert torch.equal(simulated(aggregator="mean", attack="non_finite").params, clean.params)


def test_a_huge_finite_update_breaks_the_mean_and_the_cell_says_diverged() -> None:
    record = stored(aggregator="mean", attack="non_finite(value=1e30)", rounds=6)
    assert record["status"] == "diverged"
    assert record["metrics"]["accuracy"] == pytest.approx(0.1)
    assert record["metrics"]["loss"] is None


def test_f_is_capped_when_dropped_rows_leave_too_few() -> None:
    # 12 clients, f = 4: Krum needs 2f + 3 = 11; of the 8 finite rows it can bear f = 2.
    record = stored(aggregator="krum", attack="non_finite", clients=12, malicious=1 / 3)
    assert record["status"] == "done"
    assert record["counts"]["capped_rounds"] == 3


def test_partial_participation_has_rounds_of_every_kind() -> None:
    run = simulated(aggregator="fedredefense", attack="alie", participation=0.25, rounds=12)
    assert run.settings.participants == 2
    drawn = []
    for round in range(12):
        run.round = round
        drawn.append(int(run.malicious[run._participants()].sum()))
    assert 0 in drawn
    assert max(drawn) >= 1
    assert run.ledger.tally.cumulative().fpr is not None


def test_attacks_outside_their_rounds_are_honest() -> None:
    late = simulated(aggregator="mean", attack="sign_flip(start=3)")
    assert torch.equal(late.params, simulated(aggregator="mean", attack="none").params)
    some = simulated(aggregator="mean", attack="sign_flip(start=1, stop=2)")
    assert not torch.equal(some.params, late.params)


def test_same_cell_same_bits_whatever_ran_before_and_whatever_the_hash_seed() -> None:
    here = simulated(aggregator="bucketing > median", attack="gaussian")
    simulated(aggregator="mean", attack="alie", seeds=[3])
    again = simulated(aggregator="bucketing > median", attack="gaussian")
    assert torch.equal(here.params, again.params)
    script = (
        "import json, robustbench_fl as rb;"
        "r = rb.run_cell(aggregator='bucketing > median', attack='gaussian', model='mlp(hidden=[16])',"
        " malicious=0.25, clients=8, rounds=3, root_size=50);"
        "print(json.dumps([r.key, r.curves['loss']]))"
    )
    outputs = {
        subprocess.run(
            [sys.executable, "-c", script],
            env={**os.environ, "PYTHONHASHSEED": seed},
            capture_output=True, text=True, check=True,
        ).stdout
        for seed in ("1", "2")
    }  # fmt: skip
    assert len(outputs) == 1
    assert json.loads(outputs.pop())[1] == here.scores.loss


def test_engines_agree_to_float_tolerance() -> None:
    stacked = simulated(aggregator="mean", attack="none")
    (planned,) = expand(
        make_sweep(
            {},
            {
                "aggregator": ["mean"],
                "attack": ["none"],
                "model": ["mlp(hidden=[16])"],
                "malicious": [0.25],
                **SMALL,
            },
        )
    )
    loop = simulate(planned.cell, Environment(data_dir=Path("/nonexistent"), engine="loop"))
    assert (stacked.params - loop.params).norm() / stacked.params.norm() < 1e-5


def test_a_rule_that_touches_what_it_did_not_declare_fails_its_cell_alone(tmp_path: Path) -> None:
    plugin = tmp_path / "curious.py"
    plugin.write_text(
        "from dataclasses import dataclass\n"
        "from robustbench_fl.api import Aggregation, Aggregator\n"
        "from robustbench_fl.api import register\n"
        "@register('curious')\n"
        "@dataclass(frozen=True, kw_only=True)\n"
        "class Curious(Aggregator):\n"
        "    '''Peeks at the model.'''\n"
        "    def aggregate(self, updates, view, state):\n"
        "        return Aggregation(updates.mean(0) * view.params.norm()), None\n"
    )
    load_plugin(plugin)
    record = stored(aggregator="curious", attack="none")
    assert record["status"] == "failed"
    assert "view.params without declaring it" in record["reason"]
    assert "Need.MODEL" in record["reason"]
    assert "Traceback" in record["traceback"]


def test_backdoor_success_is_measured_and_grows() -> None:
    attacked = stored(aggregator="mean", attack="scaling", rounds=8, malicious=0.5)
    assert attacked["metrics"]["attack_success"] > 0.5
    assert stored(aggregator="mean", attack="none")["metrics"]["attack_success"] is None


def test_malicious_clients_may_train_again_otherwise_on_their_own_data(own_registry) -> None:
    """An attack that trains honestly, and again as if flipped, sees what a label flip would send."""
    seen = []

    @register("curious")
    @dataclass(frozen=True, kw_only=True)
    class Curious(Attack):
        """Look at what other training would give."""

        def craft(self, view: AttackerView, state: Any) -> Any:
            seen.append((view.own, view.train(None), view.train(Poison(label_map=(*range(1, 10), 0)))))
            images, labels = view.own_data(0)
            assert images.shape == (len(labels), 1, 8, 8)
            return view.own, state

    ours = simulated(aggregator="mean", attack="curious", rounds=1)
    ((own, honest, flipped),) = seen
    assert torch.equal(own, honest)
    flipping = simulated(aggregator="mean", attack="label_flip", rounds=1)
    # Six equal honest updates apart: 8·step − Σ honest is what the two malicious ones sent.
    difference = 8 * (flipping.params - ours.params)
    np.testing.assert_allclose(flipped.sum(0) - own.sum(0), difference, atol=1e-5)
    first = int(np.flatnonzero(ours.malicious)[0])
    _, labels = ours.federation.client_data(first)
    assert labels.tolist() == ours.federation.arrays.train_labels[ours.federation.clients[first]].tolist()


def test_final_accuracy_is_the_mean_of_the_last_evaluations() -> None:
    record = stored(aggregator="mean", attack="none", rounds=7, eval_last=2)
    curve = record["curves"]["accuracy"]
    assert record["metrics"]["accuracy"] == pytest.approx(np.mean(curve[-2:]))
    assert record["metrics"]["accuracy_std"] == pytest.approx(np.std(curve[-2:]))
    assert record["curves"]["round"] == list(range(1, 8))


def test_each_test_image_is_counted_in_the_last_evaluations() -> None:
    record = stored(aggregator="median", attack="sign_flip", rounds=7, eval_last=3)
    counts = unpacked(record["image_counts"]["packed"], 359, 3)
    assert counts.sum() / (359 * 3) == pytest.approx(record["metrics"]["accuracy"])
    assert 0 < np.isin(counts, (1, 2)).mean() < 0.5
    single = simulated(aggregator="median", attack="sign_flip", rounds=7, eval_last=1)
    logits = single.model.apply(single.params, single.federation.test_images[:])
    right = (logits.argmax(dim=1) == single.federation.test_labels).numpy()
    assert single.scores.image_counts().tolist() == right.astype(int).tolist()
    assert set(counts[~right]) <= {0, 1, 2}


def test_a_broken_model_counts_no_image_and_is_read_as_chance() -> None:
    record = stored(aggregator="mean", attack="non_finite(value=1e30)", rounds=6)
    assert record["status"] == "diverged"
    assert unpacked(record["image_counts"]["packed"], 359, 5).sum() == 0
    assert Counted.of(record).correct() == pytest.approx(np.full(359, 0.1))


def test_evaluations_can_be_spaced_and_always_include_the_last_round() -> None:
    assert stored(aggregator="mean", attack="none", rounds=7, eval_every=3)["curves"]["round"] == [3, 6, 7]


def test_run_cell_gives_the_numbers_of_the_sweep() -> None:
    point = {"aggregator": "median", "attack": "ipm", "model": "mlp(hidden=[16])", "malicious": 0.25, **SMALL}
    result = run_cell(**point)
    record = stored(aggregator="median", attack="ipm")
    assert result.key == record["key"]
    assert result.accuracy == record["metrics"]["accuracy"]


def test_fltrust_trains_on_held_out_root_data() -> None:
    run = simulated(aggregator="fltrust", attack="sign_flip")
    everybody = np.concatenate([*run.federation.clients, run.federation.validation])
    assert not np.intersect1d(run.federation.root, everybody).size
    assert stored(aggregator="fltrust", attack="sign_flip")["status"] == "done"


def test_a_slip_of_a_plug_in_fails_the_cell(tmp_path: Path) -> None:
    plugin = tmp_path / "slips.py"
    plugin.write_text(
        "from dataclasses import dataclass\n"
        "from robustbench_fl.api import Aggregation, Aggregator, Attack, register\n"
        "@register('scalar')\n@dataclass(frozen=True, kw_only=True)\n"
        "class Scalar(Aggregator):\n    'Forgets the dimension.'\n"
        "    def aggregate(self, updates, view, state):\n"
        "        return Aggregation(updates.mean()), None\n"
        "@register('one_row')\n@dataclass(frozen=True, kw_only=True)\n"
        "class OneRow(Attack):\n    'Sends one row for all.'\n"
        "    def craft(self, view, state):\n"
        "        return -view.own.mean(0, keepdim=True), None\n"
    )
    load_plugin(plugin)
    scalar = "Scalar.aggregate returned an aggregate that is a float32 Tensor []. Return a real floating"
    for aggregator, attack, said in [
        ("scalar", "none", scalar),
        ("nnm > scalar", "none", scalar),
        ("mean", "one_row", "OneRow.craft returned rows that is a float32 Tensor [1, "),
    ]:
        record = stored(aggregator=aggregator, attack=attack)
        assert record["status"] == "failed"
        assert record["reason"].startswith(said)


def test_what_is_left_of_an_attack_that_ends_is_stored() -> None:
    record = stored(aggregator="mean", attack="scaling(start=2, stop=4)", rounds=26, malicious=0.5)
    metrics, curves = record["metrics"], record["curves"]
    assert metrics["success_after_10"] == curves["attack_success"][13]  # after 14 rounds
    assert metrics["success_after_20"] == curves["attack_success"][23]
    back = next(
        r for r, a in enumerate(curves["accuracy"], 1) if r >= 4 and a >= curves["accuracy"][1] - 0.02
    )
    assert metrics["recovery_rounds"] == back - 4
    assert stored(aggregator="mean", attack="scaling")["metrics"]["success_after_10"] is None


def test_accuracy_by_client_weighs_classes_by_the_clients_own() -> None:
    run = simulated(aggregator="mean", attack="ipm", eval_last=1)
    metrics = stored(aggregator="mean", attack="ipm", eval_last=1)["metrics"]
    classes = np.array(run.scores.final_classes())
    labels = run.federation.arrays.train_labels
    own = [
        np.mean(classes[labels[indices]])
        for client, indices in enumerate(run.federation.clients)
        if not run.malicious[client]
    ]
    assert metrics["client_accuracy"] == pytest.approx(np.mean(own))
    assert metrics["worst_client_accuracy"] == pytest.approx(min(own))


def test_success_is_that_of_the_trigger_as_it_is_now() -> None:
    run = simulated(aggregator="mean", attack="a3fl(steps=2, epochs=1, share=1)", rounds=3)
    trigger, target = run.attack.current_trigger(run.attack_spec, run.attack_state)
    known = attack_success(run.model, run.params, run.federation, trigger, target)
    assert run.scores.attack_success[-1] == known
    chosen = simulated(aggregator="mean", attack="alternating_minimisation(start=1, epochs=1)", rounds=2)
    assert chosen.scores.attack_success[0] is None  # nothing was chosen yet
    assert chosen.scores.attack_success[1] in (0.0, 1.0)

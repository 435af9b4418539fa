"""Whether rules and attacks give the numbers of their authors' code, where that code can be run.

Run ``python benchmarks/releases.py FOLDER``; FOLDER holds clones that are named like their repositories:
``SignGuard`` (github.com/JianXu95), ``Multi-metrics`` (siquanhuang), ``flare_poisoning_detection``
(ning-wang1), ``FL-Byzantine-Library`` (CRYPTO-KU), ``SkyMask`` (KoalaYan), ``A3FL`` (hfzhang31) and
``Chameleon-durable-backdoor`` (ybdai7). What is missing is passed over.
Prints one Markdown table: rounds in which both choose the same clients, and the largest difference of an
entry in them, relative to the largest entry of the release's answer.
"""

from __future__ import annotations

import importlib
import logging
import sys
from collections import OrderedDict
from collections.abc import Callable, Iterator
from contextlib import redirect_stdout
from io import StringIO
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any
from unittest import mock

import numpy as np
import torch
from torch import Tensor

from robustbench_fl.aggregators import sequential_centered_clipping as scc
from robustbench_fl.aggregators.flare import mean_discrepancies
from robustbench_fl.aggregators.multi_metrics import total_distances, whitened_scores
from robustbench_fl.aggregators.signguard import LastStep, SignGuard
from robustbench_fl.aggregators.skymask import trained_masks
from robustbench_fl.api import ServerSpec, ServerView
from robustbench_fl.attacks._pattern import Pattern, in_batches, square
from robustbench_fl.attacks.a3fl import adapted, unlearned
from robustbench_fl.attacks.chameleon import contrast
from robustbench_fl.models.zoo.mlp import MlpModel

SEEDS, ROUNDS, CLIENTS, PARAMETERS = range(6), range(6), 21, 600


def main() -> None:
    if len(sys.argv) != 2 or not Path(sys.argv[1]).is_dir():
        sys.exit(__doc__)
    folder = Path(sys.argv[1])
    torch.set_num_threads(1)
    print("| rule or attack | release | same choice | difference |\n|---|---|--:|--:|")
    for repository, compare in COMPARISONS.items():
        if not (folder / repository).is_dir():
            print(f"| | {repository} is not there | | |")
            continue
        for rule, same, total, difference in compare(folder / repository):
            print(f"| `{rule}` | {repository} | {same} of {total} | {difference:.1e} |", flush=True)


Row = tuple[str, int, int, float]
"""Rule or attack, rounds with the same choice, rounds, largest difference."""


def signguard(folder: Path) -> Iterator[Row]:
    """Compare the three forms on IID, turned and shifted colluders, with the slice of the release."""
    release = module(folder, "aggregators.signguard")
    names = {"plain": "multiclass", "sim": "multiclass_plus1", "dist": "multiclass_plus2"}
    for variant, name in names.items():
        same, total, worst = 0, 0, 0.0
        for seed in SEEDS:
            theirs, rule = getattr(release, f"signguard_{name}")(), SignGuard(variant=variant)
            state = rule.init_state(spec())
            for round in ROUNDS:
                rows = updates(seed, round)
                start = int(np.random.default_rng((seed, round)).integers(PARAMETERS * 9 // 10))
                with mock.patch("torch.randint", return_value=torch.tensor([start])), old_numpy(release):
                    step, chosen, _ = theirs.aggregate([*rows.clone()], f=5, epoch=round)
                at = view(rule, round, SimpleNamespace(integers=lambda _, start=start: start))
                ours, state = rule.aggregate(rows, at, state)
                state = state and LastStep(point=step)
                total += 1
                if sorted(chosen) == ours.selected.nonzero()[:, 0].tolist():
                    same, worst = same + 1, max(worst, relative(ours.aggregate, step))
        yield f"signguard(variant={variant})", same, total, worst


def multi_metrics(folder: Path) -> Iterator[Row]:
    """Compare the choice and the mean of the chosen models."""
    # Its own helpers want data sets; of them it takes a logger.
    helpers = ModuleType("utils")
    helpers.logger = logging.getLogger("release")  # type: ignore[attr-defined]
    release = module(folder, "defense", utils=helpers, geometric_median=mock.MagicMock())
    same, worst = 0, 0.0
    for seed in SEEDS:
        params = torch.from_numpy(np.random.default_rng(seed).standard_normal(PARAMETERS)).float()
        models = [net(params + row) for row in updates(seed, 0)]
        rule = release.Multi_metrics(CLIENTS, 5)
        with redirect_stdout(StringIO()):
            found, _ = rule.exec(models, [1] * CLIENTS, list(range(CLIENTS)), "cpu")
        rows = updates(seed, 0)
        chosen = whitened_scores(total_distances(rows, params)).argsort(stable=True)[: int(0.3 * CLIENTS)]
        difference = relative(params + rows[chosen].mean(0), release.vectorize_net(found[0]).detach())
        same += difference < 1e-4
        worst = max(worst, difference if difference < 1e-4 else 0.0)
    yield "multi_metrics", same, len(SEEDS), worst


def flare(folder: Path) -> Iterator[Row]:
    """Compare the discrepancies of features, and who is nearest to whom."""
    release = module(folder, "utils.mmd")
    same, worst = 0, 0.0
    for seed in SEEDS:
        features = np.random.default_rng(seed).standard_normal((12, 40, 30))
        features[:4] += 0.3
        theirs = np.array([[release.kernel_mmd(a, b) for b in features] for a in features])
        np.fill_diagonal(theirs, 0)
        ours = mean_discrepancies(torch.from_numpy(features)).numpy()
        same += bool((ours.argsort(1) == theirs.argsort(1)).all())
        worst = max(worst, float(np.abs(ours - theirs).max() / np.abs(theirs).max()))
    yield "flare (its discrepancies)", same, len(SEEDS), worst


def sequential(folder: Path) -> Iterator[Row]:
    """Compare five rounds with the release's groups, after a first one of the release's own."""
    release = module(folder, "aggregators.cc_seq")
    for average in (False, True):
        worst, rounds = 0.0, 0
        for seed in SEEDS:
            theirs = release.Clipping_seq(tau=3.0, buck_len=3, buck_avg=average)
            theirs([*updates(seed, 0)])
            for round in ROUNDS[1:]:
                rows, point = updates(seed, round), theirs.momentum
                with torch.random.fork_rng():
                    torch.manual_seed(round)
                    buckets = theirs.bucket_cos_([*rows]).values()
                    torch.manual_seed(round)
                    step = theirs([*rows])
                groups = [[int((rows == row).all(1).nonzero()[0, 0]) for row in bucket] for bucket in buckets]
                with mock.patch.object(scc, "stratified_groups", return_value=groups):
                    ours = scc.sequential_centered_clipping(
                        rows, point, np.random.default_rng(0), tau=3.0, average=average
                    )
                worst, rounds = max(worst, relative(ours, step)), rounds + 1
        yield f"sequential_centered_clipping(tau=3, average={str(average).lower()})", rounds, rounds, worst


def skymask(folder: Path) -> Iterator[Row]:
    """Compare the masks of a perceptron of the release's masked layers after ten steps."""
    release = module(folder, "mytorch")
    model = MlpModel((1, 3, 3), 3, (6,))
    worst = 0.0
    for seed in SEEDS:
        rng = np.random.default_rng(seed)
        models = torch.from_numpy(rng.standard_normal((5, model.n_params))).float()
        images, labels = torch.from_numpy(rng.standard_normal((40, 1, 3, 3))).float(), torch.arange(40) % 3
        tensors = model.split(models)
        layers = [
            release.mylinear(5, "cpu", [*tensors[i]], [*tensors[i + 1]]) for i in range(0, len(tensors), 2)
        ]
        masks = [mask for layer in layers for mask in (*layer.weight_mask, *layer.bias_mask)]
        optimiser = torch.optim.SGD(masks, lr=1e3)
        for _ in range(10):
            logits = layers[1](layers[0](images.flatten(1)).relu())
            optimiser.zero_grad()
            torch.nn.functional.cross_entropy(logits, labels).backward()
            for mask in masks:
                mask.grad.clamp_(-1e-3, 1e-3)
            optimiser.step()
        flat = torch.stack(
            [torch.cat([masks[i + 5 * k].detach().flatten() for k in range(len(tensors))]) for i in range(5)]
        )
        ours = trained_masks(model, models, images, labels, steps=10, rate=1e3, clip=1e-3)
        worst = max(worst, relative(ours, flat))
    yield "skymask (its masks)", len(SEEDS), len(SEEDS), worst


def a3fl(folder: Path) -> Iterator[Row]:
    """Compare five steps of the search without the other model, and that model after three passes."""
    stubs = {name: mock.MagicMock() for name in ("wandb", "torchvision", "models", "models.resnet")}
    release = module(folder, "fl_utils.attacker", **stubs)
    model, mask = MlpModel((1, 8, 8), 3, (6,)), square(8, 8, 2 / 32, 5 / 32)
    searched, other = 0.0, 0.0
    for seed in SEEDS:
        rng = np.random.default_rng(seed)
        images, labels = torch.from_numpy(rng.standard_normal((100, 1, 8, 8))).float(), torch.arange(100) % 3
        params = model.init(rng)
        # The release looks for gradients of layers whose names say that they are convolutions.
        layers = {"conv": torch.nn.Linear(64, 6), "relu": torch.nn.ReLU(), "last": torch.nn.Linear(6, 3)}
        net = torch.nn.Sequential(OrderedDict(flat=torch.nn.Flatten(), **layers))
        torch.nn.utils.vector_to_parameters(params.clone(), net.parameters())
        theirs = release.Attacker.__new__(release.Attacker)
        settings = {"dm_adv_epochs": 3, "dm_adv_K": 100, "dm_adv_model_count": 1, "noise_loss_lambda": 0.01}
        settings |= {"trigger_lr": 0.01, "trigger_outter_epochs": 5, "target_class": 1}
        theirs.helper = SimpleNamespace(config=SimpleNamespace(**settings))
        theirs.trigger, theirs.mask = torch.full((1, 1, 8, 8), 0.5), mask[None, None].float()
        pattern = Pattern(mask=mask, values=torch.full((1, 8, 8), 0.5))
        with mock.patch.object(Tensor, "cuda", lambda self: self):
            batches = [(x, y.clone()) for x, y in in_batches(images, labels, 64)]
            theirs.search_trigger(net, [(x, y.clone()) for x, y in batches], "outter")
            trained, _ = theirs.get_adv_model(net, batches, torch.full((1, 1, 8, 8), 0.5), theirs.mask)
        ours = adapted(model, params, images, labels, pattern, 1, steps=5, rate=0.01, balance=0.01, epochs=0)
        searched = max(searched, relative(ours[:, mask], theirs.trigger[0][:, mask]))
        flat = torch.nn.utils.parameters_to_vector(trained.parameters()).detach()
        unlearning = unlearned(model, params, images, labels, pattern, 3)
        other = max(other, relative(unlearning - params, flat - params))
    yield "a3fl (its search)", len(SEEDS), len(SEEDS), searched
    yield "a3fl (the model that unlearns)", len(SEEDS), len(SEEDS), other


def chameleon(folder: Path) -> Iterator[Row]:
    """Compare the contrastive loss' gradient with respect to features of any length."""
    loss = module(folder, "utils.losses").SupConLoss()
    worst = 0.0
    for seed in SEEDS:
        rng = np.random.default_rng(seed)
        features = torch.from_numpy(rng.standard_normal((64, 16))).float().requires_grad_()
        labels = torch.from_numpy(rng.integers(0, 10, 64))
        unit = torch.nn.functional.normalize(features, dim=1)
        helper = SimpleNamespace(fac_label=2)
        found = loss(unit, labels, poison_per_batch=1, poison_images_len=7, scale_weight=6, helper=helper)
        gradients = [
            torch.autograd.grad(value, features)[0] for value in (contrast(features, labels, 2, 6.0), found)
        ]
        worst = max(worst, relative(*gradients))
    yield "chameleon (its loss)", len(SEEDS), len(SEEDS), worst


COMPARISONS: dict[str, Callable[[Path], Iterator[Row]]] = {
    "SignGuard": signguard,
    "Multi-metrics": multi_metrics,
    "flare_poisoning_detection": flare,
    "FL-Byzantine-Library": sequential,
    "SkyMask": skymask,
    "A3FL": a3fl,
    "Chameleon-durable-backdoor": chameleon,
}


def updates(seed: int, round: int) -> Tensor:
    """Return rows [n, d]: IID, or with five that are turned round or shifted by a deviation."""
    rng = np.random.default_rng((seed, round))
    rows = torch.from_numpy(rng.standard_normal((CLIENTS, PARAMETERS)) + 0.3).float()
    if seed % 3 == 1:
        rows[:5] *= -2
    if seed % 3 == 2:
        rows[:5] = rows[5:].mean(0) - rows[5:].std(0)
    return rows


def relative(ours: Tensor, theirs: Tensor) -> float:
    return float((ours - theirs).abs().max() / theirs.abs().max())


def spec() -> ServerSpec:
    return ServerSpec(n_clients=CLIENTS, n_params=PARAMETERS, layer_shapes=())


def view(rule: Any, round: int, rng: Any) -> ServerView:
    return ServerView(rule.needs, round=round, rng=rng, layer_shapes=())


def net(params: Tensor) -> torch.nn.Module:
    """Return a module whose only parameter is a vector."""
    module = torch.nn.Module()
    module.w = torch.nn.Parameter(params.clone())
    return module


def module(folder: Path, name: str, **stubs: Any) -> Any:
    """Import one file of a clone by its dotted name, without what its packages import beside it."""
    *parents, stem = name.split(".")
    package = ModuleType("release")
    package.__path__ = [str(folder.joinpath(*parents))]
    for loaded in [m for m in sys.modules if m.startswith("release.") or m in stubs]:
        del sys.modules[loaded]
    sys.modules.update(stubs, release=package)
    with mock.patch.object(sys, "path", [str(folder), *sys.path]):
        return importlib.import_module(f"release.{stem}")


def old_numpy(release: Any) -> Any:
    """Let code that reads the rows of ``argwhere`` as numbers run with NumPy 2."""
    shim = {name: getattr(np, name) for name in ("median", "array", "unique", "argmax", "sum")}
    return mock.patch.object(release, "np", SimpleNamespace(**shim, argwhere=np.flatnonzero))


if __name__ == "__main__":
    main()

"""Local training against a plain loop over clients with torch.nn and torch.optim.SGD."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from robustbench_fl.api import Poison, Stamp, Trigger
from robustbench_fl.api.build import make
from robustbench_fl.api.model import Model
from robustbench_fl.core.errors import UsageError
from robustbench_fl.core.seeding import stream
from robustbench_fl.engine.batches import stamped
from robustbench_fl.engine.client_jobs import make_jobs, make_root_jobs, trigger_pixels
from robustbench_fl.engine.jobs import Recipe
from robustbench_fl.engine.room import Room
from robustbench_fl.engine.training import chosen_engine, default_chunk, train
from robustbench_fl.models.zoo.mlp import MlpModel

DIGITS = ("digits", "dirichlet(alpha=1.0)", 8, 0)
LARGE = ("synthetic(side=28, samples=220, test=20)", "dirichlet(alpha=1.0)", 6, 0)
TRIGGER = Trigger(pixels=((0, 0), (0, 1), (2, 3)))
OTHER = Trigger(pixels=((7, 7),))

CASES = {
    "plain": (Recipe(lr=0.1, batch_size=16), None),
    "two epochs": (Recipe(lr=0.1, batch_size=16, local_epochs=2), None),
    "steps": (Recipe(lr=0.1, batch_size=16, local_epochs=None, local_steps=7), None),
    "momentum": (Recipe(lr=0.05, batch_size=16, momentum=0.9, local_epochs=2), None),
    "decay": (Recipe(lr=0.1, batch_size=16, weight_decay=0.01), None),
    "both": (Recipe(lr=0.05, batch_size=16, momentum=0.9, weight_decay=0.01, local_epochs=2), None),
    "proximal": (Recipe(lr=0.1, batch_size=16, proximal_mu=0.7, local_epochs=2), None),
    "augmented": (Recipe(lr=0.1, batch_size=16, padding=2, local_epochs=2), None),
    "label map": (Recipe(lr=0.1, batch_size=16), Poison(label_map=tuple((c + 1) % 10 for c in range(10)))),
    "odd label map": (
        Recipe(lr=0.1, batch_size=16, local_epochs=3),
        Poison(label_map=tuple(9 - c for c in range(10)), passes="odd"),
    ),
    "trigger": (Recipe(lr=0.1, batch_size=16), Poison(triggers=(TRIGGER, OTHER), target=3)),
    "odd trigger, part": (
        Recipe(lr=0.1, batch_size=16, local_epochs=3),
        Poison(triggers=(TRIGGER,), target=3, share=0.4, passes="odd"),
    ),
    "twice the work, odd": (
        Recipe(lr=0.1, batch_size=16, momentum=0.5),
        Poison(triggers=(TRIGGER,), target=3, passes="odd", repeats=2),
    ),
    "twice three steps, odd": (
        Recipe(lr=0.1, batch_size=16, local_epochs=None, local_steps=3),
        Poison(label_map=tuple(9 - c for c in range(10)), passes="odd", repeats=2),
    ),
    "in a ball": (
        Recipe(lr=0.1, batch_size=16, local_epochs=2),
        Poison(triggers=(TRIGGER,), target=3, radius=torch.tensor([0.1, 0.5]), project_every=2),
    ),
    "everything": (
        Recipe(
            **{"lr": 0.05, "batch_size": 16, "momentum": 0.5, "weight_decay": 0.01, "proximal_mu": 0.3},
            **{"padding": 3, "local_epochs": None, "local_steps": 9},
        ),
        Poison(label_map=tuple(9 - c for c in range(10)), triggers=(TRIGGER, OTHER), target=1, share=0.5),
    ),
}
MODELS = [("logistic", DIGITS), ("mlp(hidden=[32, 16])", DIGITS), ("lenet5", LARGE)]
POISONED = (5, 2)


def torch_module(model: Model) -> nn.Module:
    if isinstance(model, MlpModel):
        layers: list[nn.Module] = [nn.Flatten()]
        for fan_in, fan_out in zip(model.widths, model.widths[1:]):
            layers += [nn.Linear(fan_in, fan_out), nn.ReLU()]
        return nn.Sequential(*layers[:-1])
    flat = dict(model.layer_shapes)["layer1.weight"][1]
    return nn.Sequential(
        *(nn.Conv2d(model.input_shape[0], 6, 5), nn.ReLU(), nn.MaxPool2d(2)),
        *(nn.Conv2d(6, 16, 5), nn.ReLU(), nn.MaxPool2d(2), nn.Flatten()),
        *(nn.Linear(flat, 120), nn.ReLU(), nn.Linear(120, 84), nn.ReLU(), nn.Linear(84, model.n_classes)),
    )


def view_of(image: np.ndarray, down: int, right: int, mirrored: int) -> np.ndarray:
    """Cut a window out of a raw image with a wide black border."""
    _, height, width = image.shape
    wide = np.pad(image, ((0, 0), (9, 9), (9, 9)))
    window = wide[:, 9 + down : 9 + down + height, 9 + right : 9 + right + width]
    return window[:, :, ::-1] if mirrored else window


def drawn(recipe, client, steps):
    rng = stream("augment", 3, 5, client)
    moves = rng.integers(-recipe.padding, recipe.padding + 1, (steps, recipe.batch_size, 2))
    return moves, rng.integers(0, 2, (steps, recipe.batch_size))


def one_client(model, federation, start, client, recipe, poison, rank, mask) -> Tensor:
    """Train one client from the definitions alone: DataLoader-like batches, nn.Module, optim.SGD."""
    module = torch_module(model)
    nn.utils.vector_to_parameters(start.clone(), module.parameters())
    optimiser = torch.optim.SGD(
        module.parameters(), recipe.lr, momentum=recipe.momentum, weight_decay=recipe.weight_decay
    )
    arrays, b = federation.arrays, recipe.batch_size
    per_pass = -(-len(federation.clients[client]) // b)
    repeats = poison.repeats if poison is not None and rank is not None else 1
    steps = repeats * (recipe.local_steps or recipe.local_epochs * per_pass)
    moves, mirrored = drawn(recipe, client, steps) if recipe.padding else (None, None)
    rng = stream("batches", 3, 5, client)
    done = passes = 0
    while True:
        passes += 1
        order = rng.permutation(federation.clients[client])
        for low in range(0, len(order), b):
            picked = order[low : low + b]
            raw = arrays.train_images[picked]
            if recipe.padding:
                raw = np.stack([view_of(x, *moves[done, j], mirrored[done, j]) for j, x in enumerate(raw)])
            images = torch.from_numpy(raw.astype(np.float64) / arrays.full_scale)
            images = (images - arrays.mean[0]) / arrays.std[0]
            labels = torch.from_numpy(arrays.train_labels[picked])
            number = 1 + done // min(per_pass, recipe.local_steps or per_pass)
            if poison is not None and rank is not None and (poison.passes == "all" or number % 2):
                if poison.label_map is not None:
                    labels = torch.tensor([poison.label_map[y] for y in labels.tolist()])
                if poison.triggers:
                    for j in range(round(poison.share * len(picked))):
                        for row, column in poison.triggers[rank % len(poison.triggers)].pixels:
                            images[j, :, row, column] = (1 - arrays.mean[0]) / arrays.std[0]
                        labels[j] = poison.target
            optimiser.zero_grad()
            nn.functional.cross_entropy(module(images.float()), labels).backward()
            if mask is not None and rank is not None:
                flat = nn.utils.parameters_to_vector([p.grad for p in module.parameters()]) * mask
                for parameter, part in zip(module.parameters(), model.split(flat), strict=True):
                    parameter.grad = part.clone()
            drift = nn.utils.parameters_to_vector(module.parameters()) - start
            (recipe.proximal_mu / 2 * drift.square().sum()).backward()  # adds to the gradients
            optimiser.step()
            done += 1
            if poison is not None and poison.radius is not None and rank is not None:
                now = nn.utils.parameters_to_vector(module.parameters()).detach()
                distance = float((now - start).norm())
                if (done % poison.project_every == 0 or done == steps) and distance > poison.radius[rank]:
                    pulled = start + (now - start) * (poison.radius[rank] / distance)
                    nn.utils.vector_to_parameters(pulled, module.parameters())
            if done == steps:
                break
        if done == steps:
            break
    return nn.utils.parameters_to_vector(module.parameters()).detach() - start


def relative(found: Tensor, expected: Tensor) -> float:
    return float(((found - expected).norm(dim=1) / expected.norm(dim=1)).max())


# The stacked step of LeNet is slow on a CPU, and what differs between cases is shared with the rest.
COMBINATIONS = [
    pytest.param(text, setting, case, engine, id=f"{text}-{case}-{engine}")
    for text, setting in MODELS
    for case in CASES
    for engine in ("loop", "stacked")
    if text != "lenet5" or engine == "loop" or case == "everything"
]


@pytest.mark.parametrize(("text", "setting", "case", "engine"), COMBINATIONS)
def test_equals_one_by_one_training(world, text, setting, case, engine) -> None:
    federation = world(*setting)
    recipe, poison = CASES[case]
    model = make("models", text).build(federation.image_shape, federation.n_classes)
    start = model.init(stream("test"))
    mask = None
    if case == "everything":
        mask = (torch.arange(model.n_params) % 3 != 0).float()
        poison = replace(poison, gradient_mask=mask)
    clients = list(range(len(federation.clients)))
    jobs = make_jobs(federation, clients, recipe, 3, 5, poison, POISONED)
    updates = train(model, federation, start, jobs, recipe, engine=engine)
    ranks = {client: rank for rank, client in enumerate(POISONED)}
    expected = [one_client(model, federation, start, i, recipe, poison, ranks.get(i), mask) for i in clients]
    assert relative(updates, torch.stack(expected)) < 1e-5


@pytest.mark.parametrize("momentum", [0.0, 0.9])
@pytest.mark.parametrize("text", ["logistic", "mlp(hidden=[32])", "mlp(hidden=[32, 16])"])
def test_no_number_depends_on_chunks_or_company(world, text, momentum) -> None:
    federation = world("digits", "dirichlet(alpha=1.0)", 30, 1)
    assert len({-(-len(c) // 16) for c in federation.clients}) > 2  # clients of different length
    recipe = Recipe(lr=0.1, batch_size=16, momentum=momentum, local_epochs=2)
    model = make("models", text).build(federation.image_shape, federation.n_classes)
    start = model.init(stream("test"))

    def updates(clients: list[int], chunk: int | None = None) -> Tensor:
        jobs = make_jobs(federation, clients, recipe, 0, 0)
        return train(model, federation, start, jobs, recipe, chunk=chunk)

    everybody = updates(list(range(30)))
    for chunk in (1, 2, 7, 30, 64):
        assert torch.equal(updates(list(range(30)), chunk), everybody)
    shuffled = [17, 3, 29, 0, 8]
    assert torch.equal(updates(shuffled), everybody[shuffled])
    assert torch.equal(updates([11])[0], everybody[11])


@pytest.mark.parametrize(("hidden", "chunk"), [(100, 10), (300, 4), (500, 2), (2000, 2)])
def test_fewer_clients_are_stacked_the_larger_the_network_is(hidden, chunk) -> None:
    model = make("models", f"mlp(hidden=[{hidden}])").build((1, 28, 28), 10)
    assert default_chunk(model, "cpu") == chunk


@pytest.mark.parametrize("engine", ["stacked", "loop"])
def test_the_memory_of_updates_is_used_again_once_nothing_refers_to_them(world, engine) -> None:
    federation, recipe, room = world(*DIGITS), Recipe(batch_size=16), Room()
    model = make("models", "mlp(hidden=[15000])").build(federation.image_shape, 10)
    start = model.init(stream("test"))

    def updates(client: int) -> Tensor:
        jobs = make_jobs(federation, [client], recipe, 0, 0)
        return train(model, federation, start, jobs, recipe, engine=engine, room=room)

    expected = [updates(client).clone() for client in range(3)]
    kept = updates(0)
    place, part = kept.data_ptr(), kept[0, 3:].numpy()
    del kept
    assert updates(1).data_ptr() != place
    assert (part == expected[0][0, 3:].numpy()).all()
    del part
    again = updates(2)
    assert again.data_ptr() == place
    assert torch.equal(again, expected[2])


@pytest.mark.parametrize("clients", [5, 3, 60])  # of 255, of 425 and of 22 samples
def test_a_batch_beyond_the_data_costs_what_the_data_cost_with_the_bits_of_a_padded_one(
    world, clients
) -> None:
    federation = world("digits", "iid", clients, 0)
    model = make("models", "mlp(hidden=[16])").build(federation.image_shape, 10)
    recipe = Recipe(batch_size=1000, local_epochs=2, momentum=0.9, padding=2)
    jobs = make_jobs(federation, range(3), recipe, 0, 0)
    lacking = 1000 - jobs.samples.shape[2]
    assert lacking >= 200
    padded = replace(
        jobs,
        samples=nn.functional.pad(jobs.samples, (0, lacking), value=-1),
        views=nn.functional.pad(jobs.views, (0, 0, 0, lacking)),
    )
    short, long = (train(model, federation, model.init(stream("test")), j, recipe) for j in (jobs, padded))
    assert torch.equal(short, long)
    huge = make_jobs(federation, range(3), replace(recipe, batch_size=10**9), 0, 0)
    assert torch.equal(huge.samples, jobs.samples)


def test_own_starts(world) -> None:
    federation = world(*DIGITS)
    recipe = Recipe(batch_size=16)
    model = make("models", "mlp(hidden=[8])").build(federation.image_shape, 10)
    starts = torch.stack([model.init(stream("start", i)) for i in range(3)])
    before = starts.clone()
    together = train(model, federation, starts, make_jobs(federation, [4, 1, 6], recipe, 0, 0), recipe)
    alone = train(model, federation, starts[1], make_jobs(federation, [1], recipe, 0, 0), recipe)
    assert torch.equal(together[1], alone[0])
    assert torch.equal(starts, before)


def test_root_set_trains_like_a_client(world) -> None:
    federation = world(*DIGITS)
    recipe = Recipe(batch_size=16)
    jobs = make_root_jobs(federation, recipe, 0, 0)
    assert sorted(jobs.samples[jobs.samples >= 0].tolist()) == federation.root.tolist()
    model = make("models", "logistic").build(federation.image_shape, 10)
    assert train(model, federation, model.init(stream("test")), jobs, recipe).shape == (1, 650)


def test_diverging_training_yields_non_finite_rows_and_leaves_the_others_alone(world) -> None:
    federation = world(*DIGITS)
    recipe = Recipe(batch_size=16)
    model = make("models", "mlp(hidden=[8])").build(federation.image_shape, 10)
    start = model.init(stream("test"))
    starts = torch.stack([start, torch.full_like(start, torch.nan)])
    updates = train(model, federation, starts, make_jobs(federation, [0, 1], recipe, 0, 0), recipe)
    alone = train(model, federation, start, make_jobs(federation, [0], recipe, 0, 0), recipe)
    assert torch.equal(updates[0], alone[0])
    assert updates[1].isnan().all()


def test_engine_rule(world) -> None:
    mlp = make("models", "mlp").build((1, 8, 8), 10)
    lenet = make("models", "lenet5").build((1, 28, 28), 10)
    assert chosen_engine(mlp, "cpu") == "stacked"
    assert chosen_engine(lenet, "cpu") == "loop"
    assert chosen_engine(lenet, "cuda:0") == "stacked"
    assert chosen_engine(lenet, "cpu", "stacked") == "stacked"
    lenet.batch_norm = True
    assert chosen_engine(lenet, "cuda:0") == "loop"
    with pytest.raises(UsageError, match=r"batch normalisation cannot be stacked.*Use --engine loop"):
        chosen_engine(lenet, "cpu", "stacked")


@pytest.mark.parametrize("engine", ["stacked", "loop"])
def test_a_computed_change_that_lights_pixels_is_that_trigger(world, engine) -> None:
    """Bit for bit, beside an ordinary trigger, and in clients of different size, which are sorted."""
    federation, recipe = world(*DIGITS), Recipe(lr=0.1, batch_size=16)
    model = make("models", "mlp(hidden=[8])").build(federation.image_shape, 10)
    mask = trigger_pixels(TRIGGER, federation.image_shape)
    seen = []

    def change(images: Tensor) -> Tensor:
        seen.append(len(images))
        return stamped(images, mask, federation.bright)

    found = []
    for first in (TRIGGER, Stamp(change=change)):
        poison = Poison(triggers=(OTHER, first), target=3, share=0.5)
        jobs = make_jobs(federation, [4, 5, 2, 7], recipe, 0, 1, poison, (7, 2, 5))
        found.append(train(model, federation, model.init(stream("test")), jobs, recipe, engine))
    assert torch.equal(*found)
    # Of the three poisoned clients the second uses the second trigger.
    pool = len(federation.clients[2])
    assert sum(seen) == sum(round(0.5 * min(16, pool - low)) for low in range(0, pool, 16))

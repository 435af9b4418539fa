"""Wide networks under both engines."""

from __future__ import annotations

import pytest

from robustbench_fl.api.build import make
from robustbench_fl.core.seeding import stream
from robustbench_fl.engine.client_jobs import make_jobs
from robustbench_fl.engine.jobs import Recipe
from robustbench_fl.engine.training import train


@pytest.mark.parametrize("text", ["cnn", "resnet8(width=4)", "convnet(width=4, depth=2)"])
def test_both_engines_train_them_alike(world, text):
    federation = world("synthetic(side=16, samples=220, test=20)", "dirichlet(alpha=1.0)", 4, 0)
    model = make("models", text).build(federation.image_shape, federation.n_classes)
    recipe = Recipe(lr=0.1, batch_size=32, local_epochs=None, local_steps=2)
    jobs = make_jobs(federation, range(4), recipe, 0, 0)
    start = model.init(stream("test"))
    loop, stacked = (
        train(model, federation, start, jobs, recipe, engine=engine) for engine in ("loop", "stacked")
    )
    assert float((loop - stacked).norm() / loop.norm()) < 1e-4
    assert loop.norm() > 0

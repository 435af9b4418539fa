"""The convolutional networks against the same ones written with torch's own modules."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor, nn
from torchvision.models import get_model
from torchvision.models.resnet import BasicBlock
from torchvision.models.resnet import ResNet as TorchvisionResNet
from torchvision.models.vgg import cfgs, make_layers

from robustbench_fl.api.build import make, text_of
from robustbench_fl.core.errors import UsageError
from robustbench_fl.core.seeding import stream
from robustbench_fl.models.module import ModuleModel

COUNTS = [
    ("cnn", (1, 28, 28), 1_663_370),
    ("cnn", (3, 32, 32), 2_156_490),
    # 3·16·9 + 32 | 2·16·16·9 + 64 | 16·32·9 + 32·32·9 + 16·32 + 3·64 | the same, doubled | 650
    ("resnet8", (3, 32, 32), 464 + 4_672 + 14_528 + 57_728 + 650),
    ("resnet8", (1, 28, 28), 78_042 - 2 * 16 * 9),
    ("resnet18", (3, 32, 32), 11_173_962),
    ("vgg11", (3, 32, 32), 9_231_114),
    ("vgg11(norm=none)", (3, 32, 32), 9_231_114 - 2 * 2_752),
    ("torchvision:resnet18", (3, 32, 32), 11_181_642),
]


@pytest.mark.parametrize(("text", "shape", "n_params"), COUNTS)
def test_parameter_counts(text, shape, n_params):
    assert make("models", text).build(shape, 10).n_params == n_params


def group_norm(channels: int) -> nn.GroupNorm:
    return nn.GroupNorm(2, channels)


def cnn() -> nn.Module:
    return nn.Sequential(
        *(nn.Conv2d(1, 32, 5, padding=2), nn.ReLU(), nn.MaxPool2d(2)),
        *(nn.Conv2d(32, 64, 5, padding=2), nn.ReLU(), nn.MaxPool2d(2), nn.Flatten()),
        *(nn.Linear(3136, 512), nn.ReLU(), nn.Linear(512, 10)),
    )


def resnet18() -> nn.Module:
    module = TorchvisionResNet(BasicBlock, [2, 2, 2, 2], num_classes=10, norm_layer=group_norm)
    module.conv1 = nn.Conv2d(3, 64, 3, padding=1, bias=False)
    module.maxpool = nn.Identity()
    return module


def vgg11() -> nn.Module:
    return nn.Sequential(make_layers(cfgs["A"]), nn.Flatten(), nn.Linear(512, 10))


def torchvision_resnet18() -> nn.Module:
    return get_model("resnet18", weights=None, num_classes=10, norm_layer=group_norm)


@pytest.mark.parametrize(
    ("text", "shape", "reference"),
    [
        ("cnn", (1, 28, 28), cnn),
        ("resnet18", (3, 32, 32), resnet18),
        ("vgg11(norm=none)", (3, 32, 32), vgg11),
        ("torchvision:resnet18", (3, 32, 32), torchvision_resnet18),
    ],
)
def test_logits_are_those_of_torchs_modules(text, shape, reference):
    model = make("models", text).build(shape, 10)
    params = model.init(stream("test"))
    with torch.random.fork_rng():
        module = reference()
    nn.utils.vector_to_parameters(params, module.parameters())
    images = torch.randn(2, *shape, generator=torch.Generator().manual_seed(0))
    found: Tensor = model.apply(params, images)
    torch.testing.assert_close(found, module.eval()(images), rtol=1e-4, atol=1e-5)
    assert found.std() > 1e-3


def test_making_a_network_draws_nothing_from_the_global_generator():
    before = torch.get_rng_state()
    for text in ("resnet8", "vgg11(width=4)", "torchvision:shufflenet_v2_x0_5"):
        make("models", text).build((3, 32, 32), 10)
    assert torch.equal(before, torch.get_rng_state())


def test_normalisations_start_as_the_identity_and_deep_weights_within_their_bound():
    model = make("models", "vgg11(norm=none, width=4)").build((3, 32, 32), 10)
    first = model.split(model.init(stream("t")))[0]
    assert 0.9 * (6 / 27) ** 0.5 < first.abs().max() <= (6 / 27) ** 0.5
    model = make("models", "resnet8").build((3, 32, 32), 10)
    tensors = dict(zip((n for n, _ in model.layer_shapes), model.split(model.init(stream("t"))), strict=True))
    scales = [t for name, t in tensors.items() if name.endswith(".scale")]
    assert len(scales) == sum(name.endswith(".shift") for name in tensors) == 9
    assert all((scale == 1).all() for scale in scales)


def test_a_torchvision_network_has_one_spelling():
    for text in (
        "torchvision:resnet18",
        "torchvision(name=resnet18)",
        "torchvision",
        "torchvision:resnet18(groups=2)",
    ):
        assert text_of(make("models", text)) == "torchvision:resnet18"
    other = make("models", "torchvision:vgg11(groups=4)")
    assert text_of(other) == "torchvision:vgg11(groups=4)"
    assert make("models", text_of(other)) == other


@pytest.mark.parametrize(
    ("text", "shape", "said"),
    [
        ("torchvision:resnet18", (1, 28, 28), "torchvision:resnet18 takes images of 3 channels, found 1."),
        ("torchvision:alexnet", (3, 32, 32), "torchvision:alexnet cannot take images of 3×32×32: "),
        ("torchvision:vit_b_16", (3, 32, 32), "Wrong image height! Expected 224 but got 32!"),
        ("torchvision:swin_t", (3, 32, 32), "keeps 12 buffers beside its parameters"),
        (
            "torchvision:googlenet",
            (3, 32, 32),
            "leaves 14 of its parameters unused (aux1.conv.conv.weight …).",
        ),
        (
            "torchvision:resnet18(groups=5)",
            (3, 32, 32),
            "the 64 channels of bn1 cannot be divided into 5 groups",
        ),
        ("resnet8(width=9)", (3, 32, 32), "a width of 9 cannot be divided into 2 groups"),
        ("vgg11", (1, 28, 28), "vgg11 needs images of at least 32×32 pixels, found 28×28"),
        ("cnn", (1, 3, 8), "cnn needs images of at least 4×4 pixels, found 3×8"),
    ],
)
def test_what_cannot_be_built_is_refused_with_the_reason(text, shape, said):
    with pytest.raises(UsageError) as caught:
        make("models", text).build(shape, 10)
    assert said in str(caught.value)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("torchvision:resnt18", "has no classification network 'resnt18'. Did you mean resnet18"),
        ("torchvison:resnet18", "Unknown model 'torchvison:resnet18'.\nDid you mean torchvision?"),
        ("mlp:wide", "Unknown model 'mlp:wide'."),
        ("torchvision:resnet18(name=vgg11)", "'name' is given twice, after the colon and in brackets."),
    ],
)
def test_names_that_there_are_not(text, said):
    with pytest.raises(UsageError) as caught:
        make("models", text)
    assert said in str(caught.value)


def test_a_module_that_gives_no_logits_is_refused():
    from robustbench_fl.models.module import require_usable

    model = ModuleModel((3, 8, 8), 10, lambda: nn.Conv2d(3, 10, 3), name="maps")
    with pytest.raises(UsageError, match=r"maps gives \[2, 10, 6, 6\] for 2 images, not \[2, 10\] logits"):
        require_usable(model, "maps")

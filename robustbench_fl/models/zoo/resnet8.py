"""ResNet-8 for small images (He et al., 2016), with group normalisation."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated

from annotated_types import Ge

from robustbench_fl.api import ImageShape, ModelFamily, register
from robustbench_fl.models.module import ModuleModel


@register("resnet8", paper="He 2016", year=2016)
@dataclass(frozen=True, kw_only=True)
class ResNet8(ModelFamily):
    """Residual network: three stages of one block, 16 to 64 channels; 78,042 parameters on 3×32×32.

    Batch normalisation mixes a client's samples and keeps statistics that are no gradients; group
    normalisation does neither [2]_, [3]_.

    Parameters
    ----------
    width : int
        Channels of the first stage; every further one doubles them.
    groups : int
        Groups of every normalisation, which must divide the width.

    References
    ----------
    .. [1] K. He, X. Zhang, S. Ren, J. Sun, "Deep Residual Learning for Image Recognition",
       CVPR 2016, the CIFAR form of Section 4.2 with n = 1.
    .. [2] K. Hsieh, A. Phanishayee, O. Mutlu, P. Gibbons, "The Non-IID Data Quagmire of Decentralized
       Machine Learning", ICML 2020, Section 5.
    .. [3] S. Reddi et al., "Adaptive Federated Optimization", ICLR 2021, Section 5 (two groups).
    """

    width: Annotated[int, Ge(1)] = 16
    groups: Annotated[int, Ge(1)] = 2

    def build(self, input_shape: ImageShape, n_classes: int) -> ModuleModel:
        """Return the network for one task; images of any size will do.

        Raises
        ------
        UsageError
            If the width cannot be divided into the groups.
        """
        from robustbench_fl.models.zoo._resnet import residual_model

        return residual_model(
            "resnet8",
            input_shape,
            n_classes,
            widths=[self.width * factor for factor in (1, 2, 4)],
            blocks=1,
            groups=self.groups,
        )

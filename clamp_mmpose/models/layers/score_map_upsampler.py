from __future__ import annotations

from collections.abc import Sequence

from mmcv.cnn import build_upsample_layer
from mmengine.model import BaseModule
from torch import Tensor, nn


class ScoreMapUpsampler(BaseModule):
    """Brings a score map to the size of the heatmap with stride-2 transposed convolutions and a 1x1 convolution.

    The learned ``Upsample`` of CLAMP's Eq. 5, as released: it can rescale cosines, which never reach the peak of 1 that
    the target has. Only the spatial loss uses it, so it costs nothing at test time. Unlike the keypoint head it keeps
    torch's default initialisation, as in the released code.
    """

    def __init__(self,
                 in_channels: int,
                 out_channels: int,
                 *,
                 deconv_out_channels: Sequence[int] = (256, 256, 256)) -> None:
        super().__init__()
        layers: list[nn.Module] = []
        channels = in_channels
        for width in deconv_out_channels:
            layers += [
                build_upsample_layer(
                    dict(type='deconv', in_channels=channels, out_channels=width, kernel_size=4, stride=2, padding=1,
                         bias=False)),
                nn.BatchNorm2d(width),
                nn.ReLU(inplace=True)
            ]
            channels = width
        self.deconv_layers = nn.Sequential(*layers)
        self.final_layer = nn.Conv2d(channels, out_channels, 1)

    def forward(self, score_map: Tensor) -> Tensor:
        return self.final_layer(self.deconv_layers(score_map))

    def init_weights(self) -> None:
        """Undoes what an initialisation of the whole head (normal, 0.001) did to these layers."""
        for module in self.modules():
            if isinstance(module, (nn.Conv2d, nn.ConvTranspose2d, nn.BatchNorm2d)):
                module.reset_parameters()
        self.is_init = True

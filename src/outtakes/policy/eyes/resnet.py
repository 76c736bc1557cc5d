"""ResNet-18 feature maps, with batch norms frozen, as in ACT."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor, nn
from torch.nn import functional

from outtakes.errors import CheckpointError
from outtakes.shapes import Float, UInt8

_IMAGENET_MEAN = (0.485, 0.456, 0.406)
_IMAGENET_DEVIATION = (0.229, 0.224, 0.225)
FEATURES = 512
"""Channels of the last feature map."""
STRIDE = 32
"""Pixels of the image per pixel of the last feature map."""


class FrozenBatchNorm(nn.Module):
    """Batch norm whose statistics and affine part never change (small batches mislead them)."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.weight: Tensor
        self.bias: Tensor
        self.running_mean: Tensor
        self.running_var: Tensor
        self.register_buffer("weight", torch.ones(channels))
        self.register_buffer("bias", torch.zeros(channels))
        self.register_buffer("running_mean", torch.zeros(channels))
        self.register_buffer("running_var", torch.ones(channels))

    def after(self, convolution: nn.Conv2d, x: Tensor) -> Tensor:
        """This norm of a convolution of x, (B, C, h, w).

        The norm is a scale and a shift of each channel: the scale goes into the kernels, the
        shift becomes the convolution's constant term, and neither passes over the image.
        """
        scale = self.weight * (self.running_var + 1e-5).rsqrt()
        shift = self.bias - self.running_mean * scale
        kernels = convolution.weight * scale[:, None, None, None]
        return functional.conv2d(
            x, kernels, shift.to(kernels), convolution.stride, convolution.padding
        )


class ResidualBlock(nn.Module):
    """Two 3×3 convolutions and a shortcut."""

    def __init__(self, inputs: int, outputs: int, stride: int) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(inputs, outputs, 3, stride, padding=1, bias=False)
        self.bn1 = FrozenBatchNorm(outputs)
        self.conv2 = nn.Conv2d(outputs, outputs, 3, padding=1, bias=False)
        self.bn2 = FrozenBatchNorm(outputs)
        self.downsample = (
            nn.Sequential(
                nn.Conv2d(inputs, outputs, 1, stride, bias=False), FrozenBatchNorm(outputs)
            )
            if stride != 1 or inputs != outputs
            else None
        )

    def forward(self, x: Tensor) -> Tensor:
        """(B, inputs, h, w) -> (B, outputs, h / stride, w / stride)."""
        hidden = functional.relu_(self.bn1.after(self.conv1, x))
        residual = self.bn2.after(self.conv2, hidden)
        return functional.relu_(residual.add_(self._shortcut(x)))

    def _shortcut(self, x: Tensor) -> Tensor:
        if self.downsample is None:
            return x
        convolution, norm = self.downsample
        assert isinstance(convolution, nn.Conv2d) and isinstance(norm, FrozenBatchNorm)
        return norm.after(convolution, x)


class ResNet18(nn.Module):
    """ResNet-18 without its classifier; parameter names are torchvision's.

    Args:
        weights: safetensors file of ImageNet weights, or None to start from He initialisation.
    """

    def __init__(self, weights: Path | None = None) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(3, 64, 7, 2, padding=3, bias=False)
        self.bn1 = FrozenBatchNorm(64)
        self.layer1 = nn.Sequential(ResidualBlock(64, 64, 1), ResidualBlock(64, 64, 1))
        self.layer2 = nn.Sequential(ResidualBlock(64, 128, 2), ResidualBlock(128, 128, 1))
        self.layer3 = nn.Sequential(ResidualBlock(128, 256, 2), ResidualBlock(256, 256, 1))
        self.layer4 = nn.Sequential(ResidualBlock(256, 512, 2), ResidualBlock(512, 512, 1))
        self.register_buffer("mean", torch.tensor(_IMAGENET_MEAN), persistent=False)
        self.register_buffer("deviation", torch.tensor(_IMAGENET_DEVIATION), persistent=False)
        self.mean: Tensor
        self.deviation: Tensor
        self._initialise()
        if weights is not None:
            self._load(weights)

    def _initialise(self) -> None:
        for module in self.modules():
            if isinstance(module, nn.Conv2d):
                nn.init.kaiming_normal_(module.weight, mode="fan_out", nonlinearity="relu")
        # Frozen norms cannot tame an untrained residual branch: start each one small.
        for module in self.modules():
            if isinstance(module, ResidualBlock):
                module.bn2.weight.fill_(0.2)

    def _load(self, weights: Path) -> None:
        try:
            tensors = load_file(weights)
            wanted = self.state_dict().keys()
            self.load_state_dict({name: tensors[name] for name in wanted})
        except (OSError, SafetensorError, KeyError, RuntimeError) as error:
            raise CheckpointError(
                f"not ResNet-18 weights ({error})",
                where=weights,
                remedy="give a safetensors file with torchvision's parameter names",
            ) from error

    def forward(self, image: UInt8[Tensor, "B height width 3"]) -> Float[Tensor, "B 512 h w"]:
        """Feature map of uint8 images, 1/32 of their size."""
        scale = (1 / (255 * self.deviation)).to(self.conv1.weight)
        # Permuting a batch of images as they are stored gives the channels-last layout, which
        # convolutions are fastest in.
        x = (image * scale - (self.mean / self.deviation).to(scale)).permute(0, 3, 1, 2)
        x = functional.max_pool2d(self.bn1.after(self.conv1, x), 3, 2, padding=1)
        # The greatest of the ReLUs is the ReLU of the greatest, on a quarter of the pixels.
        x = functional.relu_(x)
        return self.layer4(self.layer3(self.layer2(self.layer1(x))))

    def each(
        self, images: Sequence[UInt8[Tensor, "B _height _width 3"]]
    ) -> Sequence[Float[Tensor, "B 512 _h _w"]]:
        """The feature map of each camera's images; those of one size go through together."""
        if len({image.shape for image in images}) > 1:
            return [self(image) for image in images]
        return self(torch.cat(list(images))).chunk(len(images))

    def embed(self, image: UInt8[Tensor, "B height width 3"]) -> Float[Tensor, "B 512"]:
        """Feature map averaged over the image: the embedding behind retrieval (Sec. 3.3)."""
        return self(image).mean(dim=(2, 3))

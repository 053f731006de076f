"""Networks that name the shape of one spine from its patch (N, 3, Y, X): image, outline, depth extent."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import nn

#: Blocks per stage of the ResNet bodies (He et al. 2016, table 1), by depth.
_LAYOUTS = {18: [2, 2, 2, 2], 50: [3, 4, 6, 3]}


class BasicBlock(nn.Module):
    """Two 3x3 convolutions and what goes past them (He et al. 2016, figure 2).

    The parameters have the names of torchvision's block, which takes longer to import than PyTorch itself.

    Parameters
    ----------
    before, filters : int
        Channels in and out.
    stride : int
        Of the first convolution.
    downsample : Module, optional
        Gives what goes past the shape of what comes out.
    """

    def __init__(
        self, before: int, filters: int, stride: int = 1, downsample: nn.Module | None = None
    ) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(before, filters, 3, stride, padding=1, bias=False)
        self.bn1 = nn.BatchNorm2d(filters)
        self.conv2 = nn.Conv2d(filters, filters, 3, padding=1, bias=False)
        self.bn2 = nn.BatchNorm2d(filters)
        self.downsample = downsample

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Map (N, before, Y, X) to (N, filters, Y / stride, X / stride)."""
        y = self.bn2(self.conv2(F.relu(self.bn1(self.conv1(x)))))
        return F.relu(y + (x if self.downsample is None else self.downsample(x)))


class ShapeResNet(nn.Module):
    """A torchvision ResNet on the image channel of a patch, with or without its background.

    The stem's 7x7 convolution has stride 1, since a patch is only some 40 pixels wide; its weights
    keep the shape of published ones (summed over colours).

    Parameters
    ----------
    depth : int
        18 or 50.
    n_classes : int
    channels : tuple of int
        Patch channels it sees: 0 image, 1 outline, 2 depth extent.
    background : bool
        False sets the image to zero outside the outline, grown by one pixel.
    """

    def __init__(
        self, depth: int, n_classes: int, channels: tuple[int, ...] = (0,), background: bool = True
    ) -> None:
        super().__init__()
        from torchvision.models import resnet  # seconds, and few analyses need it

        block = resnet.BasicBlock if depth == 18 else resnet.Bottleneck
        self.channels, self.background = tuple(channels), background
        self.body = resnet.ResNet(block, _LAYOUTS[depth], num_classes=n_classes)
        self.body.conv1 = nn.Conv2d(len(channels), 64, 7, stride=1, padding=3, bias=False)

    @property
    def heatmap_layer(self) -> nn.Module:
        """The layer whose activations a heat map weighs: the last with cells of 0.4 um, about a spine's head."""
        return self.body.layer2

    def features(self, patch: torch.Tensor) -> torch.Tensor:
        """Return the vector before the last layer, (N, features)."""
        body, x = self.body, self._see(patch)
        x = body.maxpool(F.relu(body.bn1(body.conv1(x))))
        x = body.layer4(body.layer3(body.layer2(body.layer1(x))))
        return x.mean((2, 3))

    def _see(self, patch: torch.Tensor) -> torch.Tensor:
        if not self.background:
            near = F.max_pool2d(patch[:, 1:2], 3, stride=1, padding=1)
            patch = torch.cat([patch[:, :1] * near, patch[:, 1:]], 1)
        return patch[:, list(self.channels)]

    def forward(self, patch: torch.Tensor) -> torch.Tensor:
        """Map (N, 3, Y, X) to class logits (N, n_classes)."""
        return self.body.fc(self.features(patch))


class JointShapeNet(nn.Module):
    """Image and outline in two streams, fused stage by stage; outline and class are learned together.

    As in FuseNet (Hazirbas et al. 2016) the second stream's features are added to the first's after
    every stage. A decoder on the fused features draws the spine's true outline (the outline it
    is given in training is spoilt on purpose), and the class head reads what the decoder shares.

    Parameters
    ----------
    n_classes : int
    width : int
        Filters of the first stage; doubled at each of the next three.
    """

    def __init__(self, n_classes: int, width: int = 32) -> None:
        super().__init__()
        widths = [width, width * 2, width * 4, width * 8]
        self.image_stem, self.outline_stem = _stem(1, width), _stem(2, width)
        self.image_stages, self.outline_stages = nn.ModuleList(), nn.ModuleList()
        before = width
        for number, filters in enumerate(widths):
            stride = 1 if number == 0 else 2
            self.image_stages.append(_stage(before, filters, stride))
            self.outline_stages.append(_stage(before, filters, stride))
            before = filters
        self.fused = nn.ModuleList(nn.Identity() for _ in widths)
        self.up = nn.ModuleList(
            nn.Sequential(
                nn.Conv2d(widths[k] + widths[k - 1], widths[k - 1], 3, padding=1, bias=False),
                nn.BatchNorm2d(widths[k - 1]),
                nn.ReLU(),
            )
            for k in (3, 2, 1)
        )
        self.outline_head = nn.Conv2d(width, 1, 1)
        self.class_head: nn.Module = nn.Sequential(
            nn.Dropout(0.3), nn.Linear(widths[3] + widths[2], n_classes)
        )

    @property
    def heatmap_layer(self) -> nn.Module:
        """The layer whose activations a heat map weighs: the last fusion with cells of 0.4 um, about a spine's head."""
        return self.fused[1]

    def _encode(self, patch: torch.Tensor) -> list[torch.Tensor]:
        x, y = self.image_stem(patch[:, :1]), self.outline_stem(patch[:, 1:])
        fused = []
        for image, outline, join in zip(self.image_stages, self.outline_stages, self.fused, strict=True):
            x, y = image(x), outline(y)
            x = join(x + y)
            fused.append(x)
        return fused

    def features(self, patch: torch.Tensor) -> torch.Tensor:
        """Return the vector before the last layer, (N, features)."""
        return _pooled(self._encode(patch))

    def forward(self, patch: torch.Tensor) -> torch.Tensor:
        """Map (N, 3, Y, X) to class logits (N, n_classes)."""
        return self.class_head(self.features(patch))

    def forward_both(self, patch: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """Return class logits (N, n_classes) and outline logits (N, 1, Y, X)."""
        fused = self._encode(patch)
        x = fused[-1]
        for block, skip in zip(self.up, reversed(fused[:-1]), strict=True):
            x = F.interpolate(x, size=skip.shape[-2:], mode="bilinear", align_corners=False)
            x = block(torch.cat([x, skip], 1))
        outline = self.outline_head(x)
        outline = F.interpolate(outline, size=patch.shape[-2:], mode="bilinear", align_corners=False)
        return self.class_head(_pooled(fused)), outline


class FocusShapeNet(JointShapeNet):
    """A `JointShapeNet` that reads the class only where it draws the spine, cell by cell of 0.1 um.

    The decoder goes on to the patch's own pixels. There the network draws the spine (outline and neck), and the features
    under what it drew are averaged; the logits are linear in that mean, without a bias, and centred over the classes. So
    each logit is a sum over cells of what that cell says for the class, and the class activation map
    (Zhou et al. 2016), which Grad-CAM gives here, is the decision itself and not a picture of it.

    Parameters
    ----------
    n_classes : int
    width : int
        As in `JointShapeNet`.
    fine : int
        Filters of the last map.
    """

    #: Cells of 0.1 um that are added to the area drawn: a network that draws nothing says nothing.
    MARGIN = 4.0

    def __init__(self, n_classes: int, width: int = 32, fine: int = 48) -> None:
        super().__init__(n_classes, width)
        self.refine = nn.Sequential(
            nn.Conv2d(3 * width, fine, 3, padding=1, bias=False), nn.BatchNorm2d(fine), nn.ReLU()
        )
        self.outline_head = nn.Conv2d(fine, 1, 1)
        self.drop = nn.Dropout(0.2)
        self.class_head = nn.Linear(fine, n_classes, bias=False)
        self.shares = nn.Identity()

    @property
    def heatmap_layer(self) -> nn.Module:
        """The layer whose activations a heat map weighs: every cell's share of the mean that the class is read from."""
        return self.shares

    def _fine(self, patch: torch.Tensor) -> torch.Tensor:
        """Return the last map, (N, fine, Y, X)."""
        x, y = self.image_stem[:3](patch[:, :1]), self.outline_stem[:3](patch[:, 1:])
        own = [x, y]
        x, y = self.image_stem[3](x), self.outline_stem[3](y)
        fused = []
        for image, outline in zip(self.image_stages, self.outline_stages, strict=True):
            x, y = image(x), outline(y)
            x = x + y
            fused.append(x)
        for block, skip in zip(self.up, reversed(fused[:-1]), strict=True):
            x = F.interpolate(x, size=skip.shape[-2:], mode="bilinear", align_corners=False)
            x = block(torch.cat([x, skip], 1))
        x = F.interpolate(x, size=patch.shape[-2:], mode="bilinear", align_corners=False)
        return self.refine(torch.cat([x, *own], 1))

    def _read(self, patch: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """Return every cell's share of the mean, (N, fine, Y, X), and outline logits (N, 1, Y, X)."""
        fine = self._fine(patch)
        drawn = self.outline_head(fine)
        weight = drawn.float().sigmoid()
        shares = fine.float() * weight / (weight.sum((2, 3), keepdim=True) + self.MARGIN)
        return self.shares(shares), drawn

    def centred(self) -> torch.Tensor:
        """Return the weights (n_classes, fine) that turn the mean into logits: their mean over the classes is 0."""
        weight = self.class_head.get_parameter("weight").float()
        return weight - weight.mean(0, keepdim=True)

    def features(self, patch: torch.Tensor) -> torch.Tensor:
        """Return the mean of the last map where the network draws the spine, (N, fine)."""
        return self._read(patch)[0].sum((2, 3))

    def forward(self, patch: torch.Tensor) -> torch.Tensor:
        """Map (N, 3, Y, X) to class logits (N, n_classes)."""
        return F.linear(self.drop(self.features(patch)), self.centred())

    def forward_all(self, patch: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
        """Return class logits (N, n_classes), outline logits (N, 1, Y, X) and what cells say, (N, n_classes, Y, X)."""
        shares, drawn = self._read(patch)
        weight = self.centred()
        said = torch.einsum("nfyx,cf->ncyx", shares, weight)
        return F.linear(self.drop(shares.sum((2, 3))), weight), drawn, said

    def forward_both(self, patch: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """Return class logits (N, n_classes) and outline logits (N, 1, Y, X)."""
        logits, drawn, _ = self.forward_all(patch)
        return logits, drawn


def _pooled(fused: list[torch.Tensor]) -> torch.Tensor:
    return torch.cat([fused[-1].mean((2, 3)), fused[-2].mean((2, 3))], 1)


def _stem(channels: int, width: int) -> nn.Sequential:
    return nn.Sequential(
        nn.Conv2d(channels, width, 5, padding=2, bias=False),
        nn.BatchNorm2d(width),
        nn.ReLU(),
        nn.MaxPool2d(3, stride=2, padding=1),
    )


def _stage(before: int, filters: int, stride: int) -> nn.Sequential:
    skip = None
    if stride != 1 or before != filters:
        skip = nn.Sequential(nn.Conv2d(before, filters, 1, stride, bias=False), nn.BatchNorm2d(filters))
    return nn.Sequential(BasicBlock(before, filters, stride, skip), BasicBlock(filters, filters))


def build_shape_network(architecture: dict) -> ShapeResNet | JointShapeNet:
    """Build the network that a card's `architecture` describes ("shape-resnet", "shape-joint" or "shape-focus")."""
    n_classes = len(architecture["outputs"])
    if architecture["kind"] == "shape-focus":
        return FocusShapeNet(n_classes, architecture["width"], architecture["fine"])
    if architecture["kind"] == "shape-joint":
        return JointShapeNet(n_classes, architecture["width"])
    return ShapeResNet(
        architecture["depth"],
        n_classes,
        tuple(architecture.get("channels", (0,))),
        architecture.get("background", True),
    )

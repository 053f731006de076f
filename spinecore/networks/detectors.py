"""Builders of the two-stage detectors: Faster R-CNN and Mask R-CNN, small and as published.

The small networks put torchvision's region proposal network and box heads on the down and up paths of the
default method's U-Net: its up path, from the coarsest level to half the image's resolution, is a feature
pyramid, and its weights are already trained on simulated spines.
"""

from __future__ import annotations

from typing import Any

import torch
import torch.nn.functional as F
from torch import nn
from torchvision.models.detection import FasterRCNN
from torchvision.models.detection.anchor_utils import AnchorGenerator
from torchvision.models.detection.backbone_utils import resnet_fpn_backbone
from torchvision.models.detection.faster_rcnn import FastRCNNPredictor, TwoMLPHead
from torchvision.models.detection.rpn import RPNHead
from torchvision.ops import FrozenBatchNorm2d, MultiScaleRoIAlign

from spinecore.networks.pyramid import UNetPyramid
from spinecore.networks.two_stage import AsIs, BoxHeads, Detector, MaskBoxHeads, Proposals
from spinecore.networks.unet import down_path

#: Most boxes per image (Vogel et al. 2023).
MAX_BOXES = 80
#: Anchors of the small networks: edge lengths (px of 0.1 um) at strides 2, 4 and 8.
SMALL_ANCHORS_PX = ((4, 7), (11, 16), (24, 34))
ASPECT_RATIOS = (0.5, 1.0, 2.0)
#: Published: scale 8 at strides 4, 8, 16, 32 and 64 (Vogel et al. 2023, "Network training").
PUBLISHED_ANCHORS_PX = ((32,), (64,), (128,), (256,), (512,))


def build_small_detector(
    planes: int, widths: tuple[int, ...], features: int = 48, masks: bool = False
) -> Detector:
    """Build Faster R-CNN, or Mask R-CNN, on a U-Net pyramid.

    Parameters
    ----------
    planes : int
        Image planes.
    widths : tuple of int
        Filters of the U-Net.
    features : int
        Filters of the pyramid.
    masks : bool
        Add a mask head of `MASK_PX` x `MASK_PX` cells per box.
    """
    body = UNetPyramid(planes, widths, features, full=masks)
    levels = ["0", "1", "2"]
    anchors = AnchorGenerator(SMALL_ANCHORS_PX, (ASPECT_RATIOS,) * 3)
    rpn = Proposals(
        anchors,
        RPNHead(features, anchors.num_anchors_per_location()[0]),
        # 0.6 in place of the published 0.7: of boxes 5 px wide few anchors overlap that much
        fg_iou_thresh=0.6,
        bg_iou_thresh=0.3,
        batch_size_per_image=128,
        positive_fraction=0.5,
        pre_nms_top_n={"training": 300, "testing": 600},
        post_nms_top_n={"training": 200, "testing": 300},
        nms_thresh=0.7,
    )
    pool = {"featmap_names": levels, "sampling_ratio": 1, "canonical_scale": 16, "canonical_level": 2}
    kind, extra = (MaskBoxHeads, {"channels": features}) if masks else (BoxHeads, {})
    roi_heads = kind(
        MultiScaleRoIAlign(output_size=7, **pool),
        TwoMLPHead(features * 49, 192),
        FastRCNNPredictor(192, 2),
        fg_iou_thresh=0.5,
        bg_iou_thresh=0.5,
        batch_size_per_image=48,
        positive_fraction=0.33,
        bbox_reg_weights=None,
        score_thresh=0.05,
        nms_thresh=0.5,
        detections_per_img=MAX_BOXES,
        **extra,
    )
    transform = AsIs(800, 1333, [0.0] * planes, [1.0] * planes, size_divisible=body.stride)
    return Detector(body, rpn, roi_heads, transform)


def build_published_detector(image_px: int = 800, frozen_norm: bool = True) -> FasterRCNN:
    """Build Faster R-CNN with ResNeXt-101 32x8d and FPN as Vogel et al. 2023 describe it.

    Five levels at strides 4 to 64 with anchors of scale 8 and three ratios, assignment at 0.7 / 0.3,
    1,000 proposals after suppression at IoU 0.7, at most 80 boxes. Images have three planes.

    Parameters
    ----------
    image_px : int
        The shorter edge to which torchvision resizes images.
    frozen_norm : bool
        Keep the statistics of pretrained batch normalisation; False when training from nothing.
    """
    backbone = resnet_fpn_backbone(
        backbone_name="resnext101_32x8d",
        weights=None,
        norm_layer=FrozenBatchNorm2d if frozen_norm else nn.BatchNorm2d,
        trainable_layers=3 if frozen_norm else 5,
    )
    model = FasterRCNN(
        backbone,
        num_classes=2,
        min_size=image_px,
        max_size=round(image_px * 1.67),
        image_mean=[0.0] * 3,
        image_std=[1.0] * 3,
        rpn_anchor_generator=AnchorGenerator(PUBLISHED_ANCHORS_PX, (ASPECT_RATIOS,) * 5),
        rpn_fg_iou_thresh=0.7,
        rpn_bg_iou_thresh=0.3,
        rpn_nms_thresh=0.7,
        rpn_post_nms_top_n_train=1000,
        rpn_post_nms_top_n_test=1000,
        box_detections_per_img=MAX_BOXES,
    )
    rpn = model.rpn
    model.rpn = Proposals(
        rpn.anchor_generator,
        rpn.head,
        0.7,
        0.3,
        256,
        0.5,
        {"training": 2000, "testing": 1000},
        {"training": 1000, "testing": 1000},
        0.7,
    )
    model.roi_heads.__class__ = BoxHeads
    model.planes, model.stride = 3, 32
    return model


def cached_weights(name: str) -> dict[str, torch.Tensor]:
    """Read torchvision's ImageNet weights from torch's cache; nothing is downloaded.

    Raises
    ------
    FileNotFoundError
        If they are not there; the message says where they are looked for.
    """
    from pathlib import Path

    from torchvision.models import get_model_weights

    url = get_model_weights(name).DEFAULT.url
    path = Path(torch.hub.get_dir()) / "checkpoints" / url.rsplit("/", 1)[-1]
    if not path.exists():
        raise FileNotFoundError(
            f"the ImageNet weights of {name} are not in {path.parent}: put {path.name} there, or start without"
        )
    return torch.load(path, map_location="cpu", weights_only=True)


class FCN(nn.Module):
    """Fully convolutional network with residual blocks; score maps of all strides are summed.

    The fusion of coarse and fine scores is that of Long et al. 2015 (FCN-8s), carried on to full resolution.

    Parameters
    ----------
    in_channels : int
    widths : tuple of int
        Filters of the residual blocks, finest first.
    """

    def __init__(self, in_channels: int, widths: tuple[int, ...]) -> None:
        super().__init__()
        self.down = down_path(in_channels, widths)
        self.score = nn.ModuleList(nn.Conv2d(w, 1, 1) for w in widths)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Map (N, in_channels, Y, X) to logits (N, Y, X); Y and X divide by 2 ** (levels - 1)."""
        x = x.contiguous(memory_format=torch.channels_last)
        scores = []
        for index, (block, score) in enumerate(zip(self.down, self.score, strict=True)):
            x = block(x if index == 0 else F.max_pool2d(x, 2))
            scores.append(score(x))
        total = scores[-1]
        for finer in reversed(scores[:-1]):
            total = F.interpolate(total, scale_factor=2, mode="bilinear", align_corners=False) + finer
        return total[:, 0].float()


class Panoptic(nn.Module):
    """Mask R-CNN for spines and an FCN for dendrites, side by side without shared weights."""

    def __init__(self, planes: int, widths: tuple[int, ...], features: int = 48) -> None:
        super().__init__()
        self.spines = build_small_detector(planes, widths, features, masks=True)
        self.dendrites = FCN(planes, widths)
        self.planes, self.stride = planes, self.spines.stride


def build_detector(architecture: dict[str, Any]) -> nn.Module:
    """Build what a card's `architecture` of kind "faster-rcnn" or "panoptic" describes."""
    if architecture["kind"] == "panoptic":
        return Panoptic(architecture["in_channels"], tuple(architecture["widths"]), architecture["features"])
    if architecture["backbone"] == "resnext101_32x8d":
        return build_published_detector(architecture["image_px"], architecture["frozen_norm"])
    return build_small_detector(
        architecture["in_channels"], tuple(architecture["widths"]), architecture["features"]
    )


def start_from_unet(model: nn.Module, state: dict[str, torch.Tensor]) -> int:
    """Copy the blocks of a `UNet2d` into every pyramid and FCN of a model; return how many tensors fitted.

    Where the model has fewer or more input planes, the first convolution takes the sum over planes in
    its middle plane.
    """
    copied = 0
    for part in model.modules():
        if not isinstance(part, UNetPyramid | FCN):
            continue
        own = part.state_dict()
        for name, value in state.items():
            if name not in own or not name.startswith(("down.", "up.")):
                continue
            if own[name].shape != value.shape and value.dim() == 4:
                middle = own[name].shape[1] // 2
                summed = torch.zeros_like(own[name])
                summed[:, middle] = value.float().sum(1)
                value = summed
            if own[name].shape == value.shape:
                own[name] = value.to(own[name].dtype)
                copied += 1
        part.load_state_dict(own)
    return copied

"""torchvision's two-stage detector, where small and partly known objects ask for something else."""

from __future__ import annotations

from typing import Any

import torch
import torch.nn.functional as F
from torch import nn
from torchvision.models.detection.generalized_rcnn import GeneralizedRCNN
from torchvision.models.detection.mask_rcnn import MaskRCNNHeads, MaskRCNNPredictor
from torchvision.models.detection.roi_heads import RoIHeads
from torchvision.models.detection.rpn import RegionProposalNetwork
from torchvision.models.detection.transform import GeneralizedRCNNTransform
from torchvision.ops import roi_align

from spinecore.networks.pyramid import FULL, UNetPyramid

#: Target label of a box that is neither spine nor background; torchvision's samplers leave it out.
IGNORED = -1
#: Cells along each side of a box's mask (He et al. 2017).
MASK_PX = 28


class Proposals(RegionProposalNetwork):
    """The region proposal network of torchvision in full precision, with boxes that are left out of the loss.

    Under autocast torchvision's box coder takes boxes to the precision of the network's answers, and
    bfloat16 rounds a coordinate between 128 and 256 to whole pixels: a fifth of a small spine's box.
    """

    def forward(self, images: Any, features: Any, targets: Any = None) -> Any:
        """Propose boxes; see torchvision."""
        with torch.autocast(features["0"].device.type, enabled=False):
            levels = {k: v.float() for k, v in features.items() if k != FULL}
            return super().forward(images, levels, targets)

    def assign_targets_to_anchors(
        self, anchors: list[torch.Tensor], targets: list[dict[str, torch.Tensor]]
    ) -> tuple[list[torch.Tensor], list[torch.Tensor]]:
        """Assign as published, but anchors whose best box is `IGNORED` count neither way."""
        labels, boxes = [], []
        for own, target in zip(anchors, targets, strict=True):
            truth = target["boxes"]
            if not len(truth):
                labels.append(torch.zeros(len(own), device=own.device))
                boxes.append(torch.zeros_like(own))
                continue
            matched = self.proposal_matcher(self.box_similarity(truth, own))
            nearest = matched.clamp(min=0)
            label = (matched >= 0).float()
            label[matched == self.proposal_matcher.BETWEEN_THRESHOLDS] = -1.0
            label[(matched >= 0) & (target["labels"] == IGNORED)[nearest]] = -1.0
            labels.append(label)
            boxes.append(truth[nearest])
        return labels, boxes


class BoxHeads(RoIHeads):
    """The box heads of torchvision in full precision, for the reason given at `Proposals`."""

    def forward(self, features: Any, proposals: Any, image_shapes: Any, targets: Any = None) -> Any:
        """Classify and refine boxes; see torchvision."""
        with torch.autocast(proposals[0].device.type, enabled=False):
            whole = {k: v.float() for k, v in features.items()}
            return super().forward(whole, proposals, image_shapes, targets)


class MaskBoxHeads(BoxHeads):
    """Box heads with Mask R-CNN's head on top, its masks in the pixel frame of the boxes.

    torchvision's own mask branch takes the last pixel of a box as part of it and samples features and
    truth half a pixel aside: nothing for a person in a photograph, an eighth of a spine 8 px wide. Here
    a box from x_min to x_max is cut into cells of (x_max - x_min) / `MASK_PX`, in training and after it;
    masks come back per box, `MASK_PX` on a side, to be put into the image by `spinecore.methods.detect`.
    """

    def __init__(self, *args: Any, channels: int, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.masks = nn.Sequential(
            MaskRCNNHeads(channels, (channels, channels), 1), MaskRCNNPredictor(channels, channels, 1)
        )
        self._drawn: tuple[Any, Any, Any] | None = None

    def select_training_samples(self, proposals: Any, targets: Any) -> Any:
        """Sample boxes as torchvision does, and keep them for the masks."""
        drawn = super().select_training_samples(proposals, targets)
        self._drawn = drawn[:3]
        return drawn

    def forward(self, features: Any, proposals: Any, image_shapes: Any, targets: Any = None) -> Any:
        """Classify and refine boxes, then draw a mask (n, 1, `MASK_PX`, `MASK_PX`) in each."""
        found, losses = super().forward(features, proposals, image_shapes, targets)
        with torch.autocast(proposals[0].device.type, enabled=False):
            if not self.training:
                parts = self._logits(features[FULL], [f["boxes"] for f in found]).sigmoid()
                for own, mask in zip(found, parts.split([len(f["boxes"]) for f in found]), strict=True):
                    own["masks"] = mask
                return found, losses
            assert self._drawn is not None  # `select_training_samples` has run
            boxes, matched, labels = self._drawn
            boxes = [b[k == 1] for b, k in zip(boxes, labels, strict=True)]
            matched = [m[k == 1] for m, k in zip(matched, labels, strict=True)]
            logits = self._logits(features[FULL], boxes)[:, 0]
            truth = [
                roi_align(
                    target["masks"][m][:, None].float(),
                    torch.cat([torch.arange(len(b), device=b.device)[:, None].to(b), b], 1),
                    MASK_PX,
                    aligned=True,
                )[:, 0]
                for target, m, b in zip(targets, matched, boxes, strict=True)
            ]
            wanted = torch.cat(truth)
            losses["loss_mask"] = (
                F.binary_cross_entropy_with_logits(logits, wanted) if len(wanted) else logits.sum() * 0
            )
        return found, losses

    def _logits(self, features: torch.Tensor, boxes: list[torch.Tensor]) -> torch.Tensor:
        # sampled at the image's own resolution, two points per feature
        return self.masks(roi_align(features.float(), boxes, MASK_PX // 2, sampling_ratio=2, aligned=True))


class AsIs(GeneralizedRCNNTransform):
    """The transform of torchvision without resizing (its own `_skip_resize` holds for training only)."""

    def resize(self, image: torch.Tensor, target: Any = None) -> tuple[torch.Tensor, Any]:
        """Return both as they are."""
        return image, target

    def postprocess(self, result: Any, image_shapes: Any, original_image_sizes: Any) -> Any:
        """Return boxes and masks as they are."""
        return result


class Detector(GeneralizedRCNN):
    """A two-stage detector on a `UNetPyramid`; takes images as they are, without resizing."""

    def __init__(
        self, backbone: UNetPyramid, rpn: nn.Module, roi_heads: nn.Module, transform: nn.Module
    ) -> None:
        super().__init__(backbone, rpn, roi_heads, transform)
        self.planes = backbone.planes
        self.stride = backbone.stride

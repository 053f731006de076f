"""Fine-tuning of the second look at the heads of stacks on a user's own marks.

The maps of the shipped `centre-unet-3d` are drawn once, and each candidate head is learned from with its truth: a mark, none, or
unknown where nobody may have looked. The network is small, so minutes on a CPU go over all of them many times.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from scipy.spatial import cKDTree
from torch import nn

from spinecore.errors import SpinecoreError
from spinecore.methods.second_look import reads_two_scales
from spinecore.networks.scale import CANONICAL_UM
from spinecore.networks.zoo import MODELS_DIR, get_card, load_network
from spinecore.training.finetune import FineTune
from spinecore.training.head_batches import Sampler
from spinecore.training.head_score import count_heads, score_stack
from spinecore.training.held_out import NEAR_MARK_UM, Score
from spinecore.training.labelled import READS, LabelledCandidates, draw_maps, label_candidates
from spinecore.training.marked import Marked
from spinecore.training.pool import PoolVolume
from spinecore.training.recipe import Context
from spinecore.training.schedule import Start
from spinecore.training.start import mean_of

#: Lower than for maps: with 7e-4, the trained weights got worse on what they did not see.
LEARNING_RATE = 2e-4
#: Share of a batch that is of the user's stacks, the rest is simulated.
OWN_SHARE = 0.75
#: Fewest marks with a candidate that it starts with.
FEWEST_FOUND = 3


def own_candidates(volume: PoolVolume, maps: np.ndarray, complete: bool) -> LabelledCandidates:
    """Find the candidates of a marked stack, and what each is.

    Parameters
    ----------
    volume : PoolVolume
    maps : ndarray, uint8, shape (3 or 6, Z, Y, X)
    complete : bool
        False: farther than `NEAR_MARK_UM` from every mark, what is no marked head is unknown.
    """
    found = label_candidates(volume, maps)
    seen = volume.centres[volume.centres[:, 3] > 0, :3]
    if complete or not len(found.truth):
        return found
    um = np.array([volume.z_um, CANONICAL_UM, CANONICAL_UM])
    away = (
        cKDTree(seen * um).query(found.centres_px * um)[0] if len(seen) else np.full(len(found.truth), np.inf)
    )
    found.truth[(found.truth == 0) & ~found.again & (away > NEAR_MARK_UM)] = -1
    return found


def leave_out_likely(stack: LabelledCandidates, scores: np.ndarray, height: float) -> None:
    """Say of unmarked heads that a network takes for spines that they are unknown: where not every spine is marked, they may be some.

    Parameters
    ----------
    stack : LabelledCandidates
        Changed.
    scores : ndarray, shape (n,)
        The network's, of each candidate.
    height : float
        The lowest score of a spine.
    """
    stack.truth[(stack.truth == 0) & ~stack.again & (scores >= height)] = -1


class FineTuneHeads(FineTune):
    """A copy of the second look, trained on a user's own stacks.

    A person marks some tens of heads, often of one dendrite: the trained weights alone know these, and did worse on another part of the
    dendrite than the parent. What is scored and kept is their mean with the parent's.
    """

    learning_rate = LEARNING_RATE
    kept: nn.Module | None = None

    def open_held_out(self, context: Context) -> None:
        """Draw the maps of the held-out stacks."""
        self.maps_from = get_card(READS)
        if self.parent.data.get("reads_maps_of", {}).get("sha256") != self.maps_from.sha256:
            raise SpinecoreError(
                f"{self.parent.name} learned from the maps of another {READS} than the one of this version: "
                "start from the shipped one"
            )
        self.maps_network = load_network(READS, context.device, MODELS_DIR, folded=True)
        self.held_stacks = [self._candidates(one.volume, self.request.complete) for one in self.held]

    def open_learned(self, learned: list[Marked], simulated: list[PoolVolume], context: Context) -> None:
        """Draw the maps of the other stacks, and say what each candidate there is."""
        stacks = []
        for number, one in enumerate(learned):
            self.report("Preparing the images", 0.05 + 0.05 * number / len(learned))
            stacks.append(self._candidates(one.volume, self.request.complete))
            if not self.request.complete:
                leave_out_likely(stacks[-1], score_stack(self.parent_network, stacks[-1]), self.height)
        found, spines = sum(int((s.truth == 1).sum()) for s in stacks), sum(one.n_spines for one in learned)
        context.say(f"{found} of {spines} marked spines to learn from have a candidate head")
        if found < FEWEST_FOUND:
            raise SpinecoreError(
                f"only {found} of {spines} marked spines lie at a head that the network sees: check that marks and images belong "
                f"together and the voxel size is right, or teach the maps themselves (start from {READS})",
            )
        more = [self._candidates(volume, True) for volume in simulated]
        channels = int(self.parent.data["architecture"]["channels"])
        self.sampler = (
            Sampler(more, self.request.seed, stacks, real_share=OWN_SHARE, channels=channels)
            if more
            else Sampler(stacks, self.request.seed, channels=channels)
        )

    def loss(self, model: nn.Module, batch: dict[str, torch.Tensor]) -> torch.Tensor:
        """Binary cross-entropy."""
        logits = model(batch["fine"], batch["wide"], batch["features"]).float()
        return F.binary_cross_entropy_with_logits(logits, batch["truth"])

    def validate(self, model: nn.Module) -> dict[str, float]:
        """Score the mean with the parent; once it is made, what is given."""
        return super().validate(model if model is self.kept else mean_of(model, self.parent_network))

    def finish(self, model: nn.Module, start: Start) -> nn.Module:
        """Return the mean with the parent."""
        self.kept = mean_of(model, self.parent_network)
        return self.kept

    def ranges(self) -> dict[str, Any]:
        """Return the range of images that the maps were learned from, or the parent's."""
        return super().ranges() or dict(self.maps_from.data.get("trained_range") or {})

    def _candidates(self, volume: PoolVolume, complete: bool) -> LabelledCandidates:
        maps = draw_maps(self.maps_network, volume, reads_two_scales(self.parent_network))
        return own_candidates(volume, maps, complete)

    def _score(self, model: nn.Module, heights: np.ndarray) -> list[Score]:
        stacks = self.held_stacks
        counts = count_heads(stacks, [score_stack(model, stack) for stack in stacks], heights)
        return [Score(int(truth), int(predicted), int(matched)) for matched, predicted, truth in counts]

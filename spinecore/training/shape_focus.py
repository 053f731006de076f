"""Recipe of the default shape classifier: it begins with the weights of shape-joint and learns where to read the class.

classes2d/val chooses nothing: the temperature comes from image groups of classes2d/train and simulated stacks that are kept
apart, and the weights are the last moving average.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from torch import nn

from spinecore.errors import SpinecoreError
from spinecore.networks.zoo import get_card, load_network
from spinecore.training.recipe import Context, Stage, Trained
from spinecore.training.schedule import Start
from spinecore.training.shape_samples import Spines
from spinecore.training.shape_scores import predict, score
from spinecore.training.shapes import ShapeRecipe, fit_temperature, mixed_sampler, schedule
from spinecore.training.start import load_shipped_weights

#: Where the encoder comes from.
BASE = "shape-joint"
#: One image group of classes2d/train in so many is kept for the temperature.
KEPT_APART = 8


class FocusRecipe(ShapeRecipe):
    """See `spinecore.networks.shapes.FocusShapeNet`."""

    def prepare(self, context: Context) -> None:
        """Also keep some groups of training images apart."""
        super().prepare(context)
        groups = np.random.default_rng(0).permutation(np.unique(self.learned.groups))
        apart = np.isin(self.learned.groups, groups[: max(1, len(groups) // KEPT_APART)])
        self.apart = self.learned.take(apart)
        self.learned = self.learned.take(~apart)
        self.sampler = mixed_sampler(self.plan, self.learned, self.pool)

    def start(self, model: nn.Module, context: Context) -> Start:
        """Go on with weights of the same architecture, else take over what fits of `BASE`."""
        found = load_shipped_weights(model, self.name, self.architecture())
        if found.goes_on:
            return found
        try:
            card = get_card(BASE)
        except SpinecoreError:
            return Start()
        if card.data["architecture"]["width"] != self.architecture()["width"]:
            return Start()
        own = model.state_dict()
        fits = {
            k: v for k, v in load_network(BASE).state_dict().items() if k in own and v.shape == own[k].shape
        }
        model.load_state_dict(own | fits)
        return Start(f"encoder and decoder of {BASE}, sha256 {card.sha256}")

    def stages(self, context: Context, start: Start) -> list[Stage]:
        """One stage on real and simulated spines together; steps in proportion to the minutes."""
        steps = max(1, round(self.plan.after * context.minutes / self.plan.minutes))
        rate = self.plan.rate * (0.5 if start.goes_on else 1.0)
        return [Stage("state", self.sampler.batch, schedule(steps, rate))]

    def validate(self, model: nn.Module) -> dict[str, Any]:
        """Fit the temperature on what was kept apart, and score the validation spines with it."""
        tight = self.apart.take(np.arange(len(self.apart)))
        tight.patches = tight.patches.copy()
        tight.patches[:, 1] = tight.tight
        temperature = fit_temperature(model, Spines.join([self.apart, tight]))
        scores = score(predict(model, self.held, temperature=temperature), self.held.labels)
        return scores | {"select": scores["accuracy_four_way"], "temperature": temperature}

    def card(self, trained: Trained) -> dict[str, Any]:
        """Also say where the temperature comes from."""
        return super().card(trained) | {
            "temperature_from": f"four-way log-likelihood on {len(self.apart)} spines of classes2d/train that were not learned, "
            "outlines as given and tight",
        }

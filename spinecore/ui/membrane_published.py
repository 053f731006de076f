"""The scores of the membrane methods beside those of the publication, on the Membranes page."""

from __future__ import annotations

import pandas as pd
import streamlit as st

from spinecore.membranes.methods import KNOWN, PUBLISHED
from spinecore.membranes.truth import SCORE_TITLES
from spinecore.networks.zoo import list_cards


def draw_published() -> None:
    """Draw the scores of the publication beside those measured here, from the cards."""
    rows = []
    cards = {card.name: card.data for card in list_cards()}
    for name, method in KNOWN.items():
        for variant, here in cards.get(name, {}).get("membrane_scores", {}).items():
            row = {"Method": method.title, "Used with": variant}
            for at, key in enumerate(("iou", "dice", "pixel_error", "rand_error")):
                title = SCORE_TITLES[key][0].split(" (")[0]
                paper = f"{PUBLISHED[name][at]:.3f}" if name in PUBLISHED else "–"
                row[f"{title}: paper, here"] = f"{paper}, {here[key]:.3f}"
            rows.append(row | {"V_rand": f"{here['v_rand']:.3f}", "Seconds": f"{here['seconds']:.1f}"})
    if not rows:
        st.caption("No scores yet: run python -m benchmarks.membranes --write.")
        return
    st.dataframe(pd.DataFrame(rows), hide_index=True, width="stretch", height="content")
    st.caption(
        "Trained for minutes on one CPU core so far. Sections 20-24 of the ISBI 2012 training stack (here) and the publication's own split "
        "(paper), so that the two are not on the same images. The scored class is the inside of cells. The paper's IoU "
        "does not follow from its Dice (a Dice of 0.9617 is an IoU of 0.926), so its IoU was computed differently. Seconds are for a "
        "section of 512 × 512 pixels."
    )

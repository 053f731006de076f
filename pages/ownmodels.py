"""Own models: weights that a user brings along, checked, kept in the workspace and offered on the Analyse page."""

from __future__ import annotations

import tempfile
from pathlib import Path

import pandas as pd
import streamlit as st

from spinecore.errors import SpinecoreError
from spinecore.networks.zoo import Card
from spinecore.ui.layout import side_by_side
from spinecore.ui.moving import go_to
from spinecore.ui.session import workspace
from spinecore.ui.uploads import forget
from spinecore.ui.words import count_text, sentence, size_text
from spinecore.workspace.own_models import add_model, check_file_name, list_own, models_folder, remove_model

HELP = (
    "Two files: the weights (.safetensors) and their card (.json). Other formats, such as .pt, .pth or .pkl, can run "
    "code when opened and are rejected."
)


def take_in(key: str) -> None:
    """Check and store what was uploaded, and draw a new, empty uploader."""
    files = list(st.session_state.get(key) or ())
    if len(files) < 2 and not any(_is_refused(file.name) for file in files):
        return
    state = st.session_state
    try:
        with tempfile.TemporaryDirectory(dir=workspace().root / "tmp") as folder:
            state["own_model_note"] = _store(files, Path(folder))
        state["own_model_problem"] = None
    except SpinecoreError as error:
        state["own_model_problem"], state["own_model_note"] = sentence(error), None
    except OSError as error:
        text = f"The model could not be stored ({error.strerror}): free some space and try again."
        state["own_model_problem"], state["own_model_note"] = text, None
    finally:
        for file in files:
            forget(file)
    state["own_model_turn"] = state.get("own_model_turn", 0) + 1


def _is_refused(name: str) -> bool:
    try:
        check_file_name(name)
    except SpinecoreError:
        return True
    return False


def _store(files: list, folder: Path) -> str:
    for file in files:
        check_file_name(file.name)
    cards = [file for file in files if file.name.lower().endswith(".json")]
    weights = [file for file in files if file.name.lower().endswith(".safetensors")]
    if len(files) != 2 or len(cards) != 1 or len(weights) != 1:
        raise SpinecoreError("give exactly two files at once: one .safetensors and its card, a .json")
    paths = folder / "weights.safetensors", folder / "card.json"
    for file, path in zip((weights[0], cards[0]), paths, strict=True):
        file.seek(0)
        with path.open("wb") as target:
            while piece := file.read(1 << 22):
                target.write(piece)
    card = add_model(
        models_folder(workspace().root), *paths, weights_name=weights[0].name, card_name=cards[0].name
    )
    return (
        f"**{card.name}** was added. Choose it under Weights on the Analyse page with the method "
        f"{card.data['method']}, "
        f"in place of {card.data['replaces']}."
    )


def draw_upload() -> None:
    """Draw the uploader and the outcome of the last upload."""
    key = f"own_model_{st.session_state.get('own_model_turn', 0)}"
    st.file_uploader(
        "Weights (.safetensors) and card (.json), both together",
        accept_multiple_files=True,
        key=key,
        help=HELP,
        on_change=take_in,
        args=(key,),
    )
    waiting = list(st.session_state.get(key) or ())
    if len(waiting) == 1:
        st.caption(f"{waiting[0].name} is here; its {_other(waiting[0].name)} is still missing.")
    if problem := st.session_state.get("own_model_problem"):
        st.error(problem)
    if note := st.session_state.get("own_model_note"):
        st.success(note)


def _other(name: str) -> str:
    return "weights (.safetensors)" if name.lower().endswith(".json") else "card (.json)"


def draw_card(card: Card) -> None:
    """Draw one model with its scores and what can be done with it."""
    data = card.data
    with st.container(border=True, gap="xsmall"):
        head, actions = st.columns([1, 1.25], vertical_alignment="center")
        head.markdown(f"**{card.name}**")
        with actions.container(horizontal=True, horizontal_alignment="right", gap="small"):
            st.download_button(
                "Weights",
                lambda: card.weights.read_bytes(),
                card.weights.name,
                "application/octet-stream",
                key=f"weights_{card.name}",
                on_click="ignore",
            )
            st.download_button(
                "Card",
                lambda: card.path.read_bytes(),
                card.path.name,
                "application/json",
                key=f"card_{card.name}",
                on_click="ignore",
            )
            with st.popover("Delete", type="tertiary", key=f"ask_{card.name}"):
                st.markdown("The weights will be deleted permanently. Analyses made with them are kept.")
                st.button(
                    f"Delete {card.name}",
                    type="primary",
                    key=f"delete_{card.name}",
                    on_click=_delete,
                    args=(card.name,),
                )
        parent = data.get("parent", {}).get("name") if isinstance(data.get("parent"), dict) else None
        facts = [
            str(data.get("title", "")),
            f"for {data.get('method')}, in place of {data.get('replaces')}",
            f"made from {parent}" if parent else "",
            f"{data.get('parameters', 0):,} parameters, {size_text(data.get('bytes', 0))}",
        ]
        st.caption(" · ".join(fact for fact in facts if fact))
        scores = pd.DataFrame(
            [s for s in data.get("scores", []) if isinstance(s, dict)],
            columns=["value", "measure", "data", "threshold"],
        )
        if len(scores):
            st.dataframe(
                scores.rename(
                    columns={
                        "data": "Data",
                        "measure": "Measure",
                        "value": "Value",
                        "threshold": "Lowest score",
                    }
                ),
                hide_index=True,
                width="stretch",
                column_config={"Value": st.column_config.NumberColumn(format="%.3f")},
            )


def _delete(name: str) -> None:
    try:
        remove_model(models_folder(workspace().root), name)
    except SpinecoreError as error:
        st.session_state["own_model_problem"] = sentence(error)
    st.session_state["own_model_note"] = None


st.title("Own models", anchor=False)
left, right = side_by_side("models", [1, 1.4], gap="large")
with left:
    st.markdown(
        "Weights trained elsewhere can replace those of a method if their network has the same architecture."
    )
    draw_upload()
    if st.button("Train one on your own images", key="go_train"):
        go_to("pages/train.py")
with right:
    found = list_own(models_folder(workspace().root))
    st.subheader(count_text(len(found), "model") if found else "Your models", anchor=False)
    if not found:
        st.caption(
            "There are none yet. Upload weights with their card, or train a model on your own annotated images."
        )
    for one in found:
        draw_card(one)

"""Fine-tune: a copy of a model is trained on the user's own annotated images; the old model is kept."""

from __future__ import annotations

import secrets
import shutil
from pathlib import Path

import streamlit as st
from pydantic import ValidationError
from streamlit.runtime.uploaded_file_manager import UploadedFile

from spinecore.errors import SpinecoreError
from spinecore.files import safe_name
from spinecore.jobs.trainings import data_folder
from spinecore.methods import METHODS
from spinecore.networks.zoo import list_cards
from spinecore.reading import open_stack
from spinecore.training.request import (
    FEWEST_SPINES,
    METHOD,
    Request,
    Source,
    check_minutes,
    default_parent,
)
from spinecore.training.sources import ANNOTATION_SUFFIXES, check_sources, find_sources
from spinecore.ui.checked import CHECKED, checked_words, most_checked, with_checked
from spinecore.ui.fields import within
from spinecore.ui.layout import side_by_side
from spinecore.ui.session import manager, report, workspace
from spinecore.ui.training import draw_runs
from spinecore.ui.words import count_text, distinct, sentence
from spinecore.workspace.own_models import check_name, list_own, models_folder, suggest_name
from spinecore.workspace.records import JobRecord

DATA_SOURCES = {"analyses": "Checked analyses", "upload": "Annotated images"}
#: What of the default method each of the shipped weights is, that can learn.
WHAT_LEARNS = {
    "head-score": "the second look at each head",
    "centre-unet-3d": "the maps of stacks",
    "centre-unet-2d": "the maps of single images",
}
MARKS_HELP = (
    "Images or stacks, and for each one a table of the same name: cell1.tif and cell1.csv with the columns x_px and "
    "y_px (for a stack also z_px), counted from 0. One table for all images works too, with a column image. "
    "VGG Image Annotator files, ImageJ ROI zips and Cell Counter files (XML) are read as well."
)


def analyses_with_stack() -> dict[str, JobRecord]:
    """Return the finished analyses whose stack is still here: of each image one that was checked, else the newest."""
    found: dict[tuple[object, ...], list[JobRecord]] = {}
    for job in workspace().jobs(states=("done",)):
        try:
            if not workspace().stack_path(job.stack_sha256).is_file():
                continue
        except SpinecoreError:
            continue
        place = (
            job.stack_sha256,
            job.settings.get("channel", 0),
            job.settings.get("time_point", 0),
            job.settings.get("method"),
            job.settings.get("model"),
        )
        found.setdefault(place, []).append(job)
    chosen = [most_checked(jobs) for jobs in found.values()]
    return {job.id: job for job in sorted(chosen, key=lambda job: checked_words(job.id) != CHECKED)}


def spine_count(job: JobRecord) -> int:
    """Return the number of spines of an analysis as it is stored."""
    progress = workspace().progress(job.id)
    return int(progress.summary.get("spines") or 0) if progress else 0


def choose_analyses() -> tuple[list[Source], bool | None]:
    """Draw the choice of analyses; return sources, and whether they are single images (None: nothing chosen)."""
    jobs = analyses_with_stack()
    if not jobs:
        st.caption("There is no finished analysis whose stack is still here.")
        return [], None
    names = distinct({job_id: _analysis_name(job) for job_id, job in jobs.items()})
    keys = st.multiselect(
        "Analyses to learn from",
        list(jobs),
        format_func=names.__getitem__,
        placeholder="Choose analyses that you have checked",
        key="train_analyses",
        help="Their saved spines are used as the ground truth: choose only analyses that you have checked and corrected.",
    )
    sources, flat = [], set()
    for key in keys:
        job = jobs[key]
        sources.append(
            Source(
                image=workspace().stack_path(job.stack_sha256),
                annotation=workspace().result_folder(key),
                name=job.stack_name,
                channel=int(job.settings.get("channel", 0)),
                time_point=int(job.settings.get("time_point", 0)),
                pixel_um=job.settings.get("pixel_um"),
                z_um=job.settings.get("z_um"),
            )
        )
        flat.add(report(workspace().stack(job.stack_sha256)).shape_tczyx[2] == 1)
    if len(flat) > 1:
        st.warning("Single images and stacks are trained separately: choose only one kind.")
        return [], None
    if keys:
        st.caption(
            f"{count_text(sum(spine_count(jobs[key]) for key in keys), 'spine')} in total; at least "
            f"{FEWEST_SPINES} are needed, 100 or more are better."
        )
    return sources, flat.pop() if flat else None


def _analysis_name(job: JobRecord) -> str:
    local = job.submitted.astimezone()
    parts = [job.stack_name, count_text(spine_count(job), "spine"), f"{local.day} {local:%b, %H:%M}"]
    return with_checked(", ".join(parts), job.id)


def choose_uploads() -> tuple[list, bool | None, float | None, float | None]:
    """Draw the uploader; return the files, whether they are single images, and the voxel size typed in."""
    files = st.file_uploader(
        "Images and annotation tables, all together",
        accept_multiple_files=True,
        key=f"train_upload_{st.session_state.get('train_turn', 0)}",
        help=MARKS_HELP,
    )
    kind = st.segmented_control(
        "Type of image",
        ["Single images", "Stacks"],
        default="Single images",
        required=True,
        key="train_kind",
    )
    with st.container(horizontal=True):
        pixel_um = st.number_input(
            "Pixel size (µm)", value=None, step=0.01, format="%.4g", placeholder="the files' own"
        )
        z_um = None
        if kind == "Stacks":
            z_um = st.number_input(
                "Slice step (µm)", value=None, step=0.1, format="%.4g", placeholder="the files' own"
            )
    return list(files or ()), (kind == "Single images" if files else None), pixel_um, z_um


def store_uploads(files: list, is_2d: bool, pixel_um: float | None, z_um: float | None) -> list[Source]:
    """Put uploaded images and marks into the workspace and pair them; nothing is left behind when that fails."""
    if pixel_um is not None:
        within("Pixel size (µm)", pixel_um, 0.001, 10.0)
    if z_um is not None:
        within("Slice step (µm)", z_um, 0.001, 50.0)
    folder = data_folder(workspace()) / secrets.token_hex(8)
    folder.mkdir(parents=True)
    try:
        for file in files:
            file.seek(0)
            with (folder / safe_name(file.name)).open("wb") as target:
                shutil.copyfileobj(file, target, 1 << 22)
        tables = [path for path in folder.iterdir() if path.suffix.lower() in ANNOTATION_SUFFIXES]
        if not tables:
            raise SpinecoreError("there is no annotation table among the files: add a CSV for each image")
        try:
            sources, left_out = find_sources(folder, folder, pixel_um, z_um)
        except SpinecoreError:
            if len(tables) != 1:
                raise
            sources, left_out = find_sources(folder, tables[0], pixel_um, z_um)
        if left_out:
            raise SpinecoreError(
                f"{left_out[0]} has no annotations: add a table of the same name, or leave it out"
            )
        for source in sources:
            with open_stack(source.image) as file:
                if (file.shape_tczyx[2] == 1) != is_2d:
                    kind = "a single image" if file.shape_tczyx[2] == 1 else "a stack"
                    raise SpinecoreError(f"{source.image.name} is {kind}: give only one kind, and say which")
        check_sources(sources)
    except BaseException:
        shutil.rmtree(folder, ignore_errors=True)
        raise
    return sources


def parents_for(is_2d: bool) -> dict[str, Path | None]:
    """Return the models that can be started from, and the folder of those that are the user's own."""
    roles = METHODS[METHOD].roles(is_2d)[::-1]  # what learns by default comes first
    there = {card.name for card in list_cards()}
    shipped: dict[str, Path | None] = {role: None for role in roles if role in there}
    own = models_folder(workspace().root)
    return shipped | {card.name: own for card in list_own(own) if card.data.get("replaces") in roles}


def draw_form() -> None:
    """Draw what is to be chosen, and the button that starts."""
    way = st.segmented_control(
        "Learn from",
        list(DATA_SOURCES),
        default="analyses",
        format_func=DATA_SOURCES.__getitem__,
        required=True,
        key="train_way",
    )
    files: list[UploadedFile] = []
    sources: list[Source] = []
    pixel_um = z_um = None
    if way == "analyses":
        sources, is_2d = choose_analyses()
    else:
        files, is_2d, pixel_um, z_um = choose_uploads()
    if is_2d is None:
        st.button("Start training", type="primary", disabled=True, width="stretch", key="start_training_off")
        return
    parents = parents_for(is_2d)
    if not parents:
        st.error(f"The weights {default_parent(is_2d)} are missing: install the program again.")
        return
    parent = st.selectbox(
        "Start from",
        list(parents),
        format_func=lambda name: f"{name} ({WHAT_LEARNS[name]})" if name in WHAT_LEARNS else name,
        key=f"train_parent_{is_2d}",
        help="In stacks the second look at each head learns: what looks like a head is found as before, and is judged anew. "
        "Teach the maps only where heads are not seen at all; analyses with such weights have no second look and no estimated sizes.",
    )
    with st.container(horizontal=True, vertical_alignment="bottom"):
        name = st.text_input(
            "Name of the new model",
            suggest_name(f"{parent}-own", models_folder(workspace().root)),
            key=f"train_name_{parent}",
            max_chars=60,
        )
        minutes = st.number_input("Minutes", value=5.0, step=1.0, key="train_minutes", width=110)
    complete = st.toggle(
        "Every spine in these images is annotated",
        True,
        key="train_complete",
        help="Everything else then counts as background, and the model learns to reject it.",
    )
    if st.button("Start training", type="primary", width="stretch", key="start_training"):
        try:
            check_name(name, models_folder(workspace().root))
            check_minutes(minutes)
            if way == "upload":
                sources = store_uploads(files, is_2d, pixel_um, z_um)
            else:
                check_sources(sources)
            request = Request(
                name=name.strip().lower(),
                parent=parent,
                parent_folder=parents[parent],
                sources=tuple(sources),
                minutes=float(minutes),
                complete=complete,
            )
            manager().submit(None, request, "training")
        except SpinecoreError as error:
            st.session_state["train_problem"] = sentence(error)
        except ValidationError:
            st.session_state["train_problem"] = "These settings are not valid: check the fields."
        except OSError as error:
            st.session_state["train_problem"] = (
                f"The training could not be started ({error.strerror}): free some space and try again."
            )
        else:
            st.session_state.pop("train_problem", None)
            st.session_state["train_turn"] = st.session_state.get("train_turn", 0) + 1
        st.rerun()
    if problem := st.session_state.get("train_problem"):
        st.error(problem)


st.title("Fine-tune", anchor=False)
left, right = side_by_side("train", [1, 1.25], gap="large")
with left:
    st.markdown(
        "A copy of a network of the default method is trained on your own images, in minutes on a CPU. "
        "About 30 % of the data are held out to score the model before and after."
    )
    draw_form()
with right:
    st.subheader("Trainings", anchor=False)
    draw_runs()

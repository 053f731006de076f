"""Compare groups: a sheet says which analysis is of which animal, cell and condition; animals are compared, not spines."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace
from functools import partial
from typing import Any

import pandas as pd
import streamlit as st

from spinecore.corrections.samplecheck import read_check
from spinecore.errors import SpinecoreError
from spinecore.groups.figure import FORMATS, figure_bytes, group_figure
from spinecore.groups.files import group_files, zipped
from spinecore.groups.sheet import EXAMPLE, FIELDS, Sample, match_names, parse_sheet, read_sample
from spinecore.groups.summary import (
    COMPARISON_COLUMNS,
    LEVELS,
    SPINE_MEASURES,
    compare_conditions,
    group_notes,
    independence,
    measure_columns,
    summarise_groups,
)
from spinecore.reading.text import read_rows
from spinecore.tables.column import Column
from spinecore.ui.checked import CHECKED, CORRECTED, checked_words, most_checked
from spinecore.ui.colours import heading, unit_text
from spinecore.ui.groupcheck import draw_group_check
from spinecore.ui.layout import side_by_side
from spinecore.ui.session import result_version, workspace
from spinecore.ui.tables import help_text, number_format
from spinecore.ui.words import count_text, sentence
from spinecore.workspace.records import JobRecord

#: Kept between visits of the page in one session; widgets' own values are not.
SHEET = "groups_sheet_text"
MIME = {"svg": "image/svg+xml", "pdf": "application/pdf", "png": "image/png"}
TITLES = {"dendrite": "Dendrites", "cell": "Cells", "animal": "Animals", "condition": "Conditions"}


def own_sheet(jobs: list[JobRecord]) -> str:
    """Return a sheet with one analysis of each stack, animal and condition to be filled in.

    Of a stack that was analysed more than once it is one that was checked, else the newest, by its id.
    """
    of_stack: dict[str, list[JobRecord]] = {}
    for job in jobs:
        of_stack.setdefault(job.stack_sha256, []).append(job)
    times = Counter(job.stack_name for job in jobs)
    chosen = [most_checked(several) for several in of_stack.values()]
    names = [job.stack_name if times[job.stack_name] == 1 else job.id for job in chosen]
    lines = [f"{name}\t\tcell {k}\t" for k, name in enumerate(names, 1)]
    return "\n".join(["analysis\tanimal\tcell\tcondition", *lines]) + "\n"


def ask_for_sheet(jobs: list[JobRecord]) -> str:
    """Draw the text field, the upload and the button that lists the analyses; return the sheet's text."""
    field = "groups_sheet_field"
    st.session_state.setdefault(field, st.session_state.get(SHEET, ""))

    def take_upload() -> None:
        uploaded = st.session_state["groups_upload"]
        if uploaded is not None:
            try:
                rows = read_rows(uploaded.getvalue(), uploaded.name)
            except SpinecoreError as error:
                st.session_state["groups_upload_problem"] = sentence(error)
            else:
                st.session_state[field] = "\n".join("\t".join(row) for row in rows) + "\n"

    def take_own() -> None:
        st.session_state[field] = own_sheet(jobs)

    left, right = side_by_side("sheet", [2.2, 1])
    left.text_area(
        "Sheet: one line per analysis, for example pasted from a spreadsheet",
        key=field,
        height=172,
        placeholder=EXAMPLE,
        help="The first line names the columns: analysis (the file's name), animal, cell, condition. Tabs, semicolons "
        "or commas separate them. Without a cell column, each analysis counts as a cell of its own.",
    )
    with right:
        st.file_uploader(
            "Or upload it (CSV, TSV, Excel)",
            ["csv", "tsv", "txt", "xlsx"],
            key="groups_upload",
            on_change=take_upload,
        )
        if problem := st.session_state.pop("groups_upload_problem", None):
            st.error(problem)
        st.button(
            f"List my finished analyses ({len(jobs)})",
            key="groups_list",
            on_click=take_own,
            help="Writes their names into the sheet; animal and condition are for you to fill in.",
        )
    st.session_state[SHEET] = st.session_state[field]
    return st.session_state[field]


@st.cache_data(max_entries=512, show_spinner=False)
def tables_of(job_id: str, version: int) -> Sample:
    """Return the tables of an analysis, not yet placed in an animal."""
    return read_sample(
        workspace().result_folder(job_id),
        dict.fromkeys(("animal", "cell", "condition"), "") | {"analysis": job_id},
    )


def read_samples(text: str, jobs: list[JobRecord]) -> tuple[list[Sample], list[str]]:
    """Return the samples of a sheet, and the number of the analysis of each."""
    sheet = parse_sheet(text)
    keys = match_names(list(sheet["analysis"]), {job.id: [job.id, job.stack_name] for job in jobs})
    samples = []
    for row in sheet.to_dict("records"):
        job_id = keys[row["analysis"]]
        found = tables_of(job_id, result_version(job_id))
        check = read_check(workspace().result_folder(job_id))
        samples.append(replace(found, **{name: str(row[name]) for name in FIELDS}, check=check))
    return samples, [keys[name] for name in sheet["analysis"]]


def draw_checked(samples: list[Sample], job_ids: list[str]) -> None:
    """Say which analyses of the sheet people looked through, whole or a random sample of it."""
    badges = {}
    for sample, job_id in zip(samples, job_ids, strict=True):
        said, check = checked_words(job_id), sample.check
        if check is not None and check.checked:
            parts = f"{len(check.checked)} of {len(check.segments)} segments checked"
            said = parts if said in ("", CORRECTED) else f"{said}, {parts}"
        colour = "green" if said.startswith(CHECKED) else "orange" if said else "gray"
        badges[sample.analysis] = f":{colour}-badge[{sample.analysis}: {said or 'not checked'}]"
    st.markdown(" ".join(badges.values()))


def number(value: float) -> str:
    """Return three significant figures, a dash where missing."""
    return "–" if pd.isna(value) else f"{value:.3g}".replace("-", "−")


def draw_warning(samples: list[Sample], measure: str) -> None:
    """Say why spines are not counted as independent, with the numbers of these samples."""
    text = (
        "**Animals are compared, not spines.** Spines of one cell, and cells of one animal, resemble each other; "
        "counted as independent they make almost any difference look significant."
    )
    worth = independence(samples, measure) if measure in SPINE_MEASURES else None
    if worth is not None:
        n, animals, correlation, effective = worth
        text += (
            f" Here {count_text(n, 'spine')} of {count_text(animals, 'animal')} are worth about "
            f"**{effective:.0f} independent ones** for this measure (intraclass correlation {correlation:.2f})."
        )
    st.warning(text)


def draw_comparison(table: pd.DataFrame, column: Column) -> None:
    """Draw the numbers of one measure, one block for each pair of conditions."""
    for row in table.to_dict("records"):
        st.markdown(
            f"**{row['condition_b']}** vs **{row['condition_a']}**: {row['n_b']} and {row['n_a']} animals"
            + (", paired" if row["paired"] else "")
        )
        unit = f" ({unit_text(column.unit)})" if column.unit else ""
        places = st.columns(3)
        for place, label, value, low, high, text in (
            (
                places[0],
                f"Difference{unit}",
                "difference",
                "difference_low",
                "difference_high",
                "difference_low",
            ),
            (places[1], "Hedges' g", "g", "g_low", "g_high", "g"),
        ):
            known = not pd.isna(row[low])
            place.metric(
                label,
                number(row[value]),
                f"CI {number(row[low])} to {number(row[high])}" if known else "no interval",
                delta_color="off",
                delta_arrow="off",
                border=True,
                height="stretch",
                help="95 % confidence interval.\n\n" + help_text(COMPARISON_COLUMNS[text]),
            )
        places[2].metric(
            "p (permutation)",
            number(row["p_permutation"]),
            "too few animals" if pd.isna(row["p_smallest"]) else f"at best {row['p_smallest']:.2g}",
            delta_color="off",
            delta_arrow="off",
            border=True,
            height="stretch",
            help=help_text(COMPARISON_COLUMNS["p_permutation"])
            + "\n\n*At best* is the smallest p that so few animals can give.",
        )


def draw_table(table: pd.DataFrame, declared: dict[str, Column]) -> None:
    """Draw a table whose empty columns are left out."""
    shown = table.dropna(axis="columns", how="all")
    titles = {"n_animals": "Animals", "n_cells": "Cells", "n_dendrites": "Dendrites", "n_spines": "Spines"}
    config: dict[str, Any] = {
        name: st.column_config.NumberColumn(title, format="%d") for name, title in titles.items()
    }
    config |= {
        name: st.column_config.TextColumn(name.capitalize())
        for name in ("condition", "animal", "cell", "analysis")
    }
    config["dendrite_id"] = st.column_config.NumberColumn("Dendrite", format="%d")
    config["path_length_um"] = st.column_config.NumberColumn("Dendrite length (µm)", format="%.1f")
    for name in shown.columns:
        plain = name.removesuffix("_sd")
        column = declared.get(plain)
        if column is not None and not pd.api.types.is_numeric_dtype(shown[name]):
            config[name] = st.column_config.TextColumn(heading(column), help=help_text(column))
        if column is None or not pd.api.types.is_numeric_dtype(shown[name]):
            continue
        label = heading(column) + (", SD" if name != plain else "")
        whole = pd.api.types.is_integer_dtype(shown[name])
        config[name] = st.column_config.NumberColumn(
            label, help=help_text(column), format="%d" if whole else number_format(shown[name], column)
        )
    st.dataframe(shown, hide_index=True, width="stretch", column_config=config)


def _figure_file(tables: dict[str, pd.DataFrame], measure: str, kind: str) -> bytes:
    return figure_bytes(group_figure(tables, measure), kind)


def draw_results(samples: list[Sample]) -> None:
    """Draw everything below the sheet."""
    tables = summarise_groups(samples)
    declared = measure_columns()
    known = [name for name in declared if tables["animal"][name].notna().any()]
    if not known:
        st.info("These analyses hold no spine on a dendrite of known length, so there is nothing to compare.")
        return
    conditions = list(dict.fromkeys(tables["animal"]["condition"]))
    left, middle, right = side_by_side("choices", [1.3, 1, 2.6], "small", "bottom")
    measure = left.selectbox(
        "Measure", known, format_func=lambda name: heading(declared[name]), key="groups_measure"
    )
    reference = None
    if len(conditions) > 1:
        reference = middle.selectbox("Compare with", conditions, key="groups_reference")
    chosen = compare_conditions(tables, [measure], reference)
    every = compare_conditions(tables, known, reference)
    figure = group_figure(tables, measure)
    with right.container(horizontal=True, horizontal_alignment="right", gap="small"):
        for kind in FORMATS:
            st.download_button(
                kind.upper(),
                partial(_figure_file, tables, measure, kind),
                f"{measure}.{kind}",
                MIME[kind],
                key=f"groups_{kind}",
                on_click="ignore",
                help=f"This figure as {kind.upper()}.",
            )
        st.download_button(
            "Everything (ZIP)",
            lambda: zipped(group_files(samples, known, reference, FORMATS)),
            "groups.zip",
            "application/zip",
            key="groups_zip",
            type="primary",
            on_click="ignore",
            help="All tables, the meaning of their columns, and a figure of every measure.",
        )
    draw_warning(samples, measure)
    picture, numbers = side_by_side("comparison", [1, 1.8])
    picture.image(
        figure_bytes(figure, "svg").decode("utf-8"),
        width="stretch",
        caption="Large: animals; small: their cells; line and bar: mean and SD over animals.",
    )
    with numbers:
        draw_comparison(chosen, declared[measure])
        for note in group_notes(samples, tables):
            st.caption(f":material/info: {note}")
    tabs = st.tabs(["All measures", *(TITLES[level] for level in reversed(LEVELS))])
    with tabs[0]:
        titled = every.assign(measure=[declared[name].title for name in every["measure"]])
        titled["unit"] = [unit_text(unit) for unit in titled["unit"]]
        draw_table(titled, COMPARISON_COLUMNS)
    for tab, level in zip(tabs[1:], reversed(LEVELS), strict=True):
        with tab:
            draw_table(tables[level], declared)


def draw_page() -> None:
    """Draw the page."""
    st.title("Compare groups", anchor=False)
    jobs = workspace().jobs(states=("done",))
    if not jobs:
        st.markdown("There is no finished analysis yet: analyse the stacks of all animals first.")
        st.page_link("pages/upload.py", label="Upload stacks")
        return
    text = ask_for_sheet(jobs)
    if not text.strip():
        st.caption(
            "Density, sizes and classes are then compared between the conditions, with effect sizes and a test."
        )
        return
    try:
        samples, job_ids = read_samples(text, jobs)
    except SpinecoreError as error:
        st.error(sentence(error))
        return
    draw_checked(samples, job_ids)
    draw_group_check(samples, job_ids)
    draw_results(samples)


draw_page()

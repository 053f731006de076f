"""The choice of shape rules on the Shapes page: set, thresholds, a fit to classes by hand, and what the tables keep."""

from __future__ import annotations

import contextlib
import json
from typing import Any

import streamlit as st

from spinecore.analysis.edits import set_rules
from spinecore.analysis.storage import read_table
from spinecore.corrections.log import read_corrections
from spinecore.errors import SpinecoreError
from spinecore.shapes.chosen_rules import ChosenRules, limits
from spinecore.shapes.classes import CLASSES
from spinecore.shapes.fitting import FEWEST, fit_rules, pool_labelled
from spinecore.shapes.rules import RULE_SETS
from spinecore.ui.session import result_version, workspace
from spinecore.ui.shown import Shown
from spinecore.ui.words import count_text, sentence

_NAME, _ERRORS, _OF, _FITTED, _SAID = (
    "shape_rules",
    "rule_errors",
    "shape_rules_of",
    "rules_fitted_to",
    "rules_said",
)
_EVERYWHERE = "rules_everywhere"


def choose_rules(shown: Shown) -> ChosenRules:
    """Draw the choice of a rule set, its thresholds, a fit and what to keep; return what is chosen."""
    kept = shown.saved.cutter.chosen_rules
    _begin(shown, kept)
    with st.popover("Rules", width="stretch"):
        name = st.selectbox(
            "Rule set",
            list(RULE_SETS),
            format_func=lambda n: RULE_SETS[n].title,
            key=_NAME,
            persist_state="session",
        )
        kind = RULE_SETS[name]
        values = {}
        sides = st.columns(2, gap="medium")
        for number, (field, info) in enumerate(kind.model_fields.items()):
            low, high = limits(info)
            values[field] = sides[number % 2].slider(
                str(info.title), low, high, step=0.05, key=_key(name, field), persist_state="session"
            )
        errors = st.toggle(
            "Not decided where an error spans a threshold",
            key=_ERRORS,
            persist_state="session",
            help="Errors of length and head width 11 %, neck width 20 % and neck length 15 %, as measured on simulated spines.",
        )
        fitted = st.session_state.get(_FITTED)
        fitted_to = fitted[2] if fitted is not None and fitted[:2] == (name, values) else 0
        chosen = ChosenRules(name, kind(**values), errors, fitted_to)
        if chosen.to_dict() | {"fitted_to": kept.fitted_to} == kept.to_dict():
            chosen = kept
        st.caption(f"{kind.source}. Classes and counts on this page follow at once.")
        _draw_fit(shown, name)
        _draw_keep(shown, chosen, kept)
    return chosen


def _key(name: str, field: str) -> str:
    return f"rule_{name}_{field}"


def _begin(shown: Shown, kept: ChosenRules) -> None:
    """Begin with what the analysis keeps, whenever another analysis or another choice of it is shown."""
    of = (shown.job.id, json.dumps(kept.to_dict()))
    if st.session_state.get(_OF) == of and _NAME in st.session_state:
        return
    st.session_state[_OF] = of
    _show(kept)


def _show(chosen: ChosenRules) -> None:
    """Set the widgets to a choice; sets that are not chosen show their published thresholds."""
    for name, kind in RULE_SETS.items():
        for field, value in (chosen.rules if name == chosen.name else kind()).model_dump().items():
            st.session_state[_key(name, field)] = value
    st.session_state[_NAME], st.session_state[_ERRORS] = chosen.name, chosen.errors
    values = chosen.rules.model_dump()
    st.session_state[_FITTED] = (chosen.name, values, chosen.fitted_to) if chosen.fitted_to else None


def _labelled(shown: Shown, everywhere: bool) -> list[tuple[Any, dict[int, str]]]:
    """Return table and classes by hand of this analysis, or of every finished one in the workspace."""
    found = [(shown.analysis.spines, shown.saved.corrections.class_of)]
    if everywhere:
        for job in workspace().jobs(states=("done",)):
            with contextlib.suppress(SpinecoreError):  # one whose result is gone has nothing to give
                other = None if job.id == shown.job.id else _named(job.id, result_version(job.id))
                found += [other] if other is not None else []
    return found


@st.cache_data(max_entries=256, show_spinner=False)
def _named(job_id: str, version: int) -> tuple[Any, dict[int, str]] | None:
    """Return table and classes by hand of a stored analysis; None where nobody named any."""
    folder = workspace().result_folder(job_id)
    named = read_corrections(folder).class_of if (folder / "spines.csv").exists() else {}
    return (read_table(folder / "spines.csv"), named) if named else None


def _draw_fit(shown: Shown, name: str) -> None:
    """Draw the fit to spines whose class a person named."""
    everywhere = st.toggle(
        "Spines named in other analyses too",
        key=_EVERYWHERE,
        help="Every analysis here in which somebody named classes.",
    )
    count = sum(
        c in CLASSES and i in set(table["spine_id"])
        for table, named in _labelled(shown, everywhere)
        for i, c in named.items()
    )

    def fit() -> None:
        try:
            fitted = fit_rules(name, *pool_labelled(_labelled(shown, everywhere)))
        except (SpinecoreError, OSError) as error:
            st.session_state[_SAID] = ("error", sentence(error))
            return
        _show(fitted.chosen)
        st.session_state[_SAID] = ("success" if fitted.helps else "warning", fitted.words)

    st.button(
        f"Fit thresholds to {count_text(count, 'spine')} named by hand",
        key="fit_rules",
        disabled=count < FEWEST,
        width="stretch",
        on_click=fit,
        help=f"Needs {FEWEST}: click a class on the spine's card, also to confirm the one it has.",
    )
    if said := st.session_state.pop(_SAID, None):
        getattr(st, said[0])(said[1])


def _draw_keep(shown: Shown, chosen: ChosenRules, kept: ChosenRules) -> None:
    """Draw what the tables keep, and the file of the rules."""

    def keep() -> None:
        try:
            set_rules(workspace().result_folder(shown.job.id), chosen)
        except (SpinecoreError, OSError) as error:
            st.session_state[_SAID] = ("error", sentence(error))

    differs = chosen != kept
    save, file = st.columns(2)
    save.button(
        "Use in the tables",
        key="keep_rules",
        type="primary" if differs else "secondary",
        disabled=not differs,
        width="stretch",
        on_click=keep,
        help="The tables, downloads and methods paragraph of this analysis then hold these rules. Can be undone on Correct.",
    )
    file.download_button(
        "Save as file",
        json.dumps(chosen.to_dict(), indent=1) + "\n",
        "shape_rules.json",
        "application/json",
        key="get_rules",
        width="stretch",
        help="For `spinecore analyse --rules shape_rules.json`.",
    )
    if differs:
        st.caption(f"The tables hold {kept.words}.")

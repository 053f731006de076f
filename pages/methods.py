"""Methods: what each one is good at, its card, and how they compare on the same data."""

from __future__ import annotations

from typing import Any

import streamlit as st

from spinecore.evaluation.method_table import (
    COSTS,
    MEASURES,
    cost_table,
    is_current,
    load_results,
    published_table,
    score_table,
)
from spinecore.methods import DEFAULT_METHOD, METHODS, Method
from spinecore.methods.registry import KNOWN
from spinecore.ui.charts import draw_chart
from spinecore.ui.methods import card_lines, cards_of, headline, score_figure
from spinecore.ui.moving import go_to
from spinecore.ui.words import count_text

CARDS_IN_A_ROW = 4
COMMAND = "python -m benchmarks.compare_methods"


def draw_method(method: Method, entry: dict[str, Any] | None) -> None:
    """Draw one method: what it is good at, its card, and the button to use it."""
    cards = cards_of(method)
    with st.container(border=True, height="stretch", gap="small"):
        st.markdown(f"**{method.title}**")
        st.caption(f"Good at {method.good_at}.")
        st.markdown(f":small[{headline(entry)}]")
        with st.popover("Card", width="stretch", disabled=not cards):
            for card in cards:
                st.markdown(f"**{card.name}**")
                st.markdown("\n".join(f"- :small[**{title}:** {text}]" for title, text in card_lines(card)))
        missing = not method.has_weights
        if st.button(
            "Analyse with it",
            key=f"use_{method.name}",
            type="primary" if method.name == DEFAULT_METHOD else "secondary",
            width="stretch",
            disabled=missing,
            help="Its weights are not installed." if missing else None,
        ):
            st.session_state["methods"] = [method.name]
            go_to("pages/analyse.py")


def draw_scores(results: dict[str, Any]) -> None:
    """Draw one measure of all methods on all sets."""
    measures = [m for m in MEASURES if len(score_table(results, m).columns) > 1]
    measure = st.segmented_control(
        "Measure",
        measures,
        default=measures[0],
        format_func=lambda m: MEASURES[m][0],
        required=True,
        key="method_measure",
    )
    title, meaning = MEASURES[measure]
    table = score_table(results, measure)
    turned = table.set_index("Method").T.rename_axis("Images").reset_index()
    st.dataframe(
        turned,
        hide_index=True,
        width="stretch",
        height="content",
        column_config={
            name: st.column_config.NumberColumn(name, format="%.2f", help=meaning)
            for name in turned.columns[1:]
        },
    )
    draw_chart(
        score_figure(results, measure, title),
        "method_chart",
        f"{title} of {count_text(len(results), 'method')} on {count_text(len(turned), 'set')} of images",
        displayModeBar=False,
    )
    bars = " Bars are 95 % intervals over images." if measure == "f1" else ""
    st.caption(f"{meaning}{bars} Each method at the threshold on its card.")


def draw_cost(results: dict[str, Any]) -> None:
    """Draw time, memory and size."""
    st.dataframe(
        cost_table(results),
        hide_index=True,
        width="stretch",
        column_config={
            title: st.column_config.NumberColumn(title, help=text) for title, text in COSTS.values()
        },
    )
    hardware = "; ".join(dict.fromkeys(entry["hardware"] for entry in results.values()))
    st.caption(f"Measured on {hardware}. CPU time hardly depends on what else is running.")


def draw_papers() -> None:
    """Draw the papers' own figures."""
    st.warning(
        "These figures are from **other data**: each paper's own images, ground truth and criterion. "
        "They cannot be compared with each other or with ours."
    )
    table = published_table()
    table["method"] = [KNOWN[m].title if m in KNOWN else m for m in table["method"]]
    st.dataframe(
        table,
        hide_index=True,
        width="stretch",
        column_config={
            "method": "Method here",
            "measure": "What the paper reports",
            "value": st.column_config.NumberColumn("Value", format="%.3f"),
            "data": st.column_config.TextColumn("Their data", width="large"),
            "source": "Source",
        },
    )


def draw_origin(results: dict[str, Any]) -> None:
    """Say when and by which command the table was made, and where weights have changed since."""
    days = sorted({entry["date"] for entry in results.values()})
    st.caption(
        f"`{COMMAND}`, {' to '.join(dict.fromkeys([days[0], days[-1]]))}; seeds and images not used in any training."
    )
    old = [entry["title"] for entry in results.values() if not is_current(entry)]
    if old:
        st.caption(
            f"The weights of {', '.join(old)} have changed since: run the command again for their scores."
        )


st.title("Methods", anchor=False)
scores = load_results()
offered = list(METHODS.values())
for first in range(0, len(offered), CARDS_IN_A_ROW):
    some = offered[first : first + CARDS_IN_A_ROW]
    for column, chosen in zip(st.columns(CARDS_IN_A_ROW, gap="small"), some, strict=False):
        with column:
            draw_method(chosen, scores.get(chosen.name))
if absent := [method.title for name, method in KNOWN.items() if name not in METHODS]:
    st.caption(f"Not available, since the weights are missing: {'; '.join(absent)}.")
if scores:
    on_data, cost, papers = st.tabs(
        ["On the same data", "Time and size", "What the papers report (other data)"]
    )
    with on_data:
        draw_scores(scores)
    with cost:
        draw_cost(scores)
    with papers:
        draw_papers()
    draw_origin(scores)
else:
    st.caption(f"There is no comparison yet: run `{COMMAND}`.")
    draw_papers()

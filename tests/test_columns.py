"""The declared columns are complete and are what the tables hold."""

from __future__ import annotations

import numpy as np
import pytest

from spinecore.analysis.result import Analysis
from spinecore.export.tables import branch_table
from spinecore.morphometry.columns import (
    BRANCH_COLUMNS,
    DENDRITE_COLUMNS,
    SPINE_COLUMNS,
    TABLES,
    column_rows,
)
from spinecore.morphometry.contact import SpineCrop
from spinecore.morphometry.measurer import MEASURED, Measurer
from spinecore.tables.column import Column, columns_of, describe, measures
from spinecore.tracing.trace import dendrite_labels
from tests.drawn_analysis import drawn_analysis
from tests.phantoms import spine_phantom

CONFOCAL = (0.3, 0.1, 0.1)
CONTRACT = [
    "spine_id",
    "dendrite_id",
    "x_px",
    "y_px",
    "z_px",
    "x_um",
    "y_um",
    "z_um",
    "score",
    "x_min_px",
    "y_min_px",
    "x_max_px",
    "y_max_px",
    "z_min_px",
    "z_max_px",
]


@pytest.mark.parametrize("columns", [SPINE_COLUMNS, DENDRITE_COLUMNS, BRANCH_COLUMNS])
def test_every_column_says_what_it_is(columns):
    for name, column in columns.items():
        assert column.name == name
        assert column.title and column.description.endswith(".") and column.how
        assert column.heading == (f"{column.title} ({column.unit})" if column.unit else column.title)


@pytest.mark.parametrize("columns", [SPINE_COLUMNS, DENDRITE_COLUMNS, BRANCH_COLUMNS])
def test_units_stand_in_the_names(columns):
    endings = {
        "um": "_um",
        "um^2": "_um2",
        "um^3": "_um3",
        "px": "_px",
        "1/um": "_per_um",
        "degree": "_deg",
        "%": "_pct",
    }
    for name, column in columns.items():
        if column.unit:
            assert name.endswith(endings[column.unit]), name


def test_spine_columns_begin_as_the_contract_says_and_every_measure_with_a_limit_has_a_flag():
    assert list(SPINE_COLUMNS)[: len(CONTRACT)] == CONTRACT
    for name in ("length_um", "length_euclidean_um", "head_width_um", "neck_width_um", "neck_length_um"):
        assert f"{name}_flag" in SPINE_COLUMNS
    assert {"class", "class_probability", "class_rule", "edited", "missing_reason"} <= set(SPINE_COLUMNS)


def test_describe_gives_plain_records_in_order():
    records = describe(SPINE_COLUMNS)
    assert [record["name"] for record in records] == list(SPINE_COLUMNS)
    assert set(records[0]) == {"name", "unit", "title", "description", "how", "missing"}


def test_a_name_is_declared_once_and_the_order_names_all():
    @measures(Column("a_um", "um", "A", "One.", "Read."), Column("b", "", "B", "Two.", "Counted."))
    def one() -> None: ...

    @measures(Column("b", "", "B", "Two again.", "Counted."))
    def other() -> None: ...

    assert list(columns_of(one)) == ["a_um", "b"]
    assert list(columns_of(one, order=["b", "a_um"])) == ["b", "a_um"]
    with pytest.raises(ValueError, match="declared twice: b"):
        columns_of(one, other)
    with pytest.raises(ValueError, match=r"differ in .'c'"):
        columns_of(one, order=["a_um", "b", "c"])
    with pytest.raises(KeyError):
        columns_of(describe)


def test_the_rows_of_the_reference_are_all_columns_of_all_tables():
    rows = column_rows()
    assert [(row["table"], row["name"]) for row in rows] == [
        (table, name) for table, (_, columns) in TABLES.items() for name in columns
    ]
    assert {"spines", "dendrites", "branches"} == set(TABLES)


@pytest.fixture(scope="module", params=[False, True], ids=["stack", "projection"])
def analysis(request) -> Analysis:
    return drawn_analysis(request.param)[0]


def test_every_column_of_a_table_is_declared_and_every_declared_column_is_there(analysis):
    assert list(analysis.spines.columns) == list(SPINE_COLUMNS)
    assert list(analysis.dendrites.columns) == list(DENDRITE_COLUMNS)
    assert list(branch_table(analysis).columns) == list(BRANCH_COLUMNS)


def test_what_is_empty_says_when_and_words_are_where_they_are_declared(analysis):
    tables = {"spines": analysis.spines, "dendrites": analysis.dendrites, "branches": branch_table(analysis)}
    for table, (_, columns) in TABLES.items():
        for name, column in columns.items():
            values = tables[table][name]
            empty = values.isna() | (values.astype(str) == "")
            assert column.missing or not empty.any(), name
            words = values[~empty].map(lambda value: isinstance(value, str))
            assert not len(words) or words.all() == column.text == words.any(), name


def test_a_spine_is_measured_in_the_columns_that_its_functions_declare():
    phantom = spine_phantom(CONFOCAL, 1.6, 0.8, 0.3)
    _, dendrites = phantom.measure()
    crop = SpineCrop(
        (0, 0, 0),
        phantom.spine,
        np.zeros_like(phantom.spine),
        dendrite_labels(phantom.dendrite, dendrites, CONFOCAL),
        phantom.intensity,
    )
    row = Measurer(dendrites, CONFOCAL, phantom.spine.shape).measure_one(1, crop, score=0.9)
    assert set(row) == {*MEASURED, "score"} <= set(SPINE_COLUMNS)
    assert all(np.isfinite(value) for value in row.values() if not isinstance(value, str))

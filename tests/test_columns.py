"""The declared columns are complete and are what the tables hold."""

from __future__ import annotations

import subprocess
import sys

import pytest

from spinecore.tables.columns import DENDRITE_COLUMNS, SPINE_COLUMNS, describe

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


@pytest.mark.parametrize("columns", [SPINE_COLUMNS, DENDRITE_COLUMNS])
def test_every_column_says_what_it_is(columns):
    for name, column in columns.items():
        assert column.name == name
        assert column.title and column.description.endswith(".") and column.how
        assert column.heading == (f"{column.title} ({column.unit})" if column.unit else column.title)


@pytest.mark.parametrize("columns", [SPINE_COLUMNS, DENDRITE_COLUMNS])
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


def test_columns_load_without_numpy():
    code = "import sys, spinecore.tables.columns; sys.exit('numpy' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0

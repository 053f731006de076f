"""Sheets of groups as people have them: names, encodings, separators, Excel."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from spinecore.errors import SpinecoreError
from spinecore.groups.sheet import match_names, read_sheet

DATA = Path(os.environ.get("SPINE_DATA", Path(__file__).parents[1] / ".." / "shared" / "data"))
CASES = DATA.parent / "cases" / "50_group_sheets"


def test_names_match_exactly_and_ambiguous_ones_are_refused() -> None:
    known = {"j2": ["j2", "cell 1.ome.tif"], "j1": ["j1", "cell 1.ome.tif"], "j0": ["j0", "b.lsm"],
             "a": ["x/mouse1.2", "mouse1.2"], "b": ["y/mouse1.3", "mouse1.3"]}  # fmt: skip
    assert match_names(["j2", "b.lsm", "x/mouse1.2"], known) == {"j2": "j2", "b.lsm": "j0", "x/mouse1.2": "a"}
    assert match_names(["b", "mouse1.3"], known) == {"b": "j0", "mouse1.3": "b"}
    assert match_names(["D:\\data\\b.lsm"], known) == {"D:\\data\\b.lsm": "j0"}
    with pytest.raises(SpinecoreError, match=r"no finished analysis of nope\.tif"):
        match_names(["nope.tif"], known)
    with pytest.raises(SpinecoreError, match=r"cell 1\.ome\.tif fits 2 analyses \(j2 and j1\)"):
        match_names(["cell 1.ome.tif"], known)
    with pytest.raises(SpinecoreError, match=r"no finished analysis of B\.lsm \(b\.lsm is near it\)"):
        match_names(["B.lsm"], known)
    with pytest.raises(SpinecoreError, match=r"mouse1 \((?:x/|y/)?mouse1\.[23] is near it\)"):
        match_names(["mouse1"], known)
    with pytest.raises(SpinecoreError, match="same analysis"):
        match_names(["b.lsm", "j0"], known)


SHEET = [
    ["analysis", "animal", "cell", "condition"],
    ["a.tif", "m1", "c1", "Läsion"],
    ["b.tif", "m2", "c1", "Kontrolle"],
]


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16", "cp1252"])
@pytest.mark.parametrize("separator", [",", ";", "\t"])
def test_sheets_of_any_encoding_and_separator(encoding: str, separator: str) -> None:
    text = "\r\n".join(separator.join(row) for row in [*SHEET, [""] * 4, [""] * 4])
    if separator == ";":
        text = f"sep=;\r\n{text}"
    found = read_sheet(text.encode(encoding), "sheet.csv")
    assert found.to_numpy().tolist() == SHEET[1:]


def test_accents_written_in_two_ways_are_one() -> None:
    """macOS takes an umlaut apart into a letter and its dots."""
    rows = ["analysis,animal,condition", "Zelle ä.tif,1,Läsion", "b.tif,2,La\u0308sion"]
    assert read_sheet("\n".join(rows).encode(), "s.csv")["condition"].nunique() == 1
    assert match_names(["Zelle ä.tif"], {"job": ["Zelle a\u0308.tif"]}) == {"Zelle ä.tif": "job"}


def test_two_columns_that_may_be_the_condition_are_questioned() -> None:
    with pytest.raises(SpinecoreError, match="may be the condition \\('genotype' and 'treatment'\\)"):
        read_sheet(b"file,mouse,genotype,treatment\na,1,wt,drug\nb,2,ko,drug\n", "s.csv")
    with pytest.raises(SpinecoreError, match="may be the condition"):
        read_sheet(b"file,mouse,condition,condition\na,1,wt,drug\nb,2,ko,drug\n", "s.csv")
    found = read_sheet(
        b"folder,file,mouse,id,genotype,condition\nx,a,1,7,wt,drug\nx,b,2,8,ko,none\n", "s.csv"
    )
    assert found.loc[0].to_dict() == {"analysis": "a", "animal": "1", "cell": "a", "condition": "drug"}


@pytest.mark.parametrize(
    "text",
    [
        '"sep=;"\nBilddatei;Tier-ID;Zelle Nr.;Versuchsgruppe\n#1.tif;1;z;K\nb.tif;2;z;L\n',
        "sep=,,,\nAufnahme,Versuchstier,Zellnummer,Bedingung\n#1.tif,1,z,K\nb.tif,2,z,L\n",
        "# a comment\nfile|mouse|neuron|group\n#1.tif|1|z|K\n# another\nb.tif|2|z|L\n",
    ],
)
def test_headings_separators_and_names_with_a_hash(text: str) -> None:
    found = read_sheet(text.encode(), "s.csv")
    assert found.to_numpy().tolist() == [["#1.tif", "1", "z", "K"], ["b.tif", "2", "z", "L"]]


def test_excel_sheets_with_merged_cells_and_german_headings(tmp_path: Path) -> None:
    import openpyxl

    book = openpyxl.Workbook()
    for row in [
        ["Bild", "Tier-Nr", "Gruppe"],
        ["a.tif", 1, "Kontrolle"],
        ["b.tif", 2, None],
        ["c.tif", 3, "Läsion"],
    ]:
        book.active.append(row)
    book.active.merge_cells("C2:C3")
    book.save(tmp_path / "sheet.xlsx")
    found = read_sheet((tmp_path / "sheet.xlsx").read_bytes(), "sheet.xlsx")
    assert found["condition"].tolist() == ["Kontrolle", "Kontrolle", "Läsion"]
    assert found["animal"].tolist() == ["1", "2", "3"]
    with pytest.raises(SpinecoreError, match="cannot be read as an Excel sheet"):
        read_sheet(b"PK\x03\x04" + bytes(200), "broken.xlsx")


@pytest.mark.parametrize(
    ("rows", "said"),
    [
        (
            [["a", "m1", "c", "control"], ["b", "m2", "c", "Control "]],
            "'control' and 'Control' look like one",
        ),
        ([["a", "1", "c", "x"], ["b", "01", "c", "y"]], "'1' and '01' look like one"),
    ],
)
def test_values_that_look_like_one_are_questioned(rows: list[list[str]], said: str) -> None:
    with pytest.raises(SpinecoreError, match=said):
        read_sheet("\n".join(",".join(row) for row in [SHEET[0], *rows]).encode(), "sheet.csv")


@pytest.mark.skipif(not CASES.is_dir(), reason="the folder of cases (beside SPINE_DATA) is absent")
def test_public_sheets() -> None:
    refused = {
        "animal_number_forms.csv": "look like one",
        "case_mix.csv": "look like one",
        "merged_cells.csv": "merged cells",
    }
    for path in sorted(CASES.iterdir()):
        if path.name == "README.txt":
            continue
        if path.name in refused:
            with pytest.raises(SpinecoreError, match=refused[path.name]):
                read_sheet(path.read_bytes(), path.name)
        else:
            found = read_sheet(path.read_bytes(), path.name)
            assert len(found) == 6 and found["condition"].nunique() == 2

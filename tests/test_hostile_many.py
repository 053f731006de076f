"""A sample of the files of ``python -m benchmarks.hostile``: a stack or one sentence, never an error, never a wait."""

from __future__ import annotations

import struct
import zlib
from pathlib import Path

import numpy as np
import pytest
import tifffile
from PIL import Image

from benchmarks.hostile import LIMIT_BYTES, LIMIT_S, containers, look_at, microscope_files, outcomes
from benchmarks.mutations import MUTATIONS, cases
from spinecore.errors import SpinecoreError
from spinecore.reading import read_stack

COUNT, SEED = 100, 20


def test_a_hundred_damaged_files_give_a_stack_or_one_sentence(tmp_path):
    good, bad = tmp_path / "good", tmp_path / "bad"
    good.mkdir()
    bad.mkdir()
    sources = [*containers(good), *microscope_files(good)]
    assert len(sources) >= 10
    assert [look_at(path).word for path in sources] == ["opened"] * len(sources)
    seen = list(outcomes(cases(sources, COUNT, SEED, bad)))
    wrong = [(c.path.name, o.word, o.text) for c, o in seen if o.word not in ("opened", "refused")]
    assert not wrong
    assert {case.kind for case, _ in seen} == set(MUTATIONS)
    assert sum(outcome.word == "refused" for _, outcome in seen) > COUNT / 4
    assert max(outcome.seconds for _, outcome in seen) < LIMIT_S
    assert max(outcome.peak_bytes for _, outcome in seen) < LIMIT_BYTES


def test_the_same_seed_makes_the_same_files(tmp_path):
    source = containers(tmp_path)[0]
    made = [[c.path.read_bytes() for c in cases([source], 12, 3, tmp_path)] for _ in range(2)]
    assert made[0] == made[1]
    assert len(set(made[0])) == 12


def raised_height(path: Path, height: int) -> None:
    """Let a PNG or JPEG claim more rows than it holds."""
    data = bytearray(path.read_bytes())
    if path.suffix == ".png":
        data[20:24] = struct.pack(">I", height)
        data[29:33] = struct.pack(">I", zlib.crc32(bytes(data[12:29])))
    else:
        frame = data.find(b"\xff\xc0") + 5
        data[frame : frame + 2] = struct.pack(">H", height)
    path.write_bytes(data)


@pytest.mark.parametrize("mode", ["L", "RGB", "P", "1", "LA", "I;16"])
def test_a_png_that_claims_more_rows_than_it_holds_is_refused(tmp_path, mode):
    noise = np.random.default_rng(0).integers(0, 255, (64, 50)).astype(np.uint8)
    image = (
        Image.fromarray(noise.astype(np.uint16) * 99)
        if mode == "I;16"
        else Image.fromarray(noise).convert(mode)
    )
    image.save(tmp_path / "a.png")
    assert read_stack(tmp_path / "a.png").shape == (1, 64, 50)
    raised_height(tmp_path / "a.png", 90)
    with pytest.raises(SpinecoreError, match="ends before its last row"):
        read_stack(tmp_path / "a.png")


def test_a_jpeg_that_claims_more_than_its_bytes_can_hold_is_refused(tmp_path):
    Image.fromarray(np.full((640, 640), 90, np.uint8)).save(tmp_path / "a.jpg", optimize=True)
    assert read_stack(tmp_path / "a.jpg").shape == (1, 640, 640)
    raised_height(tmp_path / "a.jpg", 60000)
    with pytest.raises(SpinecoreError, match="ends before its last row"):
        read_stack(tmp_path / "a.jpg")


def test_a_claimed_page_is_not_decoded_to_see_whether_it_is_a_mask(tmp_path, monkeypatch):
    noise = np.random.default_rng(0).integers(0, 900, (2, 40, 40)).astype(np.uint16)
    with tifffile.TiffWriter(tmp_path / "a.tif") as writer:
        writer.write(noise[0], metadata=None, compression="zlib")
        writer.write(noise[1, :30], metadata=None, compression="zlib")
    with tifffile.TiffFile(tmp_path / "a.tif", mode="r+b") as tif:
        for page, height in zip(tif.pages, (12800, 12000), strict=True):
            page.tags["ImageWidth"].overwrite(12800)
            page.tags["ImageLength"].overwrite(height)
            page.tags["RowsPerStrip"].overwrite(height)
    decoded = []
    real = tifffile.TiffPage.asarray
    monkeypatch.setattr(tifffile.TiffPage, "asarray", lambda self, **k: decoded.append(1) or real(self, **k))
    with pytest.raises(SpinecoreError, match="which no real image does"):
        read_stack(tmp_path / "a.tif")
    assert not decoded


def test_an_unknown_encoding_in_an_ome_header_is_no_error(tmp_path):
    data = np.random.default_rng(0).integers(0, 900, (3, 32, 40)).astype(np.uint16)
    tifffile.imwrite(tmp_path / "a.ome.tif", data, metadata={"axes": "ZYX"})
    content = (tmp_path / "a.ome.tif").read_bytes()
    assert b'encoding="UTF-8"' in content
    (tmp_path / "a.ome.tif").write_bytes(content.replace(b'encoding="UTF-8"', b'encoding="UTF-9"'))
    np.testing.assert_array_equal(read_stack(tmp_path / "a.ome.tif").voxels, data)

"""ZIPs of images whose data lie in a folder: an OME-Zarr, or an OIF with its folder, packed to be uploaded."""

from __future__ import annotations

import shutil
import stat
import tempfile
import zipfile
from pathlib import Path, PurePosixPath

from spinecore.errors import SpinecoreError
from spinecore.reading.limits import check_claim
from spinecore.reading.microscopes.base import VendorFile, load_reader
from spinecore.reading.microscopes.olympus import open_oib
from spinecore.reading.microscopes.omezarr import open_group
from spinecore.reading.vendors import packed_image

#: Largest ZIP that is taken apart (bytes inside).
_MAX_BYTES = 64 * 2**30


def open_zip(path: Path) -> VendorFile:
    """Open the one image in a ZIP.

    An OME-Zarr is read where it lies; an OIF is unpacked into a temporary folder that is removed when the file is closed.

    Raises
    ------
    SpinecoreError
        If the ZIP holds no such image or several, or claims more than it can hold.
    """
    with zipfile.ZipFile(path) as archive:
        members = [member for member in archive.infolist() if not member.is_dir()]
        total = sum(member.file_size for member in members)
        check_claim(
            path.name,
            stack_bytes=total,
            total_bytes=total,
            file_bytes=path.stat().st_size,
            compressed=True,
            max_bytes=_MAX_BYTES,
        )
        found = packed_image([member.filename for member in members])
        if found is None or found.place is None:
            raise SpinecoreError(
                f"{path.name} holds {'no OME-Zarr or OIF' if found is None else 'several images'}: unpack it and give "
                "the files themselves, or pack one OME-Zarr folder, or one OIF with its folder, into a ZIP"
            )
        if found.kind == "oif":
            return _open_oif(archive, members, found.place, path)
    zarr = load_reader("zarr", path)
    store = zarr.storage.ZipStore(path, mode="r")
    try:
        root = zarr.open_group(store, path=found.place, mode="r")
        return VendorFile("OME-Zarr", open_group(zarr, root, path.name), store.close, path.stat().st_size)
    except BaseException:
        store.close()
        raise


def _open_oif(archive: zipfile.ZipFile, members: list[zipfile.ZipInfo], place: str, path: Path) -> VendorFile:
    """Unpack an OIF and its folder, and nothing else, and open it."""
    main = PurePosixPath(place)
    data = main.with_name(main.name + ".files")
    scratch = Path(tempfile.mkdtemp(prefix="spinecore-oif-"))
    try:
        (scratch / data.name).mkdir()
        for member in members:
            inside = PurePosixPath(member.filename.replace("\\", "/"))
            if stat.S_ISLNK(member.external_attr >> 16) or (inside != main and inside.parent != data):
                continue
            target = scratch / (main.name if inside == main else f"{data.name}/{inside.name}")
            with archive.open(member) as packed, target.open("wb") as out:
                shutil.copyfileobj(packed, out)
        file = open_oib(scratch / main.name)
    except BaseException:
        shutil.rmtree(scratch, ignore_errors=True)
        raise

    def close() -> None:
        file.close()
        shutil.rmtree(scratch, ignore_errors=True)

    return VendorFile(file.format, file.images, close, path.stat().st_size)

"""Files in: TIFF of every flavour, PNG and JPEG become a `Stack`, one channel and time point at a time."""

from spinecore.reading.limits import MAX_BYTES
from spinecore.reading.names import SUFFIXES, content_hash, list_inputs, stem
from spinecore.reading.stackfile import StackFile, open_stack, read_stack

__all__ = [
    "MAX_BYTES",
    "SUFFIXES",
    "StackFile",
    "content_hash",
    "list_inputs",
    "open_stack",
    "read_stack",
    "stem",
]

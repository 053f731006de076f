"""XML in the headers of files: parsed, or None where it is damaged or could grow without limit."""

from __future__ import annotations

from xml.etree import ElementTree


def parse_xml(text: str | bytes) -> ElementTree.Element | None:
    """Return the root of an XML text, or None where it is none or declares entities.

    Parameters
    ----------
    text : str or bytes
        The encoding that a string declares is ignored, since it is decoded already.

    Examples
    --------
    >>> parse_xml('<?xml version="1.0" encoding="UTF-9"?><a/>').tag, parse_xml("<a>")
    ('a', None)
    >>> parse_xml(b'<?xml version="1.0" encoding="UTF-9"?><a/>') is None
    True
    """
    declared, blanks = ("<!ENTITY", "<!DOCTYPE"), "\x00 \r\n\t"
    try:
        if isinstance(text, str):
            bad = any(mark in text for mark in declared)
            return None if bad else ElementTree.fromstring(text.strip(blanks + "\ufeff"))
        bad = any(mark.encode() in text for mark in declared)
        return None if bad else ElementTree.fromstring(text.strip(blanks.encode()))
    except (ElementTree.ParseError, ValueError, LookupError):  # LookupError: an encoding of an unknown name
        return None

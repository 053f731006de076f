"""How the shape classes look in every picture, chart and legend: one colour, one sign and one letter each."""

from __future__ import annotations

#: They differ from each other and from the dendrite's blue by 16 or more (CIEDE2000), seen with any colour vision (Machado et
#: al. 2009), on black as on white.
CLASS_COLOURS = {
    "mushroom": "#ffb000",
    "thin": "#785ef0",
    "stubby": "#228833",
    "filopodium": "#dc267f",
    "branched": "#f0e442",
}
#: The sign of each class in plotly's charts, and the same sign in matplotlib's.
CLASS_SYMBOLS = {"mushroom": "circle", "thin": "triangle-up", "stubby": "square", "filopodium": "diamond"}
CLASS_MARKERS = {"mushroom": "o", "thin": "^", "stubby": "s", "filopodium": "D"}


def class_title(name: str) -> str:
    """Return how a class is called in every legend: its letter and its name.

    Examples
    --------
    >>> class_title("mushroom"), class_title("no class")
    ('M mushroom', 'no class')
    """
    return f"{name[0].upper()} {name}" if name in CLASS_COLOURS else name


def ink_on(colour: tuple[int, int, int]) -> str:
    """Return black or white, whichever can be read on a colour.

    Examples
    --------
    >>> ink_on((255, 176, 0)), ink_on((120, 94, 240))
    ('#000000', '#ffffff')
    """
    red, green, blue = colour
    return "#000000" if 0.299 * red + 0.587 * green + 0.114 * blue > 140 else "#ffffff"

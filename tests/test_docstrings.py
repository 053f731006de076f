"""Public docstrings are there and follow numpydoc: what a section says of parameters is complete and true."""

from __future__ import annotations

import importlib
import inspect
import pkgutil
from collections.abc import Iterator

import pytest
from numpydoc.validate import validate

import spinecore

#: Checks of numpydoc that every public docstring passes: there is one, its sections are known and in order, its first
#: sentence stands on a line of its own with a capital and a full stop, and the listed parameters are those that exist.
CHECKS = {
    "GL05", "GL06", "GL07", "GL08", "SS02", "SS03", "SS04", "PR02", "PR10",
}  # fmt: skip
#: Where a docstring has the section "Parameters" at all, it names all of them.
WITH_PARAMETERS = {"PR01"}
MODULES = [
    m.name for m in pkgutil.walk_packages(spinecore.__path__, "spinecore.") if m.name != "spinecore.__main__"
]


def public_names(module_name: str) -> Iterator[str]:
    """Yield the functions, classes and methods that a module itself defines, without a leading underscore."""
    module = importlib.import_module(module_name)
    for name, thing in vars(module).items():
        if name.startswith("_") or getattr(thing, "__module__", None) != module_name:
            continue
        if inspect.isclass(thing):
            yield f"{module_name}.{name}"
            for method, value in vars(thing).items():
                own = inspect.isfunction(value) and value.__qualname__ == f"{name}.{method}"
                if not method.startswith("_") and (own or isinstance(value, property)):
                    yield f"{module_name}.{name}.{method}"
        elif inspect.isfunction(thing):
            yield f"{module_name}.{name}"


@pytest.mark.parametrize("module", MODULES)
def test_public_docstrings_follow_numpydoc(module: str) -> None:
    wrong = []
    for name in public_names(module):
        found = validate(name)
        checks = CHECKS | (WITH_PARAMETERS if "Parameters\n" in found["docstring"] else set())
        wrong += [
            f"{name}: {code} {text}"
            for code, text in found["errors"]
            if code in checks and not (code == "PR01" and "'_cli" in text)  # pydantic-settings' own
        ]
    assert not wrong, "\n".join(wrong)

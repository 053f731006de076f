"""What a wheel holds beside the package: the dashboard, its pages and defaults, and the weights (see spinecore/paths.py).

An editable installation gets none of these: it uses those of the checkout.
"""

from __future__ import annotations

from typing import Any

from hatchling.builders.hooks.plugin.interface import BuildHookInterface

#: Where they lie in the checkout, and where in the wheel.
APP_FILES = {
    "app.py": "spinecore/_app/app.py",
    "pages": "spinecore/_app/pages",
    "models": "spinecore/_app/models",
    "static/.gitignore": "spinecore/_app/static/.gitignore",
    ".streamlit/config.toml": "spinecore/_app/.streamlit/config.toml",
}


class AppFiles(BuildHookInterface):
    """Put the dashboard and the weights into a wheel."""

    PLUGIN_NAME = "custom"

    def initialize(self, version: str, build_data: dict[str, Any]) -> None:
        """Called by hatchling before it builds; `version` is "standard" or "editable"."""
        if self.target_name == "wheel" and version == "standard":
            build_data["force_include"].update(APP_FILES)

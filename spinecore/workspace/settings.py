"""Where things are kept on this computer: read from the environment (SPINECORE_...) or a small settings file."""

from __future__ import annotations

from pathlib import Path

from pydantic import Field, ValidationError, field_validator
from pydantic_settings import (
    BaseSettings,
    PydanticBaseSettingsSource,
    SettingsConfigDict,
    TomlConfigSettingsSource,
)

from spinecore.errors import SpinecoreError

#: Settings file looked for in the folder the dashboard is started from; the environment overrules it.
SETTINGS_FILE = Path(".streamlit/spinecore.toml")


class AppSettings(BaseSettings):
    """Settings of one installation.

    Parameters
    ----------
    workspace : Path
        Folder for stacks and analyses (`SPINECORE_WORKSPACE`), by default `spinecore` under the user's home.
    data_root : Path or None
        Folder on the server whose files may be opened without an upload (`SPINECORE_DATA_ROOT`).
    workers : int
        Analyses that run at the same time (`SPINECORE_WORKERS`).
    """

    model_config = SettingsConfigDict(env_prefix="SPINECORE_", toml_file=SETTINGS_FILE, extra="ignore")

    workspace: Path = Field(default_factory=lambda: Path.home() / "spinecore")
    data_root: Path | None = None
    workers: int = Field(default=1, ge=1, le=64)

    @field_validator("workspace", "data_root")
    @classmethod
    def _absolute(cls, value: Path | None) -> Path | None:
        return None if value is None else value.expanduser().absolute()

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],
        init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource,
        dotenv_settings: PydanticBaseSettingsSource,
        file_secret_settings: PydanticBaseSettingsSource,
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        """Look in the call first, then in the environment, then in the settings file."""
        return init_settings, env_settings, TomlConfigSettingsSource(settings_cls)


def load_settings() -> AppSettings:
    """Read the settings.

    Raises
    ------
    SpinecoreError
        When a setting cannot be used; the text names it.
    """
    try:
        return AppSettings()
    except ValidationError as error:
        first = error.errors()[0]
        name = ".".join(str(part) for part in first["loc"])
        raise SpinecoreError(
            f"The setting {name} cannot be used ({first['msg']}): correct it and start again."
        ) from error
    except ValueError as error:
        raise SpinecoreError(
            f"{SETTINGS_FILE} cannot be read ({error}): correct it and start again."
        ) from error

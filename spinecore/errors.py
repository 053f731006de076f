"""The one error whose message is meant for the user."""

from __future__ import annotations


class SpinecoreError(ValueError):
    """Something that the user can put right; the message is one sentence: what is wrong and what to do.

    Every other exception is an internal error, and is reported as one.

    Parameters
    ----------
    message : str
        For the pages.
    command : str, optional
        The same in words of the command line (options in place of fields).
    """

    def __init__(self, message: str, command: str | None = None) -> None:
        super().__init__(message)
        self.command = message if command is None else command

    def __reduce__(self) -> tuple[type[SpinecoreError], tuple[str, str]]:
        """Keep both wordings when the error is sent from a worker process."""
        return type(self), (str(self), self.command)


def command_words(error: BaseException) -> str:
    """Return an error's text for the command line, in one line."""
    return " ".join((error.command if isinstance(error, SpinecoreError) else str(error)).split())

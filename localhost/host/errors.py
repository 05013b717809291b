"""Why the host cannot start or go on, in words for the person at the terminal."""


class HostError(Exception):
    """The host stops. The message says what happened and what to do; no traceback is shown with it."""


class SettingsError(HostError):
    """host.json or local.settings.json cannot be used."""


class LoadError(HostError):
    """The function app itself failed to load. `trace` is the app's own traceback, to be shown first."""

    def __init__(self, message: str, *, trace: str = "") -> None:
        super().__init__(message)
        self.trace = trace

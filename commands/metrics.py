"""What the deployment counts, through OpenTelemetry: whoever configures an exporter sees it."""

from typing import Protocol


class Metrics(Protocol):
    """Counts things that happened."""

    def add(self, name: str, amount: int, **attributes: str) -> None:
        """Count `amount` more of them."""
        ...


class OpenTelemetryMetrics:
    """Counters of OpenTelemetry's API; without an SDK they cost nothing and go nowhere."""

    def add(self, name: str, amount: int, **attributes: str) -> None:
        """Add to the counter `sluice.<name>`. The API gives the same instrument for the same name."""
        from opentelemetry.metrics import get_meter

        get_meter("sluice").create_counter(f"sluice.{name}").add(amount, dict(attributes))

"""What happened since the start, in Prometheus' text form."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping

_ABOUT = {
    "jobs": "Jobs that were accepted.",
    "pictures": "Pictures that were drawn.",
    "batches": "Batches that were drawn.",
    "rows": "Rows of those batches; over batches, how many requests are drawn together.",
    "batch_seconds": "Seconds that the process of the models was busy.",
    "worker_deaths": "Deaths of the process of the models.",
}


class Counters:
    """Counts by name; requests by status as well."""

    def __init__(self):
        self._counts: Counter[str] = Counter()
        self._statuses: Counter[int] = Counter()

    def add(self, name: str, amount: float = 1) -> None:
        self._counts[name] += amount  # type: ignore[assignment]

    def value(self, name: str) -> float:
        """How often it happened."""
        return self._counts[name]

    def batch(self, rows: int, seconds: float) -> None:
        """A batch was drawn."""
        self.add("batches")
        self.add("rows", rows)
        self.add("batch_seconds", seconds)

    def answered(self, status: int) -> None:
        """A request was answered."""
        self._statuses[status] += 1

    def text(self, gauges: Mapping[str, float]) -> str:
        """All counts, and what is measured now."""
        lines: list[str] = []
        for name, about in _ABOUT.items():
            lines += [f"# HELP figment_{name}_total {about}", f"# TYPE figment_{name}_total counter"]
            lines.append(f"figment_{name}_total {self._counts[name]:.10g}")
        lines += ["# HELP figment_requests_total Requests by status.", "# TYPE figment_requests_total counter"]
        lines += [f'figment_requests_total{{status="{code}"}} {n}' for code, n in sorted(self._statuses.items())]
        for name, value in gauges.items():
            lines += [f"# TYPE figment_{name} gauge", f"figment_{name} {value:.10g}"]
        return "\n".join(lines) + "\n"

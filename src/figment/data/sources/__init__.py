"""One file per place that pictures come from: records(config) -> Iterator[Record]."""

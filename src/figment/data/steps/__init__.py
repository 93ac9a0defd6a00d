"""One file per step between source and store: mend(record, config) on one picture, or select(index, config) on all."""

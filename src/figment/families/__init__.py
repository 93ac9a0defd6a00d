"""One file per model family: a Config, build(config, spec) -> Objective, and the model itself."""

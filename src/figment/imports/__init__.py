"""One file a format: models that other programs have trained, opened as if they were runs, by FORMAT:PATH.

An import is a module with

    Sampling                    how its models are drawn with
    load(folder) -> LoadedModel     refuses, in a CheckpointError or CapabilityError, what it cannot read or follow

`core.checkpoint.load_model` comes here for any run whose name begins with a format and a colon, so that nobody else
need know. What such a model can do is told by its capabilities. No code is taken from the folder, and no pickle.
"""

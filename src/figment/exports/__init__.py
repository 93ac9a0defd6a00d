"""One file a target: carry a trained run to where figment is not."""

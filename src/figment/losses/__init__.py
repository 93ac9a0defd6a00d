"""Pure functions from tensors to scalar losses, shared by families."""

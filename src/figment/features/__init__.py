"""One file per feature extractor, the eyes that scores look through."""

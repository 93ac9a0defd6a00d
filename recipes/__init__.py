"""One file per picture of the gallery: recipe() -> Run, with its cost, score and command in the docstring."""

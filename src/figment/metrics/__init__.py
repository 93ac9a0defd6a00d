"""One file per metric: a pure function of two samples, real and fake."""

"""Training: the trainer (a generator), averaging, schedules, autotune, the run folder and its log."""

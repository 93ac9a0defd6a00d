"""Feature extractors: one file each, from pictures to the numbers that scores compare."""

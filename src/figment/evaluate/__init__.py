"""Scoring a run: the judge of a dataset, feature extraction, intervals, floors, passports."""

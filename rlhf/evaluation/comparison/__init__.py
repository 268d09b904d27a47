"""Comparing honestly: intervals, paired tests, corrections, pooled seeds, verdicts."""

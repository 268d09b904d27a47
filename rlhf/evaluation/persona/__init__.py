"""Keeping to a persona: the study's formulas, entailment, talk with a simulated user."""

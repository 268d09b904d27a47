"""Pairs and their judges: accuracy, calibration, baselines, win rates, implicit rewards."""

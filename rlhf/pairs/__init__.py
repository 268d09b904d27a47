"""Makers of preference pairs: from rows of a data set to a jsonl of better and worse answers, each with its origin."""

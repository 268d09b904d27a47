"""Metrics of texts: overlap with references, diversity, lengths, BERTScore."""

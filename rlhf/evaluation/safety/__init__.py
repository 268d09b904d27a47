"""Asking for and revealing personal data, rudeness, refusals."""

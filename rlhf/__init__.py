"""RLHF experiments that cannot fool their reader."""

__version__ = "0.1.0"

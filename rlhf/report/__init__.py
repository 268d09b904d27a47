"""How runs are shown: the comparison table and the learning curves."""

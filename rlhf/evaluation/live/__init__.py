"""What is measured on a model itself and not on its answers alone, one file each: `METRICS` and `measure(...)`."""

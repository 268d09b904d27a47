"""How trained models are measured, one file per kind of measurement."""

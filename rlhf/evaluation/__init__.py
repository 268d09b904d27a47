"""How trained models are measured, one package per subject, and what all of them share."""

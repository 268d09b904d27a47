"""`rlhf evaluate`: finished runs are found, measured together on the same questions, and told about."""

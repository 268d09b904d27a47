"""What can be asked besides training: one verb per file, each with `run(words)`."""

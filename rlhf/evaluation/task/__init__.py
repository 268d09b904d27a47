"""Doing the task: intents, placeholders."""

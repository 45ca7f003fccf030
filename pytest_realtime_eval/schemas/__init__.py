"""Pydantic models of the files that users bring and of those that a run leaves."""

"""Subcommands of ``realtime-eval``, as plain functions that return an exit status."""

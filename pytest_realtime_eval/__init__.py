"""Evals as tests."""

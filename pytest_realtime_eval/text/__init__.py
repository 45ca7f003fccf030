"""Clients for text: judges and translation models."""

"""Run cards: build, hash, verify, submit.

A run card is one JSON document that tells what was run and what came out, and that others
can check without trusting whoever made it.
"""

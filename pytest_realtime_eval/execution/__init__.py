"""Which work runs when: overlap, limits, retries."""

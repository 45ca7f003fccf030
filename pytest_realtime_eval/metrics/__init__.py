"""From hypotheses and references to scores."""

"""From a transcript to verdicts."""

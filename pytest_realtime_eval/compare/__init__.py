"""Two runs side by side: what changed, by how much, and whether chance could explain it."""

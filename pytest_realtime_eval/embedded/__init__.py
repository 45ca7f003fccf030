"""The local endpoint: the Realtime API with real speech and rules in place of models."""

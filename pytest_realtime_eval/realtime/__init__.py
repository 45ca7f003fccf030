"""A client of the Realtime API: sans-I/O protocol, audio, sessions, cassettes."""

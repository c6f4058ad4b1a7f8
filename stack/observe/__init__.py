"""Looking into a running host: one event bus, and what listens to it."""

"""The only place for platform code."""

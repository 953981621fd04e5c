"""Tray and command line to agent: JSON lines over a local socket with a token."""

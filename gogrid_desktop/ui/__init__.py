"""The tray application: the only importer of PySide6. Thin: it shows the agent's status and sends it commands."""

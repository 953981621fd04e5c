"""The tray application: shows the agent's status and sends it commands. The only importer of PySide6."""

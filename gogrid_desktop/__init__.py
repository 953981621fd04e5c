"""GoGrid Desktop: lend an idle GPU to a grid that runs LLM inference, without ever feeling it."""

__version__ = "0.1.0"

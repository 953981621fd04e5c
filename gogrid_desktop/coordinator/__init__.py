"""The coordinator: jobs, leases and the OpenAI face over one database."""

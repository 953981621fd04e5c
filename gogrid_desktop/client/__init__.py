"""The grid client: the only importer of httpx."""

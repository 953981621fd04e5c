"""HTTP endpoints, one file for each kind of caller."""

"""The inference subprocess: one model, many sequences. Never touches the network."""

"""The claims, measured: a file each, a peer in the same run, a ratio. `make bench`, or `make bench ONLY=throughput`."""

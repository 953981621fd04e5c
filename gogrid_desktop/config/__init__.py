"""Settings: typed, bounded, with units; stored atomically."""

"""Episodes on disk and in batches: the store, windows over it, and statistics."""

"""`broker`."""

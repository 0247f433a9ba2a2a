"""`schedule`."""

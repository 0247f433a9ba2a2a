"""`walk-forward and optimize`."""

"""`convert-config`."""

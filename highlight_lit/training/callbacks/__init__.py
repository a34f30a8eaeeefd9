"""Callbacks of this package: the last checkpoint, and the progress bar."""

"""Where a trained detector is, on disk or at the hub, and how it is read as data (`load`)."""

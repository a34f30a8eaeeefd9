"""A run on several devices: where its processes are, and how they are started."""

"""The commands `score` and `evaluate`: their arguments, what they run, and the tables they print."""

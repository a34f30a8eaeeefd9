"""A step of training as functions: of a run alone, compiled, stacked, or of a batch in parts."""

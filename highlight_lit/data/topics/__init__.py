"""A topic's videos: which are positive and which negative (weak labels), in which fold, and how many."""

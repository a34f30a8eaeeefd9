"""Methods that learn from clip labels, and the one door to them: nothing outside this folder imports from it."""

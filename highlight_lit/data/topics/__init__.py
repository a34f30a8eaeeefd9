"""What is about topics: weak labels, folds, and what a corpus has of each topic."""

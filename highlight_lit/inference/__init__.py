"""From a trained network to scores: one path from a batch to logits, for features, corpora and raw videos."""

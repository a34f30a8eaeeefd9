"""From a checkpoint to scores of clips, and to the measures they reach."""

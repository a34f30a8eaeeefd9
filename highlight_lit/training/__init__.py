"""Training: the Hydra entry, the Lightning module, Trainer and callbacks; several processes, stacked cells."""

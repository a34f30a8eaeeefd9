"""Training: the Lightning module, the Hydra entry, tracking, and the trained detector."""

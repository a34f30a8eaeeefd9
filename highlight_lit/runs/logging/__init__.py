"""The loggers of a run. `tracking` alone imports W&B, `wandb_privacy` says what it is told, `dashboard` what it shows."""

"""The loggers of a run. `tracking` alone knows W&B, `privacy` says what it is told, `dashboard` what it shows."""

"""What runs leave and say: records, sweeps, summaries and loggers."""

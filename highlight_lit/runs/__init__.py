"""What runs leave and say: records, sweeps and their tables, and loggers."""

"""The last checkpoint: what it holds (`contents`), how its file is written (`atomic_io`), how a run goes on (`resume`)."""

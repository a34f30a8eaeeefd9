"""The last checkpoint: what it holds (`contents`), how its file is written, how a run or a member of a stack goes on from it."""

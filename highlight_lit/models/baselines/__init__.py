"""Methods to compare with, one file each, behind the same `forward(visual, audio, mask, heard) -> Detection`."""

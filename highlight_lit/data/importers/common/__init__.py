"""What the importers share: sources of labels, tables of videos, checks of values, writing and reporting."""

"""What the importers share: labels and lists that come beside, values checked, what is written and told."""

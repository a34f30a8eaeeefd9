"""What importers share: opening files of others, checks, principal components."""

"""What processes share: signals that stop them, files that one at a time holds, and what the program starts."""

"""What a run is: its keys and their checks, its identity, and its parts made from the configuration."""

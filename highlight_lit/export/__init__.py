"""A trained detector in the forms that travel: a graph for another runtime, a folder, a repository of the hub."""

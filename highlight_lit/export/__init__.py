"""A trained detector exported: a graph for another runtime, a folder of safetensors, a repository of the hub."""

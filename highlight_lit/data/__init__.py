"""Feature shards, weak labels and the bags drawn from them."""

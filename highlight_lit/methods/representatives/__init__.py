"""Methods that choose representatives of a video, or of a topic's videos, without training a network."""

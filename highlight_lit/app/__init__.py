"""`highlight-lit app`: a page on this machine on which videos and features are dropped and scored."""

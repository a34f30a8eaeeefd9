"""What a scored video becomes: score files, segments, a page, a timeline, a reel."""

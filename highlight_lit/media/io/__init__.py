"""Video files in and out: decoding, clips by timestamps, audio, shot changes, encoding."""

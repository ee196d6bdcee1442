"""Where the bytes of a file come from; a transport knows nothing of what they mean."""

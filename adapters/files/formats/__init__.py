"""What the bytes of a file mean; a format knows nothing of where they come from."""

"""Share and fetch datasets through Hugging Face or Google Cloud Storage."""

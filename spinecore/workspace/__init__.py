"""What the dashboard keeps on disk: uploads, analyses, settings, own weights."""

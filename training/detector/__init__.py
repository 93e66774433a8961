"""Training our face detector: scenes with boxes in, ``model.keras`` out (docs/detector.md)."""

"""Files that the training's reports are made with."""

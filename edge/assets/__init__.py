"""Pictures that ship with fer-edge: the seven averaged faces of the demo."""

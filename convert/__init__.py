"""From a Keras model to an int8 TFLite model that was checked against it."""

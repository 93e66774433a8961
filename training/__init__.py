"""From FER-2013 to a Keras model: the data, the network, the training run and its evaluation.

Nothing is imported here, because reading the data must not load TensorFlow.
"""

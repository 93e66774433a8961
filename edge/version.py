"""The version of the distribution, in the one place that setup.cfg reads."""

__version__ = "0.1.0.dev0"

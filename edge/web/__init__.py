"""The live page: what the loop reads, for browsers. Needs the extra ``web``."""

"""Toy data: drawn animals and people with exact annotations, for demonstrations and tests. Needs NumPy and OpenCV."""
from .domains import DOMAINS
from .generate import make_toy_dataset, read_arguments
from .kinds import KINDS

__all__ = ['DOMAINS', 'KINDS', 'make_toy_dataset', 'read_arguments']

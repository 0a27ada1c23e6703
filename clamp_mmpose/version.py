"""The version of the package, and nothing else: setup.py reads this file without importing the package."""

__version__ = '0.1.0'

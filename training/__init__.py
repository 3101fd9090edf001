"""Rebuilds the weights of the embedded engine. Not part of the installed package."""

"""The Flask app. It only wires things together: nothing here judges or decides."""

from .app import create_app

__all__ = ["create_app"]

"""The HTTP server: gunicorn's processes, and our worker in each of them."""

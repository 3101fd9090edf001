"""The console's pages, one module each: its routes in a `page`, its templates and its Chinese beside it."""

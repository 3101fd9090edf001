"""What fills the console's tables before Chromium goes through its pages: a module per page, each with `seed`."""

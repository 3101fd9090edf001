"""What the service tells its operators: log, metrics, audit file, traces."""

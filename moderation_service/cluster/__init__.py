"""What several gateways remember together: a Valkey or Redis beside them, which may be away at any time."""

"""How a model server is called: connections, HTTP replies, replicas, and what differs between servers."""

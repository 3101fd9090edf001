"""Wires: who asks. One module per contract: `parse` a body into checks, `render` decisions into a reply."""

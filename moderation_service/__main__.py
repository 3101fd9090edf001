"""`python -m moderation_service` is the command `moderation-service`."""

from .commands.cli import main

main()

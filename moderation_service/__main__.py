"""`python -m moderation_service` is the command `moderation-service`."""

from .cli import main

main()

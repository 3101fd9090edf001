"""`moderation-service` where the name guards.test has the addresses that stand in the file NAMES_FILE, one a line.

What a name server would tell: the file may change while the service runs.
"""

from __future__ import annotations

import os
import socket
from pathlib import Path
from typing import Any

NAME = "guards.test"


def _name_server(file: Path) -> None:
    real = socket.getaddrinfo

    def getaddrinfo(host: Any, port: Any, *args: Any, **options: Any) -> Any:
        if host != NAME:
            return real(host, port, *args, **options)
        addresses = file.read_text().split()
        return [(socket.AF_INET, socket.SOCK_STREAM, 6, "", (address, port)) for address in addresses]

    socket.getaddrinfo = getaddrinfo


if __name__ == "__main__":
    from moderation_service.commands.cli import main

    _name_server(Path(os.environ["NAMES_FILE"]))
    main()

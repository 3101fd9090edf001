"""Keys and signatures of packages, as Dify's plugin-daemon verifies them. Needs the package `cryptography`."""

from __future__ import annotations

import base64
import hashlib
import json
import os
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from plugin_files import identifier, read_package, write_zip

VERIFICATION = ".verification.dify.json"
CATEGORIES = ("langgenius", "partner", "community")


def keygen(name: str) -> None:
    """Writes NAME.private.pem, readable by its owner only, and NAME.public.pem; refuses to replace a private key."""
    from cryptography.hazmat.primitives import serialization
    from cryptography.hazmat.primitives.asymmetric import rsa

    key = rsa.generate_private_key(65537, 4096)
    private = key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.TraditionalOpenSSL, serialization.NoEncryption()
    )
    public = key.public_key().public_bytes(serialization.Encoding.PEM, serialization.PublicFormat.PKCS1)
    with os.fdopen(os.open(f"{name}.private.pem", os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as file:
        file.write(private)
    Path(f"{name}.public.pem").write_bytes(public)


def _signed_bytes(files: Mapping[str, bytes], when: int) -> bytes:
    return b"".join(hashlib.sha256(content).digest() for content in files.values()) + str(when).encode()


def sign(
    path: str | os.PathLike[str], private_pem: bytes, out: str | os.PathLike[str], category: str = "community"
) -> str:
    """RSA PKCS#1 v1.5 with SHA-256; the signature lives in the zip's comment.

    Returns the package's identifier, which signing changes.
    """
    from cryptography.hazmat.primitives import hashes, serialization
    from cryptography.hazmat.primitives.asymmetric import padding, rsa

    key = serialization.load_pem_private_key(private_pem, None)
    if not isinstance(key, rsa.RSAPrivateKey):
        raise SystemExit("the signing key must be an RSA key")
    files = {
        name: content for name, content in read_package(path)[0].items() if name != VERIFICATION
    }  # signing again replaces
    files[VERIFICATION] = json.dumps({"authorized_category": category}, separators=(",", ":")).encode()
    when = int(time.time())
    signature = key.sign(_signed_bytes(files, when), padding.PKCS1v15(), hashes.SHA256())
    comment = json.dumps(
        {"signature": base64.b64encode(signature).decode(), "time": when}, separators=(",", ":")
    ).encode()
    Path(out).write_bytes(write_zip(files.items(), comment))
    return identifier(files)


def verify(path: str | os.PathLike[str], public_pem: bytes) -> dict[str, Any]:
    """Raises ValueError unless the package carries a good signature of this key."""
    from cryptography.exceptions import InvalidSignature
    from cryptography.hazmat.primitives import hashes, serialization
    from cryptography.hazmat.primitives.asymmetric import padding, rsa

    if not public_pem.startswith(b"-----BEGIN RSA PUBLIC KEY-----") or not public_pem.endswith(
        b"-----END RSA PUBLIC KEY-----\n"
    ):
        raise ValueError(
            "the daemon reads only a PKCS#1 key (RSA PUBLIC KEY) with nothing, not even a blank line, behind it"
        )
    files, comment = read_package(path)
    try:
        note = json.loads(comment)
        signature, when = base64.b64decode(note["signature"], validate=True), int(note["time"])
    except (ValueError, KeyError, TypeError):
        raise ValueError("the package is not signed") from None
    key = serialization.load_pem_public_key(public_pem)
    assert isinstance(key, rsa.RSAPublicKey)
    try:
        key.verify(signature, _signed_bytes(files, when), padding.PKCS1v15(), hashes.SHA256())
    except InvalidSignature:
        raise ValueError("bad signature") from None
    return {"time": when, **json.loads(files.get(VERIFICATION, b"{}"))}

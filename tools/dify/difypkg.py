"""Build, check, sign and verify .difypkg packages without Dify's command line tool. Needs PyYAML; signing cryptography.

python tools/dify/difypkg.py validate PLUGIN_DIR [--marketplace] [--sdk-python PY]
python tools/dify/difypkg.py pack PLUGIN_DIR OUT.difypkg
python tools/dify/difypkg.py info FILE.difypkg
python tools/dify/difypkg.py unpack FILE.difypkg FOLDER
python tools/dify/difypkg.py keygen NAME                       -> NAME.private.pem, NAME.public.pem
python tools/dify/difypkg.py sign FILE.difypkg NAME.private.pem OUT.difypkg
python tools/dify/difypkg.py verify FILE.difypkg NAME.public.pem
"""

from __future__ import annotations

import argparse
import json
import os
import sys
from pathlib import Path

from plugin_checks import check_with_sdk, validate
from plugin_files import collect, identifier, read_package, unpack, write_zip


def pack(root: str | os.PathLike[str], out: str | os.PathLike[str]) -> str:
    """Checks and packs; returns the package's identifier."""
    files = collect(root)
    found = validate(files)
    if found.errors:
        raise SystemExit("not packed:\n  " + "\n  ".join(found.errors))
    Path(out).write_bytes(write_zip(files.items()))
    return identifier(files)


def main(argv: list[str] | None = None) -> int:
    args = _parser().parse_args(argv)
    if args.command == "validate":
        found = validate(collect(args.plugin_dir))
        if args.sdk_python and (problem := check_with_sdk(args.plugin_dir, args.sdk_python)):
            found.errors.append(f"SDK: {problem}")
        for text in found.errors:
            print(f"error: {text}")
        for text in found.warnings:
            print(f"{'error' if args.marketplace else 'warning'}: {text}")
        return 1 if found.errors or (args.marketplace and found.warnings) else 0
    if args.command == "pack":
        print(pack(args.plugin_dir, args.out))
    elif args.command == "info":
        files, comment = read_package(args.file)
        print(identifier(files), "signed" if comment else "not signed")
        for name, content in files.items():
            print(f"{len(content):>8} {name}")
    elif args.command == "unpack":
        unpack(args.file, args.folder)
    else:
        return _with_keys(args)
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    commands = parser.add_subparsers(dest="command", required=True)
    command = commands.add_parser("validate")
    command.add_argument("plugin_dir")
    command.add_argument(
        "--marketplace", action="store_true", help="what only the Marketplace asks for is an error too"
    )
    command.add_argument("--sdk-python", help="interpreter with dify-plugin: also load the plugin as the SDK does")
    for name, names in {
        "pack": ("plugin_dir", "out"),
        "info": ("file",),
        "unpack": ("file", "folder"),
        "keygen": ("name",),
        "sign": ("file", "private_key", "out"),
        "verify": ("file", "public_key"),
    }.items():
        command = commands.add_parser(name)
        for argument in names:
            command.add_argument(argument)
        if name == "sign":
            command.add_argument("--category", choices=("langgenius", "partner", "community"), default="community")
    return parser


def _with_keys(args: argparse.Namespace) -> int:
    from plugin_signing import keygen, sign, verify

    if args.command == "keygen":
        keygen(args.name)
    elif args.command == "sign":
        print(sign(args.file, Path(args.private_key).read_bytes(), args.out, args.category))
    else:
        try:
            print(json.dumps(verify(args.file, Path(args.public_key).read_bytes())))
        except ValueError as error:
            print(error, file=sys.stderr)
            return 1
    return 0


if __name__ == "__main__":
    raise SystemExit(main())

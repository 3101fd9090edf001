"""The package: built, signed with a throw-away key, verified, unpacked, and run from there."""

from __future__ import annotations

import subprocess
import zipfile
from pathlib import Path

import pytest
from plugin_process import StdioPlugin
from samples import SAFE, SAFE_ANSWER, UNSAFE

pytestmark = pytest.mark.dify

ROOT = Path(__file__).resolve().parents[2]
NAME = "moderation_guard"


@pytest.fixture(scope="module")
def difypkg(dify_python, tmp_path_factory):
    """The command, run in a folder of its own by the interpreter that has `cryptography`."""
    folder = tmp_path_factory.mktemp("packages")

    def run(*arguments):
        command = [dify_python, str(ROOT / "tools/dify/difypkg.py"), *map(str, arguments)]
        return subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False)

    run.folder = folder
    return run


@pytest.fixture(scope="module")
def signed(difypkg):
    """A signed package, made once: a key of 4096 bits takes seconds."""
    for arguments in (
        ("pack", ROOT / "dify_plugin", "plain.difypkg"),
        ("keygen", "mine"),
        ("sign", "plain.difypkg", "mine.private.pem", "signed.difypkg"),
    ):
        done = difypkg(*arguments)
        assert done.returncode == 0, done.stderr
    return difypkg.folder / "signed.difypkg"


def test_the_same_files_give_the_same_package(difypkg, signed):
    difypkg("pack", ROOT / "dify_plugin", "again.difypkg")
    plain = (difypkg.folder / "plain.difypkg").read_bytes()
    assert (difypkg.folder / "again.difypkg").read_bytes() == plain
    assert difypkg("info", "plain.difypkg").stdout.startswith("moderation-service/moderation_guard:")


def test_only_what_belongs_there_is_in_the_package(signed):
    with zipfile.ZipFile(signed) as archive:
        names = archive.namelist()
    assert names[-1] == ".verification.dify.json"
    suffixes = (".py", ".yaml", ".md", ".svg", "requirements.txt", ".difyignore", ".json")
    assert all(name.endswith(suffixes) for name in names)
    assert "__init__.py" not in {Path(name).name for name in names}


def test_the_signature_verifies_with_this_key_only(difypkg, signed):
    assert difypkg("verify", "signed.difypkg", "mine.public.pem").returncode == 0
    assert (difypkg.folder / "mine.private.pem").stat().st_mode & 0o077 == 0
    assert "not signed" in difypkg("verify", "plain.difypkg", "mine.public.pem").stderr
    # A key file with an empty line at its end is one that the daemon refuses.
    public = (difypkg.folder / "mine.public.pem").read_bytes()
    (difypkg.folder / "longer.public.pem").write_bytes(public + b"\n")
    assert "blank line" in difypkg("verify", "signed.difypkg", "longer.public.pem").stderr


def test_a_changed_package_does_not_verify(difypkg, signed):
    with zipfile.ZipFile(signed) as archive:
        entries, comment = [(info, archive.read(info)) for info in archive.infolist()], archive.comment
    with zipfile.ZipFile(difypkg.folder / "changed.difypkg", "w") as archive:
        for info, content in entries:
            archive.writestr(info, content + b"#" if info.filename == "main.py" else content)
        archive.comment = comment
    assert "bad signature" in difypkg("verify", "changed.difypkg", "mine.public.pem").stderr


def test_the_unpacked_package_runs_all_tools(difypkg, signed, dify_python, live):
    assert difypkg("unpack", "signed.difypkg", "unpacked").returncode == 0
    with StdioPlugin(difypkg.folder / "unpacked", python=dify_python) as plugin:
        plugin.validate_credentials(NAME, live.credentials())
        output = plugin.invoke_tool(NAME, "prompt_check", live.credentials(), {"query": UNSAFE})
        assert output.variables["action"] == "block"
        parameters = {"query": SAFE, "answer": SAFE_ANSWER}
        output = plugin.invoke_tool(NAME, "output_check", live.credentials(), parameters)
        assert output.variables["safe_text"] == SAFE_ANSWER
        output = plugin.invoke_tool(NAME, "check_texts", live.credentials(), {"texts": [SAFE, UNSAFE]})
        assert output.variables["safe_texts"] == [SAFE]

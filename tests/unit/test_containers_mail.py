"""Mail in mail, winmail.dat and S/MIME: what a forwarded message carries is found as if it came by itself."""

from __future__ import annotations

import base64
import binascii
import struct
import subprocess
from email.message import EmailMessage
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from support import files
from support.walks import opened, walk

from gatepost_milter.inspection.model import FileClass

PROGRAM = files.windows_program()
PLAIN = {FileClass.PLAIN}


def mail(*attachments: tuple[str, bytes], text: str = "Dear all,\n") -> bytes:
    message = EmailMessage()
    message["From"] = "a@example.org"
    message["To"] = "b@example.org"
    message["Subject"] = "forwarded"
    message.set_content(text)
    for name, content in attachments:
        message.add_attachment(content, maintype="application", subtype="octet-stream", filename=name)
    return message.as_bytes().replace(b"\n", b"\r\n")


def test_a_forwarded_message_is_opened() -> None:
    """Forwarding a suspicious mail to IT Support is what KCS 2.6 asks for: its facts must be told."""
    found = opened(mail(("setup.exe", PROGRAM), ("note.txt", b"hello")), "suspicious.eml")
    assert FileClass.EXECUTABLE in found["suspicious.eml › setup.exe"].classes
    assert found["suspicious.eml › note.txt"].classes == PLAIN
    assert found["suspicious.eml"].classes == PLAIN
    assert len(found) == 3


def test_messages_in_messages_are_opened_to_the_bottom() -> None:
    content = mail(("inner.eml", mail(("deep.zip", files.zipped({"setup.exe": PROGRAM})))))
    found = opened(content, "outer.eml")
    assert FileClass.EXECUTABLE in found["outer.eml › inner.eml › deep.zip › setup.exe"].classes


def test_a_message_without_a_telling_name_is_known_by_its_header() -> None:
    assert any(FileClass.EXECUTABLE in each.classes for each in opened(mail(("a.exe", PROGRAM)), "file").values())


def test_a_multipart_under_a_transfer_encoding_is_opened() -> None:
    """RFC 2045 6.4 forbids it; some clients decode the whole and show the parts."""
    body = (
        b"--b\r\nContent-Type: application/octet-stream; name=setup.exe\r\n"
        b"Content-Transfer-Encoding: base64\r\n\r\n" + base64.encodebytes(PROGRAM) + b"--b--\r\n"
    )
    found = opened(body, "", claimed="multipart/mixed")
    assert any(FileClass.EXECUTABLE in each.classes for each in found.values())


def test_a_mailbox_of_messages_is_opened() -> None:
    box = b"".join(b"From a@example.org Mon Nov  2 10:00:00 2026\r\n" + mail((name, PROGRAM)) + b"\r\n"
                   for name in ("one.bin", "two.bin"))  # fmt: skip
    found = opened(box, "old.mbox")
    assert sum(FileClass.EXECUTABLE in each.classes for each in found.values()) == 2


def test_a_file_written_into_a_text_is_found() -> None:
    """Uuencode is older than MIME, and Outlook still turns it into an attachment."""
    lines = [binascii.b2a_uu(PROGRAM[at : at + 45]) for at in range(0, len(PROGRAM), 45)]
    text = b"Dear all,\nbegin 644 setup.exe\n" + b"".join(lines) + b"`\nend\n"
    assert FileClass.EXECUTABLE in opened(text, "letter.txt")["letter.txt › setup.exe"].classes


def test_a_file_of_base64_is_decoded() -> None:
    found = opened(base64.encodebytes(PROGRAM), "setup.exe.b64")
    assert FileClass.EXECUTABLE in found["setup.exe.b64 › setup.exe"].classes


def attribute(level: int, kind: int, data: bytes) -> bytes:
    return struct.pack("<BHHI", level, kind, 6, len(data)) + data + struct.pack("<H", sum(data) & 0xFFFF)


def mapi(*properties: tuple[int, int, bytes]) -> bytes:
    packed = struct.pack("<I", len(properties))
    for kind, tag, value in properties:
        packed += struct.pack("<HHII", kind, tag, 1, len(value)) + value + bytes(-len(value) % 4)
    return packed


def tnef(*attachments: tuple[str, str, bytes]) -> bytes:
    whole = b"\x78\x9f\x3e\x22\x01\x00" + attribute(1, 0x9006, b"\0\0\1\0")
    for short, long, content in attachments:
        whole += attribute(2, 0x9002, bytes(14)) + attribute(2, 0x8010, short.encode() + b"\0")
        whole += attribute(2, 0x800F, content)
        whole += attribute(2, 0x9005, mapi((0x1F, 0x3707, long.encode("utf-16-le") + b"\0\0")))
    return whole


def test_winmail_dat_is_opened() -> None:
    """Scenario 16: the recipient without Outlook sees one odd file, the one with Outlook a program."""
    found = opened(tnef(("SETUP~1.MSI", "setup.msi", b"x" * 50), ("a.bin", "b.bin", PROGRAM)), "winmail.dat")
    assert FileClass.INSTALLER in found["winmail.dat › setup.msi"].classes
    assert FileClass.EXECUTABLE in found["winmail.dat › b.bin"].classes
    assert found["winmail.dat"].classes == PLAIN


def test_a_cut_winmail_dat_is_opaque() -> None:
    whole = tnef(("a.bin", "b.bin", PROGRAM), ("c.bin", "d.bin", PROGRAM))
    assert FileClass.OPAQUE in opened(whole[:-1500], "winmail.dat")["winmail.dat"].classes


def certificate(folder: Path) -> tuple[Path, Path]:
    key, cert = folder / "key.pem", folder / "cert.pem"
    subprocess.run(
        ["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-subj", "/CN=a", "-keyout", key,
         "-out", cert],
        check=True, capture_output=True,
    )  # fmt: skip
    return key, cert


@pytest.mark.slow
@pytest.mark.parametrize("streamed", [False, True])
def test_an_opaque_signed_message_is_opened_and_an_encrypted_one_says_so(tmp_path: Path, streamed: bool) -> None:
    """RFC 8551 section 3.5.2: the signature wraps the message; to a scanner it looks like one unknown blob."""
    key, cert = certificate(tmp_path)
    (tmp_path / "in.eml").write_bytes(mail(("setup.exe", PROGRAM)))
    signed, locked = tmp_path / "signed", tmp_path / "locked"
    ber: list[str | Path] = ["-stream", "-indef"] if streamed else []
    base: list[str | Path] = ["openssl", "cms", "-in", tmp_path / "in.eml", "-outform", "DER", "-binary"]
    sign: list[str | Path] = ["-sign", "-nodetach", "-signer", cert, "-inkey", key, "-out", signed]
    subprocess.run([*base, *ber, *sign], check=True, capture_output=True)
    subprocess.run([*base, "-encrypt", "-out", locked, cert], check=True, capture_output=True)
    found = opened(signed.read_bytes(), "smime.p7m")
    assert FileClass.EXECUTABLE in found["smime.p7m › smime.eml › setup.exe"].classes
    assert opened(locked.read_bytes(), "smime.p7m")["smime.p7m"].classes == {FileClass.ENCRYPTED}


@pytest.mark.slow
def test_a_detached_signature_is_plain(tmp_path: Path) -> None:
    key, cert = certificate(tmp_path)
    (tmp_path / "in.eml").write_bytes(b"hello")
    made = tmp_path / "smime.p7s"
    subprocess.run(
        ["openssl", "cms", "-sign", "-in", tmp_path / "in.eml", "-signer", cert, "-inkey", key, "-outform", "DER",
         "-out", made],
        check=True, capture_output=True,
    )  # fmt: skip
    assert opened(made.read_bytes(), "smime.p7s")["smime.p7s"].classes == PLAIN


@settings(max_examples=150, deadline=None)
@given(data=st.data())
def test_mutilated_mail_files_never_raise(data: st.DataObject) -> None:
    kinds = [mail(("a.zip", files.zipped({"b": b"c"}))), tnef(("a", "b", b"x" * 60))]
    kinds.append(
        bytes.fromhex("308006092a864886f70d010702a080308002010131003080") + b"\x24\x80\x04\x03abc\0\0" * 3
    )
    whole = bytearray(data.draw(st.sampled_from(kinds)))
    for _ in range(data.draw(st.integers(1, 20))):
        whole[data.draw(st.integers(0, len(whole) - 1))] = data.draw(st.integers(0, 255))
    assert walk(bytes(whole), "a.eml").attachments

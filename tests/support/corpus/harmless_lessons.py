"""Owns harmless files of lessons, workshops and other programs' own kinds: their heads, and noise where data would be."""

from __future__ import annotations

import struct

from support.corpus.packers import zipped
from support.files import noise

_PAGES = zipped({"Index/Document.iwa": noise(900), "Metadata/Properties.plist": b"bplist00" + noise(50)})
_SVG = b'<svg xmlns="http://www.w3.org/2000/svg"><text x="1" y="9">Lesson</text></svg>'
_EPS = b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 10 10\nshowpage\n"

LESSONS: tuple[tuple[str, bytes], ...] = (
    ("plan.pages", _PAGES),
    ("marks.numbers", _PAGES),
    ("talk.key", _PAGES),
    ("Trip plan.gdoc", b'{"url": "https://docs.google.com/open?id=abc", "doc_id": "abc"}'),
    ("part.dwg", b"AC1032" + bytes(10) + noise(3000)),
    ("part.dxf", b"  0\nSECTION\n  2\nHEADER\n" * 40),
    ("part.stl", bytes(80) + struct.pack("<I", 2) + noise(100)),
    ("part.step", b"ISO-10303-21;\nHEADER;\nFILE_DESCRIPTION(('crest'),'2;1');\n"),
    ("model.3mf", zipped({"3D/3dmodel.model": b"<model/>", "[Content_Types].xml": b"<Types/>"})),
    ("print.gcode", b"G28\nG1 X10 Y10 F1500\n" * 200),
    ("clip.wmv", b"\x30\x26\xb2\x75\x8e\x66\xcf\x11" + noise(2000)),
    ("score.mscz", zipped({"score.mscx": b"<museScore/>", "META-INF/container.xml": b"<container/>"})),
    ("voice.opus", b"OggS\0\x02" + noise(800)),
    ("homework.bundle", b"# v2 git bundle\n" + b"a" * 40 + b" HEAD\n\nPACK\0\0\0\x02\0\0\0\x03" + noise(300)),
    (
        "0001-fix.patch",
        b"From abc Mon Sep 17 00:00:00 2001\nSubject: [PATCH] Fix\n\n--- a/game.py\n+++ b/game.py\n",
    ),
    ("lesson.ipynb", b'{"cells": [{"cell_type": "code", "source": ["import os"]}], "nbformat": 4}'),
    ("microbit.hex", b":020000040000FA\n:10000000C0070000D1060000D1000000B1060000CA\n" * 60 + b":00000001FF\n"),
    ("app.aia", zipped({"youngandroidproject/project.properties": b"main=x", "src/screen.scm": b"#|\n|#"})),
    ("spike.llsp3", zipped({"manifest.json": b"{}", "scratch.sb3": zipped({"project.json": b"{}"})})),
    ("crest.ai", b"%PDF-1.5\n1 0 obj<</Type/Catalog>>endobj\ntrailer<</Root 1 0 R>>\n%%EOF"),
    ("crest.eps", b"\xc5\xd0\xd3\xc6" + struct.pack("<IIIIII", 30, len(_EPS), 0, 0, 0, 0) + b"\xff\xff" + _EPS),
    ("new crest.cdr", zipped({"content/riffData.cdr": b"RIFF" + noise(4) + b"CDREvrsn" + noise(500)})),
    ("photo.cr2", b"II*\0\x10\0\0\0CR\x02\0" + noise(900)),
    ("survey.sav", b"$FL2@(#) SPSS DATA FILE" + noise(500)),
    ("survey.dta", b"<stata_dta><header>" + noise(200)),
    ("map.kmz", zipped({"doc.kml": b'<kml xmlns="http://www.opengis.net/kml/2.2"/>'})),
    ("quiz.gift", b"::Q1:: What is a .exe file? {=a program ~a picture}\n"),
    (
        "course.zip",
        zipped({"imsmanifest.xml": b"<manifest/>", "index.html": b"<html><body><p>Hi</p></body></html>"}),
    ),
    ("lesson.flipchart", zipped({"flipchart.xml": b"<flipchart/>", "a.svg": _SVG})),
    ("mind.mm", b'<map version="1.0.1"><node TEXT="Rivers"/></map>'),
    (
        "triangle.ggb",
        zipped({"geogebra.xml": b"<geogebra/>", "geogebra_javascript.js": b"function ggbOnInit() {}"}),
    ),
    ("book.mobi", b"Book".ljust(60, b"\0") + b"BOOKMOBI" + noise(600)),
    ("crest.afdesign", b"\0\xff" + b"KSA" + noise(800)),
    ("births.csv", b"070701,Alice,7B\r\n080802,Bob,7C\r\n" * 9),
    ("wordlist.txt", b"MZ\nPK\nELF\nBM\nRar!\nSZDD\n"),
    ("zeros.dat", bytes(20_000)),
    ("sector.dat", bytes(510) + b"\x55\xaa" + noise(3000)),
    ("about disks.txt", b"# Disk DescriptorFile\nis how a VMDK begins, the teacher wrote.\n"),
    ("Makefile", b"all:\n\techo done\n"),
    (".gitignore", b"*.pyc\n__pycache__/\n"),
    ("invoice.2026.com.txt", b"See www.example.com\n"),
)

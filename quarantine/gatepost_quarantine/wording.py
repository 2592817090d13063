"""Owns the templates of notices: ours, a school's own in their place, and the proof that they can be used.

All files are read when templates are loaded, so what was proved is what is used until the next load. A school's
template runs in a sandbox: it sees what ``templates/README.md`` lists and nothing else of the program.
"""

from __future__ import annotations

import textwrap
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime
from functools import cache
from importlib import resources
from pathlib import Path
from typing import Any

from jinja2 import FunctionLoader, StrictUndefined, TemplateError, TemplateNotFound, select_autoescape
from jinja2.sandbox import ImmutableSandboxedEnvironment
from markupsafe import Markup, escape

from gatepost_config.errors import ConfigError, Problem
from gatepost_config.settings import Settings
from gatepost_config.spelling import nearest

FAULTS = (TemplateError, ArithmeticError, LookupError, TypeError, ValueError, AttributeError, RecursionError)
"""What a template may raise while it is rendered."""

SAYINGS = ("headline", "subject", "happened", "next", "todo", "reply", "alone", "help", "automatic")
"""The macros of words.txt, each of which says one thing for the text and the HTML."""

SHIPPED = "shipped/"
"""Before a template's name: ours, also where a school has its own of that name."""

_LOGO_LIMIT = 100_000
_FILE_LIMIT = 1_000_000
_WIDTH = 72
_IMAGES = ((b"\x89PNG\r\n\x1a\n", "png"), (b"\xff\xd8\xff", "jpeg"), (b"GIF8", "gif"))


@dataclass(frozen=True, slots=True, kw_only=True)
class Logo:
    """The school's picture, sent along with each notice: ``kind`` is the subtype of image/*."""

    data: bytes
    kind: str


class Templates:
    """One set of templates, ready to use. ``own`` are a school's, by name: where each came from, and its text."""

    def __init__(self, own: Mapping[str, tuple[Path, str]] | None = None, *, logo: Logo | None = None) -> None:
        self.logo = logo
        self._own = dict(own or {})
        self._environment = ImmutableSandboxedEnvironment(
            loader=FunctionLoader(self._source),
            autoescape=select_autoescape(["html"], default_for_string=False),
            undefined=StrictUndefined,
            trim_blocks=True,
            lstrip_blocks=True,
            keep_trailing_newline=True,
            auto_reload=False,
        )
        self._environment.filters["wrapped"] = _wrapped
        self._environment.filters["day"] = _day
        self._environment.filters["unbroken"] = _unbroken

    def said(self, facts: object) -> dict[str, str]:
        """The sentences that text and HTML share, as plain strings: whoever shows them escapes them.

        Called from inside the HTML template, a macro's result would count as escaped already, and it is not.
        """
        return {name: self.saying(name, facts) for name in SAYINGS}

    def saying(self, name: str, facts: object) -> str:
        """One such sentence, on one line. Raises one of FAULTS."""
        words: Any = self._environment.get_template("words.txt").module
        macro = getattr(words, name, None)
        if not callable(macro):
            raise ValueError(f"words.txt has no macro {name}")
        return " ".join(str(macro(facts)).split())

    def render(self, name: str, **values: object) -> str:
        """The template of that name with these values. Raises one of FAULTS."""
        return self._environment.get_template(name).render(values)

    @property
    def own(self) -> tuple[str, ...]:
        """The names of the school's own templates."""
        return tuple(self._own)

    def compile(self, name: str) -> None:
        """Read the template as the engine does. Raises TemplateSyntaxError."""
        self._environment.get_template(name)

    def _source(self, name: str) -> tuple[str, str, Callable[[], bool]]:
        if name in self._own:
            path, text = self._own[name]
            return text, str(path), lambda: True
        text = _shipped().get(name.removeprefix(SHIPPED), "")
        if not text:
            raise TemplateNotFound(name)
        return text, f"{SHIPPED}{name.removeprefix(SHIPPED)}", lambda: True


@cache
def shipped() -> Templates:
    """Our own templates, without a logo."""
    return Templates()


def read(settings: Settings) -> Templates:
    """The templates and the logo that the settings name, not proved yet. Raises ConfigError."""
    notices = settings.notices
    logo = None if notices.logo is None else _logo(notices.logo, settings)
    if notices.templates is None:
        return shipped() if logo is None else Templates(logo=logo)
    folder = notices.templates
    try:
        found = sorted(each for each in folder.iterdir() if each.suffix in (".html", ".txt"))
    except OSError as error:
        raise ConfigError(_setting(settings, "templates", f"{folder}: {error.strerror}")) from error
    own, problems = {}, []
    for path in found:
        try:
            own[path.name] = (path, _text(path))
        except (OSError, ValueError) as error:
            problems.append(Problem(path, 0, 0, f"the template cannot be read: {error}"))
        if path.name not in _shipped() and not path.name.startswith("_"):
            near = nearest(path.name, list(_shipped()))
            hint = f"did you mean {near}?" if near else f"templates: {', '.join(sorted(_shipped()))}"
            remedy = f"{hint} A part that your own templates include begins with “_”."
            problems.append(Problem(path, 0, 0, "there is no template of this name to be replaced", remedy))
    if problems:
        raise ConfigError(*problems)
    return Templates(own, logo=logo)


@contextmanager
def proving(settings: Settings, what: str) -> Iterator[None]:
    """Inside, whatever a template raises becomes a ConfigError with the template's file and line."""
    try:
        yield
    except FAULTS as error:
        name, line = _place(error)
        said = f"{what} cannot be written: {type(error).__name__}: {error}"
        if name and not name.startswith(SHIPPED):
            raise ConfigError(Problem(Path(name), line, 1, said, _REMEDY)) from error
        raise ConfigError(_setting(settings, "templates", f"{said} ({name}:{line})")) from error


_REMEDY = "`gatepost notice preview` shows every notice; templates/README.md lists what a template may use."


def _place(error: BaseException) -> tuple[str, int]:
    """The template and the line in it where the error arose; an empty name if it was in none."""
    filename = getattr(error, "filename", None)
    if isinstance(error, TemplateError) and filename:
        return str(filename), int(getattr(error, "lineno", 0) or 0)
    place, trace = ("", 0), error.__traceback__
    while trace is not None:
        name = trace.tb_frame.f_code.co_filename
        # The engine gives each frame of a template the template's own file and line.
        if name.startswith(SHIPPED) or name.endswith((".html", ".txt")):
            place = (name, trace.tb_lineno)
        trace = trace.tb_next
    return place


def _logo(path: Path, settings: Settings) -> Logo:
    try:
        data = path.read_bytes()
    except OSError as error:
        raise ConfigError(_setting(settings, "logo", f"{path}: {error.strerror}")) from error
    kind = next((kind for start, kind in _IMAGES if data.startswith(start)), "")
    if not kind:
        remedy = "Other pictures are not shown by all mail programs."
        raise ConfigError(_setting(settings, "logo", f"{path} is no PNG, JPEG or GIF", remedy))
    if len(data) > _LOGO_LIMIT:
        remedy = f"It goes out with every notice: make it {_LOGO_LIMIT:,} bytes or less."
        raise ConfigError(_setting(settings, "logo", f"{path} has {len(data):,} bytes", remedy))
    return Logo(data=data, kind=kind)


def _text(path: Path) -> str:
    with path.open("rb") as file:
        data = file.read(_FILE_LIMIT + 1)
    if len(data) > _FILE_LIMIT:
        raise ValueError(f"it is larger than {_FILE_LIMIT:,} bytes")
    return data.decode("utf-8")


@cache
def _shipped() -> Mapping[str, str]:
    folder = resources.files("gatepost_quarantine").joinpath("templates")
    texts = [each for each in folder.iterdir() if each.name.endswith((".html", ".txt"))]
    return {each.name: each.read_text("utf-8") for each in texts}


def _setting(settings: Settings, name: str, message: str, remedy: str = "") -> Problem:
    return settings.problem(("notices", name), f"notices.{name}: {message}", remedy)


def _day(at: datetime) -> str:
    """A day as people write it: 27 November 2026."""
    return f"{at.day} {at:%B %Y}"


def _unbroken(text: str, part: str) -> Markup:
    """Text as HTML in which one part of it, such as a support id, keeps to one line.

    By the style ``whole`` of base.html: a hyphen that does not break would be another letter, and a console
    that is searched for it would find nothing.
    """
    escaped, word = str(escape(text)), str(escape(part))
    kept = f'<span class="whole">{word}</span>'
    return Markup(escaped.replace(word, kept) if word else escaped)  # noqa: S704 - both are escaped above


def _wrapped(text: str, first: str = "", rest: str = "") -> str:
    """Text in lines of at most 72 columns; a word that is longer keeps a line to itself."""
    return textwrap.fill(
        " ".join(text.split()),
        _WIDTH,
        initial_indent=first,
        subsequent_indent=rest,
        break_long_words=False,
        break_on_hyphens=False,
    )

# Typed view of pymilter's Python side: only what gatepost uses.
from collections.abc import Callable
from typing import Any, TypeVar

from milter import Context

_Callback = TypeVar("_Callback", bound=Callable[..., Any])
_Class = TypeVar("_Class", bound=type)

CONTINUE: int
REJECT: int
DISCARD: int
ACCEPT: int
TEMPFAIL: int
NOREPLY: int

ADDHDRS: int
CHGHDRS: int
DELRCPT: int
SETSYMLIST: int

P_HDR_LEADSPC: int

M_CONNECT: int
M_HELO: int
M_ENVFROM: int
M_EOM: int

class Base:
    _ctx: Context
    _actions: int
    _protocol: int
    def _setctx(self, ctx: Context | None) -> None: ...
    @classmethod
    def protocol_mask(cls) -> int: ...

factory: Callable[[], Base]

def noreply(callback: _Callback) -> _Callback: ...
def decode(strategy: str) -> Callable[[_Callback], _Callback]: ...
def header_leading_space(session: _Class) -> _Class: ...
def negotiate_callback(ctx: Context, options: list[int]) -> int: ...
def connect_callback(ctx: Context, name: str, family: int, address: Any) -> int: ...
def close_callback(ctx: Context) -> int: ...

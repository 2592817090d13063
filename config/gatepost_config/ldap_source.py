"""Owns the settings of ``gatepost directory sync``: which LDAP server, how it is asked, what its answers become.

They are a document of their own, because the gateway needs none of it: only the program that fills the directory's
folder knows the server and its password. There is no way to ask a server in clear: ``ldap://`` always means
StartTLS, and certificates are always verified.
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import Annotated, Any

from pydantic import BeforeValidator, Field, StringConstraints, field_validator, model_validator

from gatepost_config.directory_columns import PEOPLE
from gatepost_config.documents import check, read
from gatepost_config.settings import Model

DEFAULT_PATH = Path("/etc/gatepost/directory-sync.yaml")

_ATTRIBUTE = re.compile(r"^[A-Za-z][A-Za-z0-9-]*(;[A-Za-z0-9-]+)*$")
_KINDS = "people|staff|pupils|parents|governors|volunteers|suppliers|roles"


def _texts(value: Any) -> Any:
    return [value] if isinstance(value, str) else value


Attributes = Annotated[list[str], BeforeValidator(_texts, json_schema_input_type=str | list[str])]


class Bind(Model):
    """As whom the server is asked; a reader's account is enough."""

    dn: str = Field(min_length=1, description="DN of the account, or user@domain with Active Directory.")
    password_file: Path = Field(description="File that holds the password and nothing else.")


class PeopleSearch(Model):
    """People of one kind, and the file that they are written to."""

    file: Annotated[str, StringConstraints(pattern=rf"^({_KINDS})(-[a-z0-9-]+)?\.csv$")] = Field(
        description="File in the directory's folder, named after the kind: staff-ldap.csv."
    )
    base: str = Field(min_length=1, description="DN below which to look.")
    filter: str = Field(min_length=3, description="LDAP filter (RFC 4515).")
    columns: dict[str, Attributes] = Field(
        min_length=1,
        description="Our columns, each with the attribute or attributes that fill it: address: mail.",
    )

    @field_validator("columns")
    @classmethod
    def _known(cls, value: dict[str, list[str]]) -> dict[str, list[str]]:
        known = [column.name for column in PEOPLE.columns]
        for column, attributes in value.items():
            if column not in known:
                raise ValueError(f"there is no column {column!r}; columns: {', '.join(known)}")
            for each in attributes:
                if not _ATTRIBUTE.match(each):
                    raise ValueError(f"{each!r} is no name of an LDAP attribute")
        return value


class GroupSearch(Model):
    """Distribution groups: their addresses and how many people get mail to them."""

    file: Annotated[str, StringConstraints(pattern=r"^groups(-[a-z0-9-]+)?\.csv$")] = Field(
        default="groups-ldap.csv", description="File in the directory's folder."
    )
    base: str = Field(min_length=1, description="DN below which to look.")
    filter: str = Field(min_length=3, description="LDAP filter (RFC 4515).")
    address: str = Field(default="mail", description="Attribute with the group's mail address.")
    name: str = Field(default="cn", description="Attribute with its name.")
    members: Attributes = Field(
        default=["member"], description="Attributes with its members: DNs, addresses or user names."
    )


class LdapSource(Model):
    """Where the people directory comes from."""

    uri: Annotated[str, StringConstraints(pattern=r"^(ldaps?|ldapi)://\S*( ldaps?://\S+)*$")] = Field(
        description="ldaps://HOST, or ldap://HOST (then StartTLS is used, always); several with spaces between."
    )
    ca_file: Path | None = Field(
        default=None, description="Certificates that the server's is verified against; left out, the system's."
    )
    bind: Bind | None = Field(default=None, description="As whom to ask; left out, as nobody.")
    page: int = Field(default=500, ge=1, le=10_000, description="Entries that are asked for at a time (RFC 2696).")
    timeout: int = Field(default=30, ge=1, description="Seconds that the server may take for one answer.")
    shrink: int = Field(
        default=20,
        ge=0,
        le=100,
        description="Per cent of all addresses that one run may remove. More is refused unless it is forced.",
    )
    people: list[PeopleSearch] = Field(min_length=1, description="Searches for people.")
    groups: list[GroupSearch] = Field(default=[], description="Searches for distribution groups.")

    @field_validator("uri")
    @classmethod
    def _one_way(cls, value: str) -> str:
        # StartTLS is asked for by the first: with ldaps:// before it, a server at ldap:// would get the password
        # in clear when the first is down.
        if len(set(re.findall(r"(\w+)://", value))) > 1:
            raise ValueError("ldap:// and ldaps:// are mixed; write the same for every server")
        return value

    @model_validator(mode="after")
    def _files_differ(self) -> LdapSource:
        files = [*(each.file for each in self.people), *(each.file for each in self.groups)]
        for file in files:
            if files.count(file) > 1:
                raise ValueError(f"two searches write the file {file!r}; give one another name")
        return self


def load_source(path: Path = DEFAULT_PATH) -> LdapSource:
    """The settings in ``path``; paths in it count from its folder. Raises ConfigError with every problem."""
    data, source = read(path)
    settings = check(LdapSource, data, source)
    folder = path.resolve().parent
    found: dict[str, Any] = {}
    if settings.ca_file is not None:
        found["ca_file"] = folder / settings.ca_file
    if settings.bind is not None:
        found["bind"] = settings.bind.model_copy(update={"password_file": folder / settings.bind.password_file})
    return settings.model_copy(update=found)

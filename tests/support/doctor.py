"""Owns the healthy gateway that the doctor's tests break: a Postfix as config/postfix has it, and settings."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Any

from gatepost_config.settings import Settings
from gatepost_milter.doctor.diagnosis import Diagnosis, Status
from gatepost_milter.doctor.postconf import Postfix, Service

SOCKET = "/var/spool/postfix/gatepost/milter.sock"
ENTRY = "{ unix:/gatepost/milter.sock, default_action=tempfail, content_timeout=300s }"
PARAMETERS = {
    "compatibility_level": "3.6",
    "queue_directory": "/var/spool/postfix",
    "mail_owner": "postfix",
    "inet_interfaces": "all",
    "smtpd_milters": ENTRY,
    "non_smtpd_milters": ENTRY,
    "milter_default_action": "tempfail",
    "milter_protocol": "6",
    "milter_content_timeout": "300s",
    "milter_mail_macros": "i {auth_type} {auth_authen} {auth_author} {mail_addr} {mail_host} {mail_mailer}",
    "milter_helo_macros": "{tls_version} {cipher} {cert_subject} {cert_issuer}",
    "milter_end_of_data_macros": "i",
    "message_size_limit": "41943040",
    "mailbox_size_limit": "0",
    "virtual_mailbox_limit": "51200000",
    "header_size_limit": "102400",
    "line_length_limit": "2048",
    "message_strip_characters": "\\0",
    "enable_long_queue_ids": "yes",
    "enable_original_recipient": "yes",
    "local_header_rewrite_clients": "permit_inet_interfaces",
    "smtpd_authorized_xforward_hosts": "",
}
RELEASE = {
    "receive_override_options": "no_header_body_checks,no_unknown_recipient_checks",
    "local_header_rewrite_clients": "",
    "content_filter": "",
    "smtpd_authorized_xforward_hosts": "127.0.0.0/8",
    "smtpd_tls_security_level": "none",
    "smtpd_milters": "",
}


def service(name: str, kind: str = "inet", command: str = "smtpd", **overrides: str) -> Service:
    """A line of master.cf, in a chroot as Debian has it."""
    return Service(name=name, kind=kind, chroot=True, command=command, overrides=overrides)


def release(port: int, **overrides: str) -> Service:
    """A release listener as config/postfix/master.cf has it, but for ``overrides``."""
    return service(f"127.0.0.1:{port}", **(RELEASE | overrides))


def services(**changed: Service) -> tuple[Service, ...]:
    """The services of a healthy gateway; give ``smtp=``, ``submission=``, ``cleanup=``, … to change one."""
    healthy = {
        "smtp": service("smtp"),
        "submission": service("submission"),
        "cleanup": service("cleanup", "unix", "cleanup"),
        "inbound": release(10025),
        "outbound": release(10026),
    }
    return tuple((healthy | changed).values())


def postfix(listed: tuple[Service, ...] | None = None, /, **parameters: str) -> Postfix:
    """A healthy Postfix, but for what is given."""
    return Postfix(
        directory=Path("/etc/postfix"),
        parameters=PARAMETERS | parameters,
        services=services() if listed is None else listed,
    )


def settings(**changed: Any) -> Settings:
    """The settings of a school, with the shipped defaults but for what is given."""
    data: dict[str, Any] = {"school": {"name": "A School", "domains": ["school.example"]}, "socket": SOCKET}
    return Settings.model_validate(data | changed)


def only(found: Iterable[Diagnosis]) -> Diagnosis:
    """The one diagnosis that was made."""
    (diagnosis,) = found
    return diagnosis


def assert_ok(found: Iterable[Diagnosis]) -> None:
    """A healthy gateway is told so, once."""
    diagnosis = only(found)
    assert diagnosis.status is Status.OK, diagnosis
    assert diagnosis.mend == ""


def assert_broken(found: Iterable[Diagnosis], status: Status, *, says: str, mend: str) -> None:
    """One diagnosis of that status, that says what is wrong and names the command that mends it."""
    diagnosis = only(found)
    assert diagnosis.status is status, diagnosis
    assert says in diagnosis.says
    assert mend in diagnosis.mend

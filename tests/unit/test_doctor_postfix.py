"""Each check of Postfix's configuration is shown to be quiet when all is well, and to fire when it is broken."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from pathlib import Path

import pytest
from support.doctor import (
    ENTRY,
    SOCKET,
    assert_broken,
    assert_ok,
    only,
    postfix,
    release,
    service,
    services,
    settings,
)

from gatepost_config.settings import Settings
from gatepost_milter.bypass import Bypass
from gatepost_milter.doctor import listeners, postfix_checks
from gatepost_milter.doctor.diagnosis import Diagnosis, Status
from gatepost_milter.doctor.postconf import Postfix

Check = Callable[[Postfix, Settings], Iterator[Diagnosis]]
SIGNER = "unix:opendkim/opendkim.sock"
FILTER = "inet:127.0.0.1:11332"
WARN, FAIL = Status.WARN, Status.FAIL
BYPASS = Bypass(
    directory=Path("/etc/postfix"),
    since=datetime(2026, 3, 1, 3, 0, tzinfo=UTC),
    until=datetime(2026, 3, 1, 4, 0, tzinfo=UTC),
    actor="night",
    socket=SOCKET,
    changes=(),
)


def attached(given: Postfix, chosen: Settings) -> Iterator[Diagnosis]:
    """The check without a bypass on record."""
    return postfix_checks.attached(given, chosen, None)


def one(check: Callable[[Postfix], Iterator[Diagnosis]]) -> Check:
    """A check that needs no settings, called as the others."""
    return lambda given, _: check(given)


CHECKS: dict[str, Check] = {
    "spelling": one(postfix_checks.spelling),
    "attached": attached,
    "double": postfix_checks.double,
    "order": postfix_checks.order,
    "default_action": postfix_checks.default_action,
    "protocol": postfix_checks.protocol,
    "non_smtpd": postfix_checks.non_smtpd,
    "message_size": postfix_checks.message_size,
    "mailbox_size": one(postfix_checks.mailbox_size),
    "original_recipient": one(postfix_checks.original_recipient),
    "bcc": one(postfix_checks.bcc),
    "queue_ids": one(postfix_checks.queue_ids),
    "oddities": one(postfix_checks.oddities),
    "release_inbound": listeners.release_inbound,
    "release_outbound": listeners.release_outbound,
}


@pytest.mark.parametrize("name", CHECKS)
def test_a_healthy_postfix_is_told_so(name: str) -> None:
    """The example configuration of config/postfix gives no warning: a doctor who cries wolf is not heard."""
    assert_ok(CHECKS[name](postfix(), settings()))


BROKEN = [
    (
        "attached",
        {"smtpd_milters": ""},
        FAIL,
        "no smtpd service asks gatepost",
        "postconf -e 'smtpd_milters={unix:",
    ),
    (
        "attached",
        {"smtpd_milters": SIGNER},
        FAIL,
        "passes unexamined",
        f"postconf -e 'smtpd_milters={SIGNER},{{unix:",
    ),
    (
        "default_action",
        {"smtpd_milters": ENTRY.replace("tempfail", "accept")},
        FAIL,
        "passes unexamined",
        "=tempfail",
    ),
    ("default_action", {"smtpd_milters": ENTRY.replace("tempfail", "reject")}, FAIL, "for good", "=tempfail"),
    (
        "default_action",
        {"smtpd_milters": ENTRY.replace("tempfail", "quarantine")},
        FAIL,
        "hold queue",
        "=tempfail",
    ),
    ("default_action", {"smtpd_milters": ENTRY.replace("tempfail", "shutdown")}, WARN, "hangs up", "=tempfail"),
    ("default_action", {"smtpd_milters": ENTRY.replace("tempfail", "maybe")}, FAIL, "not known", "=tempfail"),
    (
        "default_action",
        {"smtpd_milters": "unix:/gatepost/milter.sock", "milter_default_action": "accept"},
        FAIL,
        "passes unexamined",
        "postconf -e milter_default_action=tempfail && postfix reload",
    ),
    ("protocol", {"milter_protocol": "2"}, FAIL, "white space", "postconf -e milter_protocol=6"),
    ("protocol", {"milter_mail_macros": "i"}, FAIL, "{auth_authen}", "'milter_mail_macros=i {auth_authen}'"),
    ("protocol", {"milter_end_of_data_macros": ""}, WARN, "queue id", "milter_end_of_data_macros=i"),
    (
        "non_smtpd",
        {"non_smtpd_milters": ""},
        WARN,
        "programs on this machine",
        "postconf -e 'non_smtpd_milters={unix:",
    ),
    ("non_smtpd", {"internal_mail_filter_classes": "bounce"}, WARN, "bounces", "internal_mail_filter_classes="),
    (
        "message_size",
        {"message_size_limit": "10240000"},
        FAIL,
        "10 MiB",
        "postconf -e message_size_limit=41943040",
    ),
    ("message_size", {"message_size_limit": "14499999"}, FAIL, "10 MiB", "message_size_limit=41943040"),
    ("message_size", {"message_size_limit": "14500000"}, WARN, "not the policy's", "message_size_limit=41943040"),
    ("message_size", {"message_size_limit": "24999999"}, WARN, "25,000,000", "message_size_limit=41943040"),
    ("message_size", {"message_size_limit": "67108865"}, WARN, "spool.limit", "message_size_limit=41943040"),
    ("message_size", {"message_size_limit": "0"}, WARN, "unlimited", "message_size_limit=41943040"),
    ("mailbox_size", {"mailbox_size_limit": "41943039"}, FAIL, "local(8)", "postconf -e mailbox_size_limit=0"),
    ("mailbox_size", {"virtual_mailbox_limit": "10"}, FAIL, "virtual(8)", "postconf -e virtual_mailbox_limit=0"),
    ("mailbox_size", {"message_size_limit": "0"}, FAIL, "unlimited", "postconf -e virtual_mailbox_limit=0"),
    ("original_recipient", {"enable_original_recipient": "no"}, FAIL, "alias", "enable_original_recipient=yes"),
    ("bcc", {"always_bcc": "archive@school.example"}, WARN, "holds", "postconf -e always_bcc="),
    ("bcc", {"sender_bcc_maps": "hash:/etc/postfix/bcc"}, WARN, "sender_bcc_maps", "postconf -e sender_bcc_maps="),
    ("bcc", {"recipient_bcc_maps": "hash:/x"}, WARN, "recipient_bcc_maps", "postconf -e recipient_bcc_maps="),
    ("queue_ids", {"enable_long_queue_ids": "no"}, WARN, "used again", "postconf -e enable_long_queue_ids=yes"),
    ("oddities", {"header_size_limit": "4096"}, WARN, "header_size_limit", "postconf -e header_size_limit=102400"),
    ("oddities", {"line_length_limit": "998"}, WARN, "line_length_limit", "postconf -e line_length_limit=2048"),
    ("oddities", {"message_strip_characters": ""}, WARN, "not for its reader", "'message_strip_characters=\\0'"),
    ("oddities", {"message_strip_characters": "\\r"}, WARN, "signatures break", "'message_strip_characters=\\0'"),
    (
        "order",
        {"smtpd_milters": f"{ENTRY}, {FILTER}"},
        WARN,
        "only a signer may follow",
        f"smtpd_milters={FILTER},{{unix:/gatepost/milter.sock",
    ),
    (
        "protocol",
        {"smtpd_milters": "unix:/gatepost/milter.sock", "milter_content_timeout": "1m"},
        WARN,
        "waits 60 s",
        "postconf -e milter_content_timeout=300s",
    ),
    (
        "protocol",
        {"smtpd_milters": ENTRY.replace("300s", "20s")},
        WARN,
        "waits 20 s",
        "content_timeout=300s}' && postfix reload",
    ),
]


@pytest.mark.parametrize(("name", "parameters", "status", "says", "mend"), BROKEN)
def test_a_broken_parameter_is_found_and_its_remedy_named(
    name: str, parameters: dict[str, str], status: Status, says: str, mend: str
) -> None:
    """One parameter of main.cf is broken; the check says so and names the command that mends it."""
    found = list(CHECKS[name](postfix(services(submission=service("s", "unix")), **parameters), settings()))
    assert found
    for diagnosis in found:
        assert diagnosis.status is status, diagnosis
        assert says in diagnosis.says
        assert mend in diagnosis.mend


def test_a_misspelt_parameter_is_told_in_postfixs_own_words() -> None:
    """Postfix ignores it in silence; only postconf tells."""
    given = postfix()
    given = Postfix(
        directory=given.directory,
        parameters=given.parameters,
        services=given.services,
        complaints=("/etc/postfix/main.cf: unused parameter: smtpd_miltres=x",),
    )
    assert_broken(postfix_checks.spelling(given), WARN, says="smtpd_miltres", mend="postfix reload")


def test_a_service_that_leaves_gatepost_out_is_named() -> None:
    """A forgotten override in master.cf is a hole as large as the port it listens on."""
    given = postfix(services(submission=service("submission", smtpd_milters=SIGNER)))
    assert_broken(
        attached(given, settings()),
        WARN,
        says="submission/inet",
        mend=f"postconf -P 'submission/inet/smtpd_milters={SIGNER},{{unix:",
    )


def test_a_socket_written_for_no_chroot_is_misplaced_in_one() -> None:
    """smtpd in its chroot would look for /var/spool/postfix/var/spool/postfix/…; the remedy suits both."""
    given = postfix(services(submission=service("s", "unix")), smtpd_milters=f"unix:{SOCKET}")
    assert_broken(
        attached(given, settings()),
        FAIL,
        says="inside its chroot /var/spool/postfix",
        mend="postconf -e smtpd_milters=unix:gatepost/milter.sock && postfix reload",
    )


@pytest.mark.parametrize(
    ("override", "status", "says"),
    [
        ({"receive_override_options": "no_address_mappings, no_milters"}, FAIL, "gatepost is never asked"),
        ({"smtpd_proxy_filter": "127.0.0.1:10024"}, FAIL, "not shown the content"),
        ({"smtpd_milter_maps": "cidr:/etc/postfix/nofilter"}, WARN, "let past gatepost"),
    ],
)
def test_an_option_that_disarms_gatepost_is_found(override: dict[str, str], status: Status, says: str) -> None:
    """The entry is there and looks right, and yet mail passes unexamined."""
    given = postfix(services(smtp=service("smtp", **override)))
    assert_broken(
        attached(given, settings()), status, says=says, mend=f"postconf -P smtp/inet/{next(iter(override))}="
    )


def test_the_remedy_for_no_milters_keeps_the_other_options() -> None:
    """A remedy must not break something else."""
    given = postfix(services(smtp=service("smtp", receive_override_options="no_address_mappings, no_milters")))
    assert only(attached(given, settings())).mend.startswith(
        "postconf -P smtp/inet/receive_override_options=no_address_mappings &&"
    )


def test_postscreen_in_front_hands_to_smtpd_pass() -> None:
    """With postscreen the service that takes mail is called smtpd/pass."""
    listed = services(smtp=service("smtp", command="postscreen"), smtpd=service("smtpd", "pass", smtpd_milters=""))
    assert "smtpd/pass" in only(attached(postfix(listed), settings())).says


def test_a_postfix_without_smtpd_is_strange() -> None:
    """Nothing to ask gatepost about; most likely the wrong folder was named."""
    assert only(attached(postfix(()), settings())).status is WARN


def test_a_bypass_is_named_as_the_reason() -> None:
    """Whoever runs the doctor in the morning should read that it was the night's bypass."""
    given = postfix(smtpd_milters="")
    assert_broken(
        postfix_checks.attached(given, settings(), BYPASS),
        FAIL,
        says="bypassed since 2026-03-01 03:00 UTC",
        mend="gatepost postfix resume",
    )


def test_a_record_without_a_bypass_is_told() -> None:
    """Somebody put gatepost back by hand: the alert still rings."""
    found = postfix_checks.attached(postfix(), settings(), BYPASS)
    assert_broken(found, WARN, says="the alert is wrong", mend="gatepost postfix resume")


def test_the_way_back_of_a_content_filter_must_not_ask_again() -> None:
    """The classic: smtpd_milters in main.cf also holds for the re-injection port of amavis."""
    back = service("127.0.0.1:10099", content_filter="")
    given = postfix(services(back=back), content_filter="smtp-amavis:[127.0.0.1]:10024")
    assert_broken(
        postfix_checks.double(given, settings()),
        FAIL,
        says="127.0.0.1:10099/inet",
        mend="postconf -P 127.0.0.1:10099/inet/smtpd_milters= && postfix reload",
    )


def test_a_way_back_that_asks_nobody_is_right() -> None:
    """And the ways in are then all attached: the way back is not one of them."""
    back = service("127.0.0.1:10099", content_filter="", smtpd_milters="")
    given = postfix(services(back=back), content_filter="smtp-amavis:[127.0.0.1]:10024")
    assert_ok(postfix_checks.double(given, settings()))
    assert_ok(attached(given, settings()))


def test_gatepost_behind_another_filter_sees_no_login() -> None:
    """It works, but identity (DESIGN section 2) is lost."""
    back = service("127.0.0.1:10099", content_filter="", smtpd_milters=ENTRY)
    given = postfix(services(back=back), content_filter="amavis:[127.0.0.1]:10024", smtpd_milters="")
    assert_broken(
        attached(given, settings()), WARN, says="behind another filter", mend="postconf -e 'smtpd_milters={"
    )


def test_a_service_that_names_gatepost_twice_is_found() -> None:
    """Every message would be judged twice, and held twice."""
    given = postfix(services(smtp=service("smtp", smtpd_milters=f"{ENTRY}, {SIGNER}, {ENTRY}")))
    found = only(postfix_checks.double(given, settings()))
    assert found.status is FAIL
    assert found.mend.count("gatepost/milter.sock") == 1
    assert SIGNER in found.mend


def test_a_pipe_that_may_hand_back_by_sendmail_is_a_warning() -> None:
    """sendmail asks non_smtpd_milters."""
    listed = services(pipe=service("spam", "unix", "pipe"))
    given = postfix(listed, content_filter="spam:dummy")
    assert_broken(
        postfix_checks.double(given, settings()), WARN, says="pipe", mend="postconf -e non_smtpd_milters="
    )


def test_a_signer_may_follow_gatepost() -> None:
    """Outbound mail is signed last."""
    assert_ok(postfix_checks.order(postfix(smtpd_milters=f"{FILTER}, {ENTRY}, {SIGNER}"), settings()))


def test_a_relay_known_by_certificate_needs_its_macro() -> None:
    """Without {cert_subject} the relay is never trusted, and its mail counts as inbound."""
    chosen = settings(trusted_relays=[{"tls_name": "relay.school.example"}])
    given = postfix(milter_helo_macros="{tls_version}")
    assert_ok(postfix_checks.protocol(given, settings()))
    assert_broken(postfix_checks.protocol(given, chosen), FAIL, says="{cert_subject}", mend="milter_helo_macros=")


def test_an_override_of_one_service_is_mended_there() -> None:
    """``postconf -e`` would change nothing for a service that overrides the parameter."""
    broken = service("cleanup", "unix", "cleanup", always_bcc="x@y.example", enable_original_recipient="no")
    given = postfix(services(cleanup=broken))
    assert_broken(postfix_checks.bcc(given), WARN, says="always_bcc", mend="postconf -P cleanup/unix/always_bcc=")
    assert_broken(
        postfix_checks.original_recipient(given),
        FAIL,
        says="cleanup/unix",
        mend="postconf -P cleanup/unix/enable_original_recipient=yes",
    )


def test_another_folder_is_named_in_the_remedy() -> None:
    """On a machine with several instances a bare ``postconf -e`` would change the wrong one."""
    given = Postfix(directory=Path("/etc/postfix-out"), parameters=postfix().parameters, services=())
    assert given.set("a=b c") == "postconf -c /etc/postfix-out -e 'a=b c' && postfix -c /etc/postfix-out reload"


RELEASE_BROKEN = [
    (
        {"receive_override_options": "no_header_body_checks"},
        "no_unknown_recipient_checks",
        "receive_override_options=no_",
    ),
    (
        {"receive_override_options": ""},
        "no_header_body_checks",
        "no_header_body_checks,no_unknown_recipient_checks",
    ),
    (
        {"local_header_rewrite_clients": "permit_inet_interfaces"},
        "signatures break",
        "local_header_rewrite_clients=",
    ),
    ({"content_filter": "amavis:[127.0.0.1]:10024"}, "filter again", "content_filter="),
    ({"smtpd_proxy_filter": "127.0.0.1:10024"}, "proxy again", "smtpd_proxy_filter="),
    ({"smtpd_milter_maps": "cidr:/x"}, "hold released mail again", "smtpd_milter_maps="),
    ({"smtpd_authorized_xforward_hosts": ""}, "XFORWARD", "smtpd_authorized_xforward_hosts=127.0.0.0/8"),
    ({"smtpd_authorized_xforward_hosts": "192.0.2.0/24, !127.0.0.1"}, "XFORWARD", "=127.0.0.0/8"),
    ({"smtpd_tls_security_level": "encrypt"}, "demands TLS", "smtpd_tls_security_level=none"),
    ({"smtpd_milters": ENTRY}, "held again", "smtpd_milters= "),
]


@pytest.mark.parametrize("role", ["inbound", "outbound"])
@pytest.mark.parametrize(("override", "says", "mend"), RELEASE_BROKEN)
def test_a_broken_release_listener_is_found(role: str, override: dict[str, str], says: str, mend: str) -> None:
    """Each option of DESIGN section 7 that is wrong, on either listener."""
    port = 10025 if role == "inbound" else 10026
    given = postfix(services(**{role: release(port, **override)}))
    check = listeners.release_inbound if role == "inbound" else listeners.release_outbound
    assert_broken(check(given, settings()), FAIL, says=says, mend=mend)
    assert f"postconf -P 127.0.0.1:{port}/inet/" in only(check(given, settings())).mend.replace("'", "")


def test_address_mappings_must_stay_on() -> None:
    """The stored addresses are from before alias expansion (tried): released mail would go nowhere."""
    options = "no_header_body_checks,no_unknown_recipient_checks,no_address_mappings"
    given = postfix(services(inbound=release(10025, receive_override_options=options)))
    assert_broken(
        listeners.release_inbound(given, settings()),
        FAIL,
        says="aliases stay unexpanded",
        mend="receive_override_options=no_header_body_checks,no_unknown_recipient_checks &&",
    )


def test_a_missing_listener_is_found() -> None:
    """Held mail could not be released at all."""
    given = postfix((service("smtp"),))
    for check in (listeners.release_inbound, listeners.release_outbound):
        assert_broken(check(given, settings()), FAIL, says="nothing listens", mend="config/postfix/master.cf")


def test_a_port_served_by_something_else_is_found() -> None:
    """Ports 10025 and 10026 are popular."""
    given = postfix(services(inbound=service("127.0.0.1:10025", command="smtp-sink")))
    assert_broken(listeners.release_inbound(given, settings()), FAIL, says="smtp-sink", mend="courier.inbound")


def test_a_listener_open_to_the_world_is_found() -> None:
    """It takes mail that nobody examines."""
    given = postfix(services(inbound=service("10025", **release(1).overrides)))
    assert_broken(
        listeners.release_inbound(given, settings()),
        FAIL,
        says="can be reached from outside",
        mend="127.0.0.1:10025 in place of 10025",
    )
    closed = postfix(services(inbound=service("10025", **release(1).overrides)), inet_interfaces="loopback-only")
    assert_ok(listeners.release_inbound(closed, settings()))


def test_inbound_takes_no_filter_and_outbound_only_the_signer() -> None:
    """A filter other than gatepost would judge released mail too."""
    signed = postfix(
        services(inbound=release(10025, smtpd_milters=SIGNER), outbound=release(10026, smtpd_milters=SIGNER))
    )
    assert_broken(
        listeners.release_inbound(signed, settings()),
        FAIL,
        says=SIGNER,
        mend="127.0.0.1:10025/inet/smtpd_milters=",
    )
    assert_ok(listeners.release_outbound(signed, settings()))
    two = postfix(services(outbound=release(10026, smtpd_milters=f"{SIGNER} {FILTER}")))
    assert_broken(listeners.release_outbound(two, settings()), WARN, says="2 filters", mend="smtpd_milters")


def test_taking_gatepost_out_of_the_outbound_listener_leaves_the_signer() -> None:
    """Or released mail would go out unsigned."""
    given = postfix(services(outbound=release(10026, smtpd_milters=f"{ENTRY} {SIGNER}")))
    assert f"smtpd_milters={SIGNER} &&" in only(listeners.release_outbound(given, settings())).mend


def test_a_courier_that_sends_elsewhere_is_not_judged_here() -> None:
    """The listener is another machine's."""
    chosen = settings(courier={"inbound": "mail.school.example:10025"})
    assert only(listeners.release_inbound(postfix(), chosen)).status is Status.SKIPPED


def test_any_local_user_can_reach_the_listeners_unless_a_firewall_says_who() -> None:
    """DESIGN section 7: say so."""
    assert_broken(
        listeners.release_reach(postfix(), settings(), ""), WARN, says="10025, 10026", mend="meta skuid != '{ root"
    )
    one_port = "tcp dport 10025 meta skuid != { 0, 999 } reject"
    assert only(listeners.release_reach(postfix(), settings(), one_port)).status is WARN
    rule = "oifname lo tcp dport { 10025, 10026 } meta skuid != { 0, 999 } reject"
    assert_ok(listeners.release_reach(postfix(), settings(), rule))
    assert only(listeners.release_reach(postfix(()), settings(), "")).status is Status.SKIPPED


@pytest.mark.parametrize(
    ("value", "expected"), [("300s", 300), ("5m", 300), ("1h", 3600), ("90", 90), ("", None), ("soon", None)]
)
def test_postfix_times_are_read(value: str, expected: int | None) -> None:
    """Postfix knows s, m, h, d and w."""
    assert postfix_checks.seconds(value) == expected


def test_releases_by_the_front_door_need_no_listener_but_an_untouched_header() -> None:
    """The port judges all other mail, so it must ask gatepost; and it must not complete what comes back."""
    door = {"way": "front-door", "inbound": "127.0.0.1:25", "outbound": "127.0.0.1:25"}
    given, chosen = postfix(services(smtp=service("25"))), settings(courier=door)
    assert_broken(
        listeners.release_inbound(given, chosen),
        WARN,
        says="local_header_rewrite_clients=permit_inet_interfaces",
        mend="local_header_rewrite_clients=",
    )
    untouched = postfix(services(smtp=service("25", local_header_rewrite_clients="")))
    assert_ok(listeners.release_outbound(untouched, chosen))
    assert only(listeners.release_reach(given, chosen, "")).status is Status.SKIPPED
    assert not listeners.is_release(chosen, service("25"))
    assert listeners.is_release(settings(), release(10025))

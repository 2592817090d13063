"""config/topologies: every example loads, its two files agree with each other, and the page names them all."""

from __future__ import annotations

import re
from ipaddress import ip_network
from pathlib import Path

import pytest
from support.postfix import parameters_in

from gatepost_config.documents import load_settings
from gatepost_config.settings import Settings
from gatepost_milter.policy.policy import load

TOPOLOGIES = Path(__file__).resolve().parents[2] / "config" / "topologies"
NAMES = sorted(path.name for path in TOPOLOGIES.iterdir() if path.is_dir())
CLOUDS = ["both", "google-workspace", "microsoft-365"]


def settings_of(name: str) -> Settings:
    """The example's settings."""
    return load_settings(TOPOLOGIES / name / "gatepost.yaml")


@pytest.mark.parametrize("name", NAMES)
def test_the_settings_load_with_their_policy(name: str) -> None:
    """As the daemon would load them."""
    assert load(settings_of(name)).problems == ()


def test_the_page_names_every_folder_and_back() -> None:
    """An example that nobody finds helps nobody."""
    page = (TOPOLOGIES / "README.md").read_text(encoding="utf-8")
    assert sorted(re.findall(r"^\| `([\w-]+)` \|", page, re.MULTILINE)) == NAMES
    assert [name for name in NAMES if settings_of(name).trusted_relays] == CLOUDS


@pytest.mark.parametrize("name", CLOUDS)
def test_postfix_relays_for_just_the_networks_that_gatepost_trusts(name: str) -> None:
    """Two lists of one thing: a network in one and not in the other is an open door or a lost mail."""
    parameters = parameters_in(TOPOLOGIES / name / "main.cf")
    relayed = re.findall(r"\{ (\S+) from_our_cloud \}", parameters["smtpd_relay_restrictions"])
    (relay,) = settings_of(name).trusted_relays
    assert [ip_network(each) for each in relayed] == relay.networks
    school = settings_of(name).school.domains[0]
    assert f"{{ {school} = permit }}" in parameters["from_our_cloud"]


@pytest.mark.parametrize("name", CLOUDS)
def test_the_tenant_header_is_a_secret_that_stays_inside(name: str) -> None:
    """Every example has one, and takes it out of mail on its way out."""
    (relay,) = settings_of(name).trusted_relays
    assert relay.tenant_header is not None
    checks = parameters_in(TOPOLOGIES / name / "main.cf")["smtp_header_checks"]
    (pattern,) = re.findall(r"/(.*?)/ IGNORE", checks)
    assert re.match(pattern, f"{relay.tenant_header.name}: {relay.tenant_header.value}")
    assert ("smtpd_tls_ask_ccert" in parameters_in(TOPOLOGIES / name / "main.cf")) is bool(relay.tls_name)

"""Certificates that the TLS kinds share."""

import ssl
from pathlib import Path
from typing import NamedTuple

import pytest
from trustme import CA, KeyType

from vcproxy.drivers.tls_context import client_context, server_context


class Contexts(NamedTuple):
    """Both sides of TLS."""

    server: ssl.SSLContext
    client: ssl.SSLContext


@pytest.fixture(scope="session")
def contexts(tmp_path_factory: pytest.TempPathFactory) -> Contexts:
    folder: Path = tmp_path_factory.mktemp("tls")
    ca = CA(key_type=KeyType.RSA)  # RSA: signatures of one length, so that simulations repeat
    leaf = ca.issue_cert("127.0.0.1", "listener", key_type=KeyType.RSA)
    ca.cert_pem.write_to_path(str(folder / "ca.pem"))
    leaf.cert_chain_pems[0].write_to_path(str(folder / "leaf.pem"))
    leaf.private_key_pem.write_to_path(str(folder / "leaf.key"))
    return Contexts(
        server_context(folder / "leaf.pem", folder / "leaf.key"),
        client_context(ca=folder / "ca.pem"),
    )

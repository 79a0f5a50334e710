"""CRC-32C."""

from vcproxy.proxy_protocol.crc32c import crc32c


def test_the_examples_of_rfc_3720_b_4() -> None:
    assert crc32c(bytes(32)) == 0x8A9136AA
    assert crc32c(b"\xff" * 32) == 0x62A8AB43
    assert crc32c(bytes(range(32))) == 0x46DD794E
    assert crc32c(b"123456789") == 0xE3069283

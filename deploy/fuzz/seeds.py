"""Real inputs for the fuzzer to begin with: seeds.py TARGET VECTORS CORPUS. What is not there is left out."""

import base64
import re
import struct
import sys
from pathlib import Path

BETWEEN = b"\xffHOLM\xff"
# Bytes before the IP header, by the link type of a capture.
LINKS = {0: 4, 1: 14, 12: 0, 101: 0, 113: 16}


def packets(capture: bytes):
    """The IP packets of a pcap file, of either byte order."""
    order = "<" if capture[:4] in (b"\xd4\xc3\xb2\xa1", b"\x4d\x3c\xb2\xa1") else ">"
    header = LINKS.get(struct.unpack(order + "I", capture[20:24])[0] & 0xFFFF)
    at = 24
    while header is not None and at + 16 <= len(capture):
        (length,) = struct.unpack(order + "I", capture[at + 8 : at + 12])
        packet = capture[at + 16 + header : at + 16 + length]
        # Over IPv6 a raw socket delivers what follows the header.
        yield packet[40:] if packet[:1] and packet[0] >> 4 == 6 else packet
        at += 16 + length


def certificates(text: str):
    """The certificates of a PEM file."""
    for body in re.findall(r"-----BEGIN CERTIFICATE-----([^-]*)-----END", text):
        try:
            yield base64.b64decode("".join(body.split()))
        except ValueError:
            continue


def messages():
    """An answer of a name server, one of a telephone, and one of a reflector."""
    name = b"\x04shop\x07example\0"
    question = name + struct.pack(">HH", 1, 1)
    alias = b"\xc0\x0c" + struct.pack(">HHIH", 5, 1, 60, 6) + b"\x03www\xc0\x11"
    address = b"\xc0\x2a" + struct.pack(">HHIH", 1, 1, 60, 4) + bytes([192, 0, 2, 7])
    yield struct.pack(">6H", 7, 0x8580, 1, 2, 0, 0) + question + alias + address
    yield b"SIP/2.0 200 OK\r\nVia: SIP/2.0/UDP a;branch=z9hG4bK1\r\nCall-ID: 1\r\nCSeq: 1 OPTIONS\r\nAllow: INVITE"
    yield bytes(range(44))


def seeds(target: str, vectors: Path):
    if target == "packets":
        for file in sorted(vectors.glob("wire/tcpdump/icmp*.pcap")):
            yield BETWEEN.join(packets(file.read_bytes()))
    elif target == "certificates":
        for file in sorted(vectors.glob("**/*.pem")):
            chain = list(certificates(file.read_text(errors="replace")))
            if chain:
                yield BETWEEN.join([b"", *chain])
    elif target == "messages":
        yield from messages()
    else:
        for file in sorted(vectors.glob("flow/**/*.bin")):
            yield file.read_bytes()


def main():
    target, vectors, corpus = sys.argv[1], Path(sys.argv[2]), Path(sys.argv[3])
    for number, seed in enumerate(seeds(target, vectors)):
        (corpus / f"seed-{number}").write_bytes(seed)


main()

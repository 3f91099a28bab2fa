"""The TLS port as `openssl s_client` sees it: s_client.py HOST:PORT PHI_FILE.

Each scene prints one line: `ok` or `WRONG`, the outcome that USleep has to log for it (`-`: no session came about), and
what it was.
"""

import base64
import hashlib
import json
import re
import subprocess
import sys
import threading

ADDRESS, PHI_FILE = sys.argv[1:]
PHI = open(PHI_FILE, "rb").read()
PATIENCE = 20

UPGRADE = (
    b"GET /connection HTTP/1.1\r\nHost: usleep\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n"
    b"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n"
)
# What RFC 6455 section 1.3 gives for that key.
ACCEPT = b"s3pPLMBiTxaQ9kYGzzhZRbK+xOo="


def check(held, what):
    if not held:
        raise AssertionError(what)


class Client:
    """A running `openssl s_client`, which takes its input as bytes and not as commands."""

    def __init__(self, *flags):
        command = ["openssl", "s_client", "-connect", ADDRESS, "-ign_eof", *flags]
        self.process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
        self.output = b""
        # It waits for the server for ever; we do not.
        self.timer = threading.Timer(PATIENCE, self.process.kill)
        self.timer.start()

    def send(self, data):
        self.process.stdin.write(data)
        self.process.stdin.flush()

    def until(self, pattern):
        """The first match in what it prints."""
        while not (found := re.search(pattern, self.output, re.DOTALL)):
            more = self.process.stdout.read1(65536)
            check(more, f"it ended without {pattern!r}: {self.output[-300:]!r}")
            self.output += more
        return found

    def ended(self):
        self.output += self.process.stdout.read()
        code = self.process.wait()
        self.timer.cancel()
        return code


def refused(flags, alert):
    def scene():
        client = Client(*flags)
        code = client.ended()
        check(alert in client.output, f"no {alert!r}: {client.output[-300:]!r}")
        check(code != 0 and b"no peer certificate available" in client.output, f"a session came about, exit status {code}")

    return scene


def agreed(flags, line):
    def scene():
        client = Client(*flags)
        client.until(line)
        client.process.kill()
        client.ended()

    return scene


def frame(opcode, payload):
    """One frame of a client, masked with zeros (RFC 6455 section 5.2); at most 125 bytes."""
    check(len(payload) <= 125, "too long for this client")
    return bytes([0x80 | opcode, 0x80 | len(payload)]) + bytes(4) + payload


def the_nonce_is_what_openssl_exports():
    client = Client("-keymatexport", "testing_nonce", "-keymatexportlen", "32")
    exported = client.until(rb"Keying material: ([0-9A-F]{64})\n").group(1)
    client.send(UPGRADE)
    client.until(rb"HTTP/1\.1 101 .*(?i:sec-websocket-accept): " + re.escape(ACCEPT))
    # An unmasked text frame of two bytes of length: header, claims, signature.
    claims = client.until(rb"\x81\x7e..eyJ[\w-]+\.([\w-]+)\.[\w-]{300,}").group(1)
    nonce = json.loads(base64.urlsafe_b64decode(claims + b"=="))["eat_nonce"]
    wanted = base64.b64encode(hashlib.sha256(bytes.fromhex(exported.decode())).digest()).decode()
    check(nonce == wanted, f"nonce {nonce}, this session's is {wanted}")
    client.send(frame(2, PHI))
    result = client.until(rb'\{"rules":[^\x88]*\}').group(0)
    check(b"total sleep time is less than 8 hours" in result, "another result")
    try:
        client.send(frame(8, (1000).to_bytes(2, "big")))
    except BrokenPipeError:
        # USleep closes and ends TLS along with its result, and s_client leaves at the end of TLS.
        pass
    check(client.ended() == 0, "it did not end well")
    check(b"\x88\x02\x03\xe8" in client.output, "USleep did not close with 1000")
    check(b"New Session Ticket" not in client.output, "a session ticket was given")
    check(b"Early data was not sent" in client.output, "early data")


SCENES = [
    ("TLS 1.2 is refused", "-", refused(["-tls1_2"], b"alert protocol version")),
    ("everything but TLS 1.3 is refused", "-", refused(["-no_tls1_3"], b"alert protocol version")),
    (
        "TLS 1.1 is refused",
        "-",
        # OpenSSL offers it at this level alone, and rustls refuses it before it looks at the version.
        refused(["-tls1_1", "-cipher", "DEFAULT:@SECLEVEL=0"], b"alert handshake failure"),
    ),
    ("HTTP/2 is refused", "-", refused(["-alpn", "h2"], b"alert no application protocol")),
    ("HTTP/1.1 is agreed on", "-", agreed(["-alpn", "h2,http/1.1"], rb"ALPN protocol: http/1.1")),
    ("TLS 1.3 is agreed on", "-", agreed([], rb"New, TLSv1.3, Cipher is TLS_")),
    ("P-256 is enough of a key exchange", "-", agreed(["-groups", "P-256"], rb"Server Temp Key: ECDH, prime256v1")),
    ("the token's nonce is what openssl exports, then a whole session", "answered", the_nonce_is_what_openssl_exports),
]

for name, outcome, scene in SCENES:
    try:
        scene()
        print("ok", outcome, name, sep="\t", flush=True)
    except Exception as error:  # whatever it is, this scene is wrong and the next one is played
        print("WRONG", outcome, f"{name}: {type(error).__name__}: {error}", sep="\t", flush=True)

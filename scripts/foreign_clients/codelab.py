"""A client as a program written for the codelab would be, over Python's websockets: codelab.py HOST:PORT PHI_FILE.

Plays its scenes one after the other. Each prints one line: `ok` or `WRONG`, the outcome that USleep has to log for it,
and what it was. Python's ssl gives no exported keying material, so what binds the token to the session is for the other
clients to check.
"""

import asyncio
import base64
import json
import socket
import ssl
import sys

from websockets.asyncio.client import connect
from websockets.client import ClientProtocol
from websockets.exceptions import ConnectionClosed
from websockets.frames import Frame, Opcode
from websockets.protocol import State
from websockets.uri import parse_uri

ADDRESS, PHI_FILE = sys.argv[1:]
URI = f"wss://{ADDRESS}/connection"
PHI = open(PHI_FILE, "rb").read()
PATIENCE = 20
LARGEST_PHI = 1 << 20

# Its certificate proves nothing: the token does.
TLS = ssl.create_default_context()
TLS.check_hostname = False
TLS.verify_mode = ssl.CERT_NONE
TLS.minimum_version = ssl.TLSVersion.TLSv1_3


def check(held, what):
    if not held:
        raise AssertionError(what)


def check_token(token):
    check(isinstance(token, str), "the token is no text message")
    claims = json.loads(base64.urlsafe_b64decode(token.split(".")[1] + "=="))
    check(claims["aud"] == "uwear", f"audience {claims['aud']!r}")
    check(len(base64.b64decode(claims["eat_nonce"], validate=True)) == 32, "the nonce is no SHA-256")


def check_result(result):
    check(isinstance(result, str), "the result is no text message")
    check(json.loads(result)["codelab"] == "total sleep time is less than 8 hours", "another result")


async def answered(ws, code=1000):
    """The result comes, then the server's close."""
    check_result(await ws.recv())
    await closed(ws, code)


async def closed(ws, code, reason=""):
    try:
        check(False, f"wanted a close, got {await ws.recv()!r:.40}")
    except ConnectionClosed:
        check(ws.close_code == code, f"close code {ws.close_code}, wanted {code}")
        check(ws.close_reason == reason, f"close reason {ws.close_reason!r}, wanted {reason!r}")


async def with_token():
    ws = await connect(URI, ssl=TLS, ping_interval=None)
    check_token(await ws.recv())
    return ws


# --- Scenes over the library ------------------------------------------------------------------------------------


async def the_codelabs_exchange():
    ws = await with_token()
    check(ws.subprotocol is None, "a subprotocol that was not offered")
    check(not ws.protocol.extensions, "an extension was agreed on")
    await ws.send(PHI)
    await answered(ws)


async def leaves_once_it_has_sent():
    ws = await with_token()
    await ws.send(PHI)
    await ws.close()


async def message_in_fragments():
    ws = await with_token()
    await ws.send([PHI[:1], b"", PHI[1:50], PHI[50:]])
    await answered(ws)


async def fragment_for_each_byte():
    ws = await with_token()
    await ws.send([PHI[at : at + 1] for at in range(len(PHI))])
    await answered(ws)


async def pings_before_within_and_after():
    ws = await connect(URI, ssl=TLS, ping_interval=None)
    await (await ws.ping(b"before the token"))
    check_token(await ws.recv())

    async def fragments():
        yield PHI[:40]
        # RFC 6455 section 5.4: control frames may come between the fragments of a message.
        await (await ws.ping(b"within the message"))
        await ws.pong(b"nobody asked")
        yield PHI[40:]

    await (await ws.ping(b"x" * 125))
    await ws.send(fragments())
    await answered(ws)


async def largest_message_there_may_be():
    ws = await with_token()
    await ws.send(PHI.rstrip() + b" " * (LARGEST_PHI - len(PHI.rstrip())))
    await answered(ws)


async def one_byte_too_many():
    ws = await with_token()
    try:
        await ws.send(PHI.rstrip() + b" " * (LARGEST_PHI + 1 - len(PHI.rstrip())))
    except ConnectionClosed:
        pass
    await closed(ws, 1009, "too-big")


async def text_instead_of_binary():
    ws = await with_token()
    await ws.send(PHI.decode())
    await closed(ws, 1003, "type")


async def health_data_that_is_none():
    ws = await with_token()
    await ws.send(b"not JSON")
    await closed(ws, 1008, "phi-invalid")


def closes(code, reason=""):
    async def scene():
        ws = await with_token()
        await ws.close(code, reason)
        check(ws.close_code == code, f"close code {ws.close_code}, wanted {code}")

    return scene


async def closes_while_its_token_is_made():
    ws = await connect(URI, ssl=TLS, ping_interval=None)
    await ws.close(1000)
    check(ws.close_code == 1000, f"close code {ws.close_code}")


async def vanishes_while_its_token_is_made():
    ws = await connect(URI, ssl=TLS, ping_interval=None)
    ws.transport.abort()


async def vanishes_with_its_token():
    ws = await with_token()
    ws.transport.abort()


async def vanishes_within_the_message():
    ws = await with_token()

    async def fragments():
        yield PHI[:40]
        ws.transport.abort()

    try:
        await ws.send(fragments())
    except ConnectionClosed:
        pass


# --- Scenes below it: the bytes are the library's, when and how they leave is ours --------------------------------


class Wire:
    """A websocket over TLS whose ends can be closed one by one."""

    def __init__(self):
        host, port = ADDRESS.rsplit(":", 1)
        self.tcp = socket.create_connection((host, int(port)), timeout=PATIENCE)
        self.tcp.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.incoming, self.outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
        self.tls = TLS.wrap_bio(self.incoming, self.outgoing, server_hostname=host)
        self.until(self.tls.do_handshake)
        self.websocket = ClientProtocol(parse_uri(URI))
        self.websocket.send_request(self.websocket.connect())
        self.send()
        while self.websocket.state is State.CONNECTING:
            self.receive()
        check(self.websocket.handshake_exc is None, f"no websocket: {self.websocket.handshake_exc}")
        self.websocket.events_received()

    def until(self, act):
        """Does it, and fetches what TLS wants to read for it."""
        while True:
            try:
                return act()
            except ssl.SSLWantReadError:
                self.flush()
                arrived = self.tcp.recv(65536)
                if arrived:
                    self.incoming.write(arrived)
                else:
                    self.incoming.write_eof()
            finally:
                self.flush()

    def flush(self):
        if self.outgoing.pending:
            self.tcp.sendall(self.outgoing.read())

    def send(self, piece=None):
        """What the library has to say, in pieces of this many bytes, each a TLS record of its own."""
        for data in self.websocket.data_to_send():
            for at in range(0, len(data), piece or len(data)):
                self.tls.write(data[at : at + (piece or len(data))])
                self.flush()

    def receive(self):
        """Takes in what comes next; False: the server has ended its direction."""
        try:
            data = self.until(lambda: self.tls.read(65536))
        except (ssl.SSLEOFError, ssl.SSLZeroReturnError):
            data = b""
        if data:
            self.websocket.receive_data(data)
        else:
            self.websocket.receive_eof()
        return bool(data)

    def message(self):
        """The next message's text, or None if the server ended without one."""
        text = b""
        while True:
            for event in self.websocket.events_received():
                if isinstance(event, Frame) and event.opcode in (Opcode.TEXT, Opcode.CONT):
                    text += event.data
                    if event.fin:
                        return text.decode()
            if not self.receive():
                return None

    def ends_tls(self):
        """close_notify, and then nothing more from us (RFC 8446 section 6.1: the other direction stays open)."""
        try:
            self.tls.unwrap()
        except ssl.SSLWantReadError:
            pass
        self.flush()

    def ends_tcp(self):
        self.tcp.shutdown(socket.SHUT_WR)


def in_single_bytes():
    wire = Wire()
    check_token(wire.message())
    wire.websocket.send_binary(PHI)
    wire.send(piece=1)
    check_result(wire.message())
    wire.send()


def ends_its_direction(how):
    """After the message: the result still has to come."""

    def scene():
        wire = Wire()
        check_token(wire.message())
        wire.websocket.send_binary(PHI)
        wire.send()
        how(wire)
        check_result(wire.message())

    return scene


def ends_its_direction_first(how):
    """Before the message: there is nothing to answer, and the server leaves."""

    def scene():
        wire = Wire()
        check_token(wire.message())
        how(wire)
        wire.tcp.settimeout(PATIENCE)
        while wire.tcp.recv(65536):
            pass

    return scene


def half_a_frame():
    wire = Wire()
    check_token(wire.message())
    wire.websocket.send_binary(PHI)
    frame = b"".join(wire.websocket.data_to_send())
    wire.tls.write(frame[: len(frame) // 2])
    wire.flush()
    wire.ends_tcp()
    while wire.tcp.recv(65536):
        pass


SCENES = [
    ("the codelab's exchange", "answered", the_codelabs_exchange),
    ("leaves once it has sent, as the codelab's client does", "answered", leaves_once_it_has_sent),
    ("a message in fragments, one of them empty", "answered", message_in_fragments),
    ("a fragment for each byte", "answered", fragment_for_each_byte),
    ("pings before, within and after messages are answered", "answered", pings_before_within_and_after),
    ("the largest message there may be", "answered", largest_message_there_may_be),
    ("one byte too many is 1009 too-big", "lost", one_byte_too_many),
    ("text instead of binary is 1003 type", "lost", text_instead_of_binary),
    ("health data that is none is 1008 phi-invalid", "phi-invalid", health_data_that_is_none),
    ("closes with 1000 instead of sending", "lost", closes(1000)),
    ("closes with 1001 instead of sending", "lost", closes(1001, "going away")),
    ("closes with 4000 instead of sending", "lost", closes(4000, "of its own")),
    ("refuses the token with 1008", "refused", closes(1008, "refused")),
    ("closes while its token is made", "lost", closes_while_its_token_is_made),
    ("vanishes while its token is made", "lost", vanishes_while_its_token_is_made),
    ("vanishes with its token", "lost", vanishes_with_its_token),
    ("vanishes within its message", "lost", vanishes_within_the_message),
    ("a TLS record for each byte", "answered", in_single_bytes),
    ("ends its direction of TCP after the message", "answered", ends_its_direction(Wire.ends_tcp)),
    ("ends its direction of TCP before it", "lost", ends_its_direction_first(Wire.ends_tcp)),
    ("ends its direction of TLS before it", "lost", ends_its_direction_first(Wire.ends_tls)),
    ("ends its direction of TCP within a frame", "lost", half_a_frame),
    ("and after all that, the codelab's exchange", "answered", the_codelabs_exchange),
]


async def play(scene):
    if asyncio.iscoroutinefunction(scene):
        await asyncio.wait_for(scene(), PATIENCE)
    else:
        await asyncio.to_thread(scene)


for name, outcome, scene in SCENES:
    try:
        asyncio.run(play(scene))
        print("ok", outcome, name, sep="\t", flush=True)
    except Exception as error:  # whatever it is, this scene is wrong and the next one is played
        print("WRONG", outcome, f"{name}: {type(error).__name__}: {error}", sep="\t", flush=True)

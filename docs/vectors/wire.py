#!/usr/bin/env python3
"""Writes wire.json, the test vectors of docs/protocol.md, from a second implementation of its formulas.

    docs/vectors/wire.py > docs/vectors/wire.json

Needs nothing but Python 3.8. The tree is written as RFC 9162 defines it, by recursion; the programs build it level by level.
All inputs are made from a counter. The receipt's key is published here: it is for tests alone.
"""

import base64
import hashlib
import hmac
import json


def sha256(*parts):
    return hashlib.sha256(b"".join(parts)).digest()


def b64(data):
    return base64.standard_b64encode(data).decode()


def made_up(what, number=0):
    """32 bytes that anybody can make again."""
    return sha256(b"test vector", what.encode(), number.to_bytes(4, "big"))


def wire0():
    given = [bytes(32), bytes([255]) * 32] + [made_up("exporter of wire 0", i) for i in range(2)]
    return [{"exporter": e.hex(), "nonce": b64(sha256(e))} for e in given]


def transcript(role, exporter, spki, client_nonce, server_nonce):
    return (b"attested-sleep/1" + {"server": b"\1", "client": b"\2"}[role] + exporter + sha256(spki)
            + client_nonce + server_nonce)


def leaf(of_transcript):
    return sha256(b"\0", sha256(of_transcript))


def transcripts():
    rows = []
    for number, role in enumerate(["server", "client", "server"]):
        number //= 2  # The first two differ in nothing but the role.
        parts = [made_up("exporter", number), public_key(made_up("TLS key", number)),
                 made_up("client nonce", number), made_up("server nonce", number)]
        whole = transcript(role, *parts)
        rows.append({
            "role": role,
            **dict(zip(["exporter", "spki", "client_nonce", "server_nonce"], [p.hex() for p in parts])),
            "transcript": whole.hex(),
            "transcript_sha256": sha256(whole).hex(),
            "leaf": leaf(whole).hex(),
        })
    return rows


def split(leaves):
    """RFC 9162 2.1.1: at the largest power of two that is smaller than the number of leaves."""
    at = 1
    while at * 2 < len(leaves):
        at *= 2
    return leaves[:at], leaves[at:]


def root(leaves):
    if len(leaves) == 1:
        return leaves[0]
    left, right = split(leaves)
    return sha256(b"\1", root(left), root(right))


def path(index, leaves):
    """RFC 9162 2.1.3.1."""
    if len(leaves) == 1:
        return []
    left, right = split(leaves)
    if index < len(left):
        return path(index, left) + [root(right)]
    return path(index - len(left), right) + [root(left)]


def nonce(size, of_root):
    return b64(sha256(b"attested-sleep/1 root", size.to_bytes(4, "big"), of_root))


def trees():
    rows = []
    for size in [1, 2, 3, 5, 8]:
        leaves = [leaf(made_up("transcript", i)) for i in range(size)]
        rows.append({
            "leaves": [hash.hex() for hash in leaves],
            "root": root(leaves).hex(),
            "nonce": nonce(size, root(leaves)),
            "proofs": [[hash.hex() for hash in path(i, leaves)] for i in range(size)],
        })
    return rows


def largest_tree():
    leaves = [leaf(made_up("transcript", i)) for i in range(4096)]
    return {
        "leaves_sha256": sha256(*leaves).hex(),
        "root": root(leaves).hex(),
        "nonce": nonce(4096, root(leaves)),
        "proof_of_4095": [hash.hex() for hash in path(4095, leaves)],
    }


def commitments():
    rows = []
    given = [([b'{"name":"canary"}'], [b'{"sentence":"great sleep!"}']),
             ([b'{"night":1}\n{"night":2}\n', b'{"night":3}\n'], [b'{"a":1}', b'{"b":2}', b'{"nights":3}']),
             ([b""], [b""])]
    for number, (phi, result) in enumerate(given):
        key = made_up("commitment key", number)
        rows.append({
            "key": key.hex(),
            "phi": [message.decode() for message in phi],
            "result": [message.decode() for message in result],
            "first_phi_message": (key + phi[0]).hex(),
            "phi_commitment": hmac.new(key, b"phi\0" + b"".join(phi), hashlib.sha256).hexdigest(),
            "result_commitment": hmac.new(key, b"result\0" + b"".join(result), hashlib.sha256).hexdigest(),
        })
    return rows


# ECDSA on P-256 (FIPS 186-5), slow and not in constant time: for vectors alone.
P = 0xFFFFFFFF00000001000000000000000000000000FFFFFFFFFFFFFFFFFFFFFFFF
N = 0xFFFFFFFF00000000FFFFFFFFFFFFFFFFBCE6FAADA7179E84F3B9CAC2FC632551
G = (0x6B17D1F2E12C4247F8BCE6E563A440F277037D812DEB33A0F4A13945D898C296,
     0x4FE342E2FE1A7F9B8EE7EB4A7C0F9E162BCE33576B315ECECBB6406837BF51F5)


def add(a, b):
    if a is None or b is None:
        return a or b
    if a[0] == b[0] and (a[1] + b[1]) % P == 0:
        return None
    if a == b:
        slope = (3 * a[0] * a[0] - 3) * pow(2 * a[1], P - 2, P)
    else:
        slope = (b[1] - a[1]) * pow(b[0] - a[0], P - 2, P)
    x = (slope * slope - a[0] - b[0]) % P
    return x, (slope * (a[0] - x) - a[1]) % P


def times(scalar, point):
    product = None
    for bit in bin(scalar)[2:]:
        product = add(product, product)
        if bit == "1":
            product = add(product, point)
    return product


def public_key(private):
    """SubjectPublicKeyInfo in DER (RFC 5480)."""
    x, y = times(int.from_bytes(private, "big") % N, G)
    head = bytes.fromhex("3059301306072a8648ce3d020106082a8648ce3d03010703420004")
    return head + x.to_bytes(32, "big") + y.to_bytes(32, "big")


def der_integer(number):
    data = number.to_bytes(number.bit_length() // 8 + 1, "big")
    return bytes([2, len(data)]) + data


def sign(private, message):
    """The nonce comes from key and message, so that the vector stays the same; any other does as well."""
    private = int.from_bytes(private, "big") % N
    hashed = int.from_bytes(sha256(message), "big")
    k = int.from_bytes(sha256(private.to_bytes(32, "big"), message), "big") % N
    r = times(k, G)[0] % N
    s = pow(k, N - 2, N) * (hashed + r * private) % N
    both = der_integer(r) + der_integer(s)
    return bytes([0x30, len(both)]) + both


def receipt():
    private = made_up("TLS key", 0)
    session, committed = transcripts()[0], commitments()[0]
    token = "eyJhbGciOiJSUzI1NiJ9.e30.c2lnbmF0dXJl"
    said = json.dumps({
        "transcript": b64(bytes.fromhex(session["transcript_sha256"])),
        "token": b64(sha256(token.encode())),
        "phi": b64(bytes.fromhex(committed["phi_commitment"])),
        "result": b64(bytes.fromhex(committed["result_commitment"])),
        "rules": "recommended",
        "program": "usleep 0.1.0",
        "time": 1750688561,
    }, separators=(",", ":"))
    signed = b"attested-sleep/1 receipt\0" + said.encode()
    signature = sign(private, signed)
    return {
        "private_key": (int.from_bytes(private, "big") % N).to_bytes(32, "big").hex(),
        "spki": session["spki"],
        "token": token,
        "transcript_sha256": session["transcript_sha256"],
        "phi_commitment": committed["phi_commitment"],
        "result_commitment": committed["result_commitment"],
        "receipt": said,
        "signed_bytes": signed.hex(),
        "signature": signature.hex(),
        "message": json.dumps({"receipt": said, "signature": b64(signature)}, separators=(",", ":")),
    }


def messages():
    a, b = b64(made_up("client nonce")), b64(made_up("server nonce"))
    token = "eyJhbGciOiJSUzI1NiJ9.e30.c2lnbmF0dXJl"
    rows = {
        "hello": {
            "accepted": [
                f'{{"v":1,"client_nonce":"{a}","attest":true}}',
                f' {{ "attest" : false , "client_nonce" : "{a}" , "v" : 1 }}\n',
            ],
            "refused": {
                "another version": f'{{"v":2,"client_nonce":"{a}","attest":true}}',
                "a fraction": f'{{"v":1.0,"client_nonce":"{a}","attest":true}}',
                "an exponent": f'{{"v":1e0,"client_nonce":"{a}","attest":true}}',
                "a number as text": f'{{"v":"1","client_nonce":"{a}","attest":true}}',
                "a negative number": f'{{"v":-1,"client_nonce":"{a}","attest":true}}',
                "an unknown key": f'{{"v":1,"client_nonce":"{a}","attest":true,"x":1}}',
                "a key in another case": f'{{"V":1,"client_nonce":"{a}","attest":true}}',
                "a key twice": f'{{"v":1,"v":1,"client_nonce":"{a}","attest":true}}',
                "a key twice, once escaped": f'{{"v":1,"\\u0076":1,"client_nonce":"{a}","attest":true}}',
                "no attest": f'{{"v":1,"client_nonce":"{a}"}}',
                "attest as null": f'{{"v":1,"client_nonce":"{a}","attest":null}}',
                "attest as a number": f'{{"v":1,"client_nonce":"{a}","attest":1}}',
                "no padding": f'{{"v":1,"client_nonce":"{a[:-1]}","attest":true}}',
                "31 bytes": f'{{"v":1,"client_nonce":"{b64(bytes(31))}","attest":true}}',
                "33 bytes": f'{{"v":1,"client_nonce":"{b64(bytes(33))}","attest":true}}',
                "the alphabet of URLs": f'{{"v":1,"client_nonce":"{"_" * 42}8=","attest":true}}',
                "bits left over": f'{{"v":1,"client_nonce":"{"A" * 42}B=","attest":true}}',
                "hex": f'{{"v":1,"client_nonce":"{bytes(22).hex()}","attest":true}}',
                "an array": f'[1,"{a}",true]',
                "something after it": f'{{"v":1,"client_nonce":"{a}","attest":true}}{{}}',
                "a byte order mark": f'\ufeff{{"v":1,"client_nonce":"{a}","attest":true}}',
                "nothing": "",
            },
        },
        "attestation": {
            "accepted": [
                f'{{"server_nonce":"{b}","token":"{token}","index":0,"size":1,"proof":[],"attest":false}}',
                f'{{"server_nonce":"{b}","token":"{token}","index":2,"size":3,"proof":["{a}"],"attest":true}}',
            ],
            "refused": {
                "an empty tree": f'{{"server_nonce":"{b}","token":"{token}","index":0,"size":0,"proof":[],"attest":false}}',
                "a tree too large": f'{{"server_nonce":"{b}","token":"{token}","index":0,"size":4097,"proof":[],"attest":false}}',
                "an index beyond the tree": f'{{"server_nonce":"{b}","token":"{token}","index":1,"size":1,"proof":[],"attest":false}}',
                "a proof too long": f'{{"server_nonce":"{b}","token":"{token}","index":0,"size":1,"proof":["{a}"],"attest":false}}',
                "a proof too short": f'{{"server_nonce":"{b}","token":"{token}","index":0,"size":2,"proof":[],"attest":false}}',
                "a proof that is no array": f'{{"server_nonce":"{b}","token":"{token}","index":0,"size":1,"proof":"","attest":false}}',
                "a size with a fraction": f'{{"server_nonce":"{b}","token":"{token}","index":0,"size":1.0,"proof":[],"attest":false}}',
                "no token": f'{{"server_nonce":"{b}","index":0,"size":1,"proof":[],"attest":false}}',
            },
        },
        "client_attestation": {
            "accepted": [f'{{"token":"{token}","index":0,"size":1,"proof":[]}}'],
            "refused": {
                "a nonce": f'{{"server_nonce":"{b}","token":"{token}","index":0,"size":1,"proof":[]}}',
                "a token that is no text": '{"token":{},"index":0,"size":1,"proof":[]}',
            },
        },
        "end": {
            "accepted": ['{"end":true,"messages":3}'],
            "refused": {
                "not true": '{"end":false,"messages":3}',
                "no number": '{"end":true}',
                "a number beyond 64 bits": '{"end":true,"messages":18446744073709551616}',
            },
        },
    }
    return {
        name: {
            "accepted": row["accepted"],
            "refused": [{"why": why, "text": text} for why, text in row["refused"].items()],
        }
        for name, row in rows.items()
    }


def main():
    vectors = {
        "about": "Test vectors of docs/protocol.md, written by docs/vectors/wire.py. Hex unless said otherwise; nonces are text.",
        "wire0": wire0(),
        "transcripts": transcripts(),
        "trees": trees(),
        "largest_tree": largest_tree(),
        "commitments": commitments(),
        "receipt": receipt(),
        "messages": messages(),
    }
    print(json.dumps(vectors, indent=1))


main()

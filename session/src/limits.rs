//! Every limit of a session, in one place.
//!
//! Times are absolute deadlines of a stage: pings and other traffic do not extend them.

use std::time::Duration;

use attestation::message::{MAX_PART_RESULT_BYTES, MAX_PHI_BYTES, MAX_RESULT_BYTES};
use attestation::v1::{MAX_ATTESTATION_BYTES, MAX_HELLO_BYTES, MAX_RECEIPT_BYTES};

/// What a peer can make us hold, and for how long. The defaults are the protocol's; both ends use those
/// that concern them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Limits {
    /// From an open TCP connection to an open websocket.
    pub handshake: Duration,
    /// How long the client tries to open a TCP connection.
    pub connect: Duration,
    /// How long the server waits for a token. Shorter than `attestation`, so that the server can still say
    /// that it got none.
    pub launcher: Duration,
    /// How long the client waits for the message that carries the token.
    pub attestation: Duration,
    /// Longest message that carries a token, in bytes: the token and what wire version 1 adds.
    pub attestation_bytes: usize,
    /// Wire version 1: from the upgrade to the last byte of the client's hello.
    pub hello: Duration,
    /// Longest hello in bytes.
    pub hello_bytes: usize,
    /// Wire version 1, where the client proves itself too: from the server's token to the last byte of the client's. In
    /// it the client verifies the one and asks its own launcher for the other.
    pub mutual: Duration,
    /// From the token to the first byte of PHI.
    pub phi_first_byte: Duration,
    /// From the token to the last byte of PHI. Also how long the client takes at most to send it.
    pub phi: Duration,
    /// Longest PHI message in bytes.
    pub phi_bytes: usize,
    /// What all clients may have sent at the same moment in bytes, counted as soon as it is announced and until it has been
    /// worked on, or until the next message of a stream that takes its place has been. Above it a session waits for its turn within `phi`, and is then told that the server is busy. Messages of
    /// at most 4 KiB are not counted.
    pub phi_in_flight: usize,
    /// What of it may be of one IPv4 address or one IPv6 /64; above it such a session is told at once.
    pub phi_in_flight_per_address: usize,
    /// Wire version 1, many documents: from the first of a stream to the message that ends it. Without it a client that is
    /// never quite too slow would keep its place for ever.
    pub stream: Duration,
    /// Slowest stream in bytes of PHI a second: it may take `phi`, and a second more for each so many bytes that have come.
    /// Without it one short message after the other, each just in time, would hold a place for all of `stream`.
    pub stream_bytes_per_second: u64,
    /// Longest stream in bytes: the PHI of all its messages.
    pub stream_bytes: u64,
    /// Longest result of one message of a stream in bytes.
    pub part_result_bytes: usize,
    /// How long the client waits for the result, and in wire version 1 for the receipt that follows it.
    pub result: Duration,
    /// Longest result in bytes.
    pub result_bytes: usize,
    /// Longest receipt in bytes.
    pub receipt_bytes: usize,
    /// The websocket's closing handshake.
    pub close: Duration,
    /// TLS handshakes and upgrades under way at the server; above it accepting pauses. An address that has as many as are
    /// left for all others has the next one wait for its own, within `handshake`.
    pub handshakes: usize,
    /// Open connections at the server; above it HTTP 503.
    pub connections: usize,
    /// Open connections from one IPv4 address or one IPv6 /64; above it HTTP 503.
    pub connections_per_address: usize,
    /// Sessions of wire version 0 that wait for a token; above it HTTP 503. The launcher makes one at a
    /// time, a third of a second each: more than this could not be served before their client gives up.
    pub waiting_for_token: usize,
    /// Handshakes and upgrades with one IPv4 address or one IPv6 /64, under way or waiting for their turn; more are dropped.
    pub handshakes_per_address: usize,
    /// Sessions from one address that wait for a token, so that one address cannot hold all of
    /// `waiting_for_token`; above it HTTP 503.
    pub waiting_per_address: usize,
}

impl Limits {
    /// How long a stream may take in all of which so many bytes have come.
    pub(crate) fn stream_for(&self, bytes: u64) -> Duration {
        let earned = Duration::from_secs(bytes / self.stream_bytes_per_second.max(1));
        self.phi.saturating_add(earned).min(self.stream)
    }
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            handshake: Duration::from_secs(5),
            connect: Duration::from_secs(5),
            launcher: Duration::from_secs(12),
            attestation: Duration::from_secs(15),
            attestation_bytes: MAX_ATTESTATION_BYTES,
            hello: Duration::from_secs(5),
            hello_bytes: MAX_HELLO_BYTES,
            mutual: Duration::from_secs(20),
            phi_first_byte: Duration::from_secs(10),
            phi: Duration::from_secs(30),
            phi_bytes: MAX_PHI_BYTES,
            phi_in_flight: 256 * 1024 * 1024,
            phi_in_flight_per_address: 64 * 1024 * 1024,
            stream: Duration::from_secs(3600),
            stream_bytes_per_second: 1024,
            stream_bytes: 1024 * 1024 * 1024,
            part_result_bytes: MAX_PART_RESULT_BYTES,
            result: Duration::from_secs(30),
            result_bytes: MAX_RESULT_BYTES,
            receipt_bytes: MAX_RECEIPT_BYTES,
            close: Duration::from_secs(2),
            handshakes: 512,
            connections: 10_000,
            connections_per_address: 256,
            waiting_for_token: 16,
            handshakes_per_address: 64,
            waiting_per_address: 8,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_stream_earns_its_time_by_what_it_has_sent_up_to_the_limit_of_every_stream() {
        let limits = Limits::default();
        let most = (limits.stream - limits.phi).as_secs() * limits.stream_bytes_per_second;
        for (bytes, seconds) in [
            (0, 30),
            (1023, 30),
            (1024, 31),
            (10 * 1024, 40),
            (most - 1, 3599),
            (most, 3600),
            (u64::MAX, 3600),
        ] {
            assert_eq!(limits.stream_for(bytes), Duration::from_secs(seconds), "{bytes}");
        }
        let none = Limits { stream_bytes_per_second: 0, ..limits };
        assert_eq!(none.stream_for(1), Duration::from_secs(31));
    }
}

//! Every limit of a session: what it is, and which tests hold it; and tests of those that concern many clients at once.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

mod common;

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use attestation::Expectation;
use attestation::message::MAX_TOKEN_BYTES;
use attestation::v1::MAX_BATCH;
use common::server::TestServer;
use common::version_1::{Client1, KEY};
use common::{Client, PHI};
use futures_util::{SinkExt as _, StreamExt as _};
use launcher::DeskOptions;
use serde_json::Value;
use session::Limits;
use tokio::io::AsyncWriteExt as _;
use tokio::net::{TcpSocket, TcpStream};
use tokio::time::timeout;
use tokio_tungstenite::tungstenite::Message;
use tokio_tungstenite::tungstenite::protocol::frame::Frame;
use tokio_tungstenite::tungstenite::protocol::frame::coding::{Data, OpCode};

/// Longer than any of these takes; only a test that fails waits for it.
const PATIENCE: Duration = Duration::from_secs(15);

const KIB: usize = 1024;
const MIB: usize = 1024 * KIB;

/// A limit, what it is unless told, and the tests that hold it: at the limit and one over, or for a time what happens when
/// it has passed.
struct Row {
    limit: &'static str,
    is: bool,
    tests: &'static [&'static str],
}

/// Taken apart without `..`: a limit that is added has to be added here.
fn rows() -> Vec<Row> {
    let Limits {
        handshake,
        connect,
        launcher,
        attestation,
        attestation_bytes,
        hello,
        hello_bytes,
        mutual,
        phi_first_byte,
        phi,
        phi_bytes,
        phi_in_flight,
        phi_in_flight_per_address,
        stream,
        stream_bytes_per_second,
        stream_bytes,
        part_result_bytes,
        result,
        result_bytes,
        receipt_bytes,
        close,
        handshakes,
        connections,
        connections_per_address,
        waiting_for_token,
        handshakes_per_address,
        waiting_per_address,
    } = Limits::default();
    let seconds = Duration::from_secs;
    let row = |limit, is, tests| Row { limit, is, tests };
    const BAD: &str = "each_is_told_a_code_and_one_word_and_the_log_has_the_rest";
    const BAD_1: &str = "each_is_told_a_code_and_one_word_and_the_log_has_the_rest_in_version_1_too";
    const STREAM: &str = "a_stream_that_goes_wrong_is_ended_with_a_word_and_has_no_summary";
    vec![
        row(
            "handshake",
            handshake == seconds(5),
            &["who_does_not_get_as_far_as_a_websocket_in_time_is_dropped"],
        ),
        row("connect", connect == seconds(5), &["a_connection_that_does_not_come_about_in_time_is_given_up"]),
        row(
            "launcher",
            launcher == seconds(12),
            &[BAD, "a_launcher_that_hangs_costs_a_session_its_deadline_and_no_more"],
        ),
        row("attestation", attestation == seconds(15), &["no_traffic_extends_the_wait_for_the_token"]),
        row(
            "attestation_bytes",
            attestation_bytes == 132 * KIB,
            &[
                "an_attestation_is_taken_at_the_limit_and_refused_one_byte_over",
                "a_proof_is_taken_at_the_limit_and_refused_one_byte_over",
            ],
        ),
        row("hello", hello == seconds(5), &[BAD_1]),
        row("hello_bytes", hello_bytes == KIB, &["hello_and_phi_are_taken_at_their_limits", BAD_1]),
        row(
            "mutual",
            mutual == seconds(20),
            &["what_comes_instead_of_a_proof_is_told_a_code_and_one_word_and_no_phi_is_read"],
        ),
        row("phi_first_byte", phi_first_byte == seconds(10), &[BAD]),
        row("phi", phi == seconds(30), &[BAD]),
        row(
            "phi_bytes",
            phi_bytes == MIB,
            &[
                BAD,
                "phi_of_exactly_the_limit_is_answered_also_in_fragments_with_pings_between",
                "hello_and_phi_are_taken_at_their_limits",
            ],
        ),
        row(
            "phi_in_flight",
            phi_in_flight == 256 * MIB,
            &[
                "who_finds_no_room_waits_for_it_and_small_messages_need_none",
                "room_is_taken_at_the_limit_and_refused_one_byte_over",
            ],
        ),
        row(
            "phi_in_flight_per_address",
            phi_in_flight_per_address == 64 * MIB,
            &[
                "one_address_cannot_take_all_the_room",
                "one_address_gets_its_share_and_is_told_at_once_that_there_is_no_more",
            ],
        ),
        row("stream", stream == seconds(3600), &[STREAM]),
        row(
            "stream_bytes_per_second",
            stream_bytes_per_second == KIB as u64,
            &[STREAM, "a_stream_earns_its_time_by_what_it_has_sent_up_to_the_limit_of_every_stream"],
        ),
        row(
            "stream_bytes",
            stream_bytes == 1024 * MIB as u64,
            &[STREAM, "a_stream_is_taken_at_the_limit_of_all_its_messages"],
        ),
        row(
            "part_result_bytes",
            part_result_bytes == MIB,
            &[
                STREAM,
                "a_message_of_a_megabyte_is_answered_with_one_result_of_at_most_a_megabyte",
                "servers_that_end_a_stream_otherwise_bring_no_result",
            ],
        ),
        row(
            "result",
            result == seconds(30),
            &["no_traffic_extends_the_wait_for_the_result", "who_never_reads_is_not_waited_for"],
        ),
        row(
            "result_bytes",
            result_bytes == 64 * KIB,
            &["a_result_is_taken_at_the_limit_and_refused_one_byte_over"],
        ),
        row(
            "receipt_bytes",
            receipt_bytes == 64 * KIB,
            &["a_receipt_is_taken_at_the_limit_and_refused_one_byte_over"],
        ),
        row("close", close == seconds(2), &["who_does_not_shake_hands_on_closing_is_not_waited_for"]),
        row(
            "handshakes",
            handshakes == 512,
            &["beyond_so_many_handshakes_accepting_pauses", "few_addresses_cannot_hold_every_handshake"],
        ),
        row(
            "connections",
            connections == 10_000,
            &[
                "a_full_server_says_when_to_come_back",
                "all_together_get_what_there_is_and_nothing_is_kept_of_those_who_left",
            ],
        ),
        row(
            "connections_per_address",
            connections_per_address == 256,
            &[
                "a_full_server_says_when_to_come_back",
                "one_address_gets_its_share_and_not_one_more_until_it_gives_one_back",
            ],
        ),
        row(
            "waiting_for_token",
            waiting_for_token == 16,
            &[
                "sessions_that_wait_for_a_token_are_limited_and_those_that_have_one_do_not_count",
                "a_flood_of_version_0_does_not_starve_version_1",
            ],
        ),
        row(
            "handshakes_per_address",
            handshakes_per_address == 64,
            &["handshakes_of_one_address_are_limited_and_do_not_keep_it_from_its_sessions"],
        ),
        row(
            "waiting_per_address",
            waiting_per_address == 8,
            &["handshakes_and_places_to_wait_have_shares_for_each_address_too"],
        ),
    ]
}

/// What is no session's own: of tokens, and of the desk that asks for them.
fn rows_of_tokens() -> Vec<Row> {
    let Expectation { leeway, max_age, max_lifetime, .. } = Expectation::default();
    let DeskOptions { tokens_per_second, alone_under_way, waiting, .. } =
        DeskOptions::for_rate(launcher::DEFAULT_TOKENS_PER_SECOND);
    let seconds = Duration::from_secs;
    let row = |limit, is, tests| Row { limit, is, tests };
    const ATTACKS: &str = "every_attack_is_refused_by_its_own_error";
    const AT_THE_LIMITS: &str = "what_is_at_a_limit_or_odd_and_signed_as_it_is_verifies";
    const TIMES: &str = "times_are_judged_as_a_plain_reading_judges_them";
    vec![
        row(
            "token",
            MAX_TOKEN_BYTES == 128 * KIB,
            &[
                "sizes_are_accepted_at_the_limit_and_refused_one_over",
                "a_text_over_the_limit_is_refused_before_it_is_taken_apart",
            ],
        ),
        row("certificates of a token", true, &[ATTACKS, AT_THE_LIMITS]),
        row("leeway of clocks", leeway == seconds(60), &[ATTACKS, AT_THE_LIMITS, TIMES]),
        row("age of a token", max_age == seconds(300), &[ATTACKS, AT_THE_LIMITS, TIMES]),
        row("lifetime of a token", max_lifetime == seconds(3600), &[ATTACKS, AT_THE_LIMITS, TIMES]),
        row(
            "batch",
            MAX_BATCH == 4096,
            &[
                "a_batch_is_sealed_at_the_limit_and_refused_empty_and_one_over",
                "a_batch_has_4096_sessions_at_most_and_the_rest_forms_the_next",
            ],
        ),
        row("tokens a second", tokens_per_second == 4.0, &["the_rate_is_one_for_all"]),
        row(
            "other tokens between two batches",
            true,
            &["at_most_one_lone_request_leaves_between_two_batches_while_sessions_wait"],
        ),
        row(
            "other tokens under way",
            alone_under_way == 2,
            &["lone_requests_by_themselves_go_in_order_two_at_a_time"],
        ),
        row(
            "sessions at the desk",
            waiting == 4 * 4096,
            &["as_many_may_wait_as_were_allowed_and_not_one_more", "the_default_bound_holds_four_batches"],
        ),
    ]
}

/// Where the tests of the limits are.
const TESTS: [&str; 19] = [
    include_str!("limits.rs"),
    include_str!("bad_clients.rs"),
    include_str!("mutual.rs"),
    include_str!("nights.rs"),
    include_str!("sessions.rs"),
    include_str!("version_1.rs"),
    include_str!("../../session/src/limits.rs"),
    include_str!("../../session/src/server/admission.rs"),
    include_str!("../../session/src/server/room.rs"),
    include_str!("../../session/tests/client.rs"),
    include_str!("../../session/tests/version_1.rs"),
    include_str!("../../attestation/src/message.rs"),
    include_str!("../../attestation/tests/attacks.rs"),
    include_str!("../../attestation/tests/inclusion.rs"),
    include_str!("../../attestation/tests/properties.rs"),
    include_str!("../../launcher/tests/desk/fairness.rs"),
    include_str!("../../launcher/tests/desk/limits.rs"),
    include_str!("../../launcher/tests/desk/rate.rs"),
    include_str!("../../uwear/tests/nights.rs"),
];

#[test]
fn every_limit_is_what_the_protocol_says_and_has_tests() {
    for Row { limit, is, tests } in rows().into_iter().chain(rows_of_tokens()) {
        assert!(is, "{limit} is not what docs/protocol.md says");
        assert!(!tests.is_empty(), "{limit}");
        for test in tests {
            let found = TESTS.iter().any(|source| source.contains(&format!("fn {test}(")));
            assert!(found, "{limit}: there is no test {test}");
        }
    }
}

/// A client that may send PHI.
async fn attested(server: &TestServer) -> (Client1, Value) {
    let mut client = Client1::greet(server.address, false).await;
    let attestation = client.attestation().await;
    (client, attestation)
}

/// A night of this length in bytes, with the key before it.
fn phi_of(length: usize) -> String {
    let length = length - KEY.len();
    format!("{PHI}{}", " ".repeat(length - PHI.len()))
}

/// A client that has sent so much of a message and does not go on. That the server has read it shows in its answer to a
/// ping.
async fn holding(server: &TestServer, length: usize) -> Client1 {
    let (mut client, _) = attested(server).await;
    let begun = Frame::message(vec![0x6b; length], OpCode::Data(Data::Binary), false);
    client.send(Message::Frame(begun)).await;
    client.send(Message::Ping("read?".into())).await;
    assert!(matches!(client.client.websocket.next().await, Some(Ok(Message::Pong(_)))));
    client
}

#[tokio::test]
async fn who_finds_no_room_waits_for_it_and_small_messages_need_none() {
    let limits = Limits { phi_in_flight: 20 * KIB, ..Limits::default() };
    let server = TestServer::start(limits).await;
    let holder = holding(&server, 15 * KIB).await;
    let (mut waits, attestation) = attested(&server).await;
    let phi = phi_of(10 * KIB);
    waits.send(Client1::message(phi.as_bytes())).await;
    // Others are answered meanwhile.
    for _ in 0..3 {
        let (mut other, attestation) = attested(&server).await;
        other.ask(PHI, &attestation).await;
    }
    let answer = timeout(Duration::from_millis(50), waits.client.websocket.next()).await;
    assert!(answer.is_err(), "it is answered although there is no room: {answer:?}");
    drop(holder);
    waits.answered(&phi, &attestation).await;
    drop(waits);
    let outcomes = server.outcomes().await;
    let answered = outcomes.iter().filter(|logged| logged["outcome"] == "answered").count();
    assert_eq!((answered, outcomes.len()), (4, 5));
}

#[tokio::test]
async fn room_is_taken_at_the_limit_and_refused_one_byte_over() {
    let length = 10 * KIB;
    for (phi_in_flight, outcome) in [(length, "answered"), (length - 1, "no-room")] {
        let limits = Limits {
            phi_in_flight,
            phi_first_byte: Duration::from_millis(200),
            phi: Duration::from_millis(400),
            ..Limits::default()
        };
        let server = TestServer::start(limits).await;
        let (mut client, attestation) = attested(&server).await;
        if outcome == "answered" {
            client.ask(&phi_of(length), &attestation).await;
        } else {
            client.send(Client1::message(phi_of(length).as_bytes())).await;
            assert_eq!(client.client.closed().await, (1013, "busy".to_owned()));
        }
        drop(client);
        assert_eq!(server.outcomes().await[0]["outcome"], outcome);
    }
}

#[tokio::test]
async fn one_address_cannot_take_all_the_room() {
    let limits = Limits { phi_in_flight_per_address: 20 * KIB, ..Limits::default() };
    let server = TestServer::start(limits).await;
    let holder = holding(&server, 15 * KIB).await;
    let (mut other, _) = attested(&server).await;
    other.send(Client1::message(phi_of(10 * KIB).as_bytes())).await;
    assert_eq!(timeout(PATIENCE, other.client.closed()).await.unwrap(), (1013, "busy".to_owned()));
    drop(holder);
    // What it held is free again once the server has noticed that it left.
    let again = async {
        loop {
            let (mut client, _) = attested(&server).await;
            client.send(Client1::message(phi_of(10 * KIB).as_bytes())).await;
            match client.client.websocket.next().await {
                Some(Ok(Message::Text(_))) => return,
                Some(Ok(Message::Close(Some(frame)))) => assert_eq!(u16::from(frame.code), 1013),
                other => panic!("wanted a result, got {other:?}"),
            }
        }
    };
    timeout(PATIENCE, again).await.expect("the room of the one who left stays taken");
    drop(other);
    server.outcomes().await;
}

/// The head of a masked frame of a client, and nothing behind it.
fn head(first: u8, length: u64) -> Vec<u8> {
    let mut head = vec![first, 0xff];
    head.extend(length.to_be_bytes());
    head.extend([1, 2, 3, 4]);
    head
}

#[tokio::test]
async fn a_frame_that_announces_too_much_is_refused_before_any_of_it_has_come() {
    let (text, binary, ping) = (0x81, 0x82, 0x89);
    let rows = [
        ("a hello", false, text, KIB as u64 + 1),
        ("a hello of a size that could never be", false, text, u64::MAX),
        ("PHI", true, binary, (MIB + KEY.len()) as u64 + 1),
        ("PHI of a size that could never be", true, binary, u64::MAX),
        // RFC 6455 §5.5: at most 125 bytes.
        ("a ping", true, ping, 126),
    ];
    for (what, is_attested, first, length) in rows {
        let server = TestServer::start(Limits::default()).await;
        let mut client =
            if is_attested { attested(&server).await.0 } else { Client1::connect(server.address).await };
        let stream = client.client.websocket.get_mut();
        stream.write_all(&head(first, length)).await.unwrap();
        stream.flush().await.unwrap();
        let told = timeout(Duration::from_secs(4), client.client.closed()).await;
        let told = told.unwrap_or_else(|_| panic!("{what}: never told"));
        assert_eq!(told, (1009, "too-big".to_owned()), "{what}");
        drop(client);
        server.outcomes().await;
    }
}

#[tokio::test]
async fn a_flood_of_version_0_does_not_starve_version_1() {
    // A launcher that makes one token at a time, as the real one does, and more clients of version 0 than there are places.
    let launcher = |mock: mock_launcher::Builder| mock.latency(Duration::from_millis(30)).serialize(true);
    let limits = Limits { waiting_for_token: 8, ..Limits::default() };
    let server = TestServer::configured(limits, launcher, PATIENCE, |server| server).await;
    let address = server.address;
    let turned_away = Arc::new(AtomicUsize::new(0));
    let mut flood = tokio::task::JoinSet::new();
    for _ in 0..16 {
        let turned_away = Arc::clone(&turned_away);
        flood.spawn(async move {
            loop {
                let tls = common::dial(address).await;
                let request = format!("wss://{address}/connection");
                match tokio_tungstenite::client_async(request, tls).await {
                    Ok((mut websocket, _)) => drop(websocket.next().await),
                    Err(_) => drop(turned_away.fetch_add(1, Ordering::Relaxed)),
                }
            }
        });
    }
    // The flood is under way: all places are taken.
    while turned_away.load(Ordering::Relaxed) < 16 {
        tokio::task::yield_now().await;
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
    for _ in 0..5 {
        let mut client = Client1::greet(address, false).await;
        let before = server.launcher.issued();
        let attestation = timeout(PATIENCE, client.attestation()).await.expect("version 1 starves");
        // Those under way, one between two batches, and its own; not the eight that waited before it.
        let meanwhile = server.launcher.issued() - before;
        assert!(meanwhile <= 5, "{meanwhile} tokens were made before its own");
        client.ask(PHI, &attestation).await;
    }
    flood.shutdown().await;
    server.outcomes().await;
}

#[tokio::test]
async fn beyond_so_many_handshakes_accepting_pauses() {
    let limits = Limits { handshakes: 1, ..Limits::default() };
    let server = TestServer::start(limits).await;
    let mut has_one = Client::connect(server.address).await;
    has_one.token().await;
    let silent = TcpStream::connect(server.address).await.unwrap();
    // The kernel takes the next one; nobody shakes hands with it, until the silent one is gone.
    let mut next = tokio::spawn(Client::connect(server.address));
    assert!(timeout(Duration::from_millis(100), &mut next).await.is_err());
    // Who has shaken hands is not disturbed.
    has_one.ask(PHI).await;
    drop(silent);
    let mut next = timeout(PATIENCE, next).await.unwrap().unwrap();
    next.token().await;
    drop((has_one, next));
    server.outcomes().await;
}

#[tokio::test]
async fn few_addresses_cannot_hold_every_handshake() {
    // Who says nothing is not thrown out as long as this test lasts.
    let limits = Limits { handshakes: 8, handshake: Duration::from_secs(3600), ..Limits::default() };
    let server = TestServer::start_with(limits, None, Duration::ZERO).await;
    let mut silent = Vec::new();
    // By turns: an address that comes alone may have half.
    for host in (2..=3).cycle().take(40) {
        let socket = TcpSocket::new_v4().unwrap();
        socket.bind(([127, 0, 0, host], 0).into()).unwrap();
        silent.push(timeout(PATIENCE, socket.connect(server.address)).await.unwrap().unwrap());
    }
    let mut client = timeout(PATIENCE, Client::connect(server.address)).await.expect("it is kept out");
    client.token().await;
    client.ask(PHI).await;
    // Theirs go on when others of their address have ended.
    drop(silent.drain(..20));
    let mut next = timeout(PATIENCE, Client::connect(server.address)).await.expect("it is kept out");
    next.token().await;
    drop((next, client));
    server.outcomes().await;
}

#[tokio::test]
async fn who_does_not_shake_hands_on_closing_is_not_waited_for() {
    let limits = Limits { close: Duration::from_millis(60), ..Limits::default() };
    let server = TestServer::start(limits).await;
    let mut client = Client::connect(server.address).await;
    client.token().await;
    client.ask(PHI).await;
    // Still connected, and says nothing.
    let outcomes = timeout(PATIENCE, server.outcomes()).await.expect("it is waited for");
    assert_eq!(outcomes[0]["outcome"], "answered");
    drop(client);
}

#[tokio::test]
async fn who_never_reads_is_not_waited_for() {
    let limits =
        Limits { result: Duration::from_millis(60), close: Duration::from_millis(60), ..Limits::default() };
    let server = TestServer::start(limits).await;
    let (mut client, _) = attested(&server).await;
    let nights = format!("{PHI}\n").repeat(MIB / (PHI.len() + 1));
    let sends = async {
        let mut message = Client1::message(nights.as_bytes());
        // Fails once the server has given up, at the latest when no buffer takes more.
        while client.client.websocket.send(message).await.is_ok() {
            message = Message::binary(nights.clone());
        }
    };
    timeout(PATIENCE, sends).await.expect("it is waited for");
    drop(client);
    let outcomes = server.outcomes().await;
    let [logged] = outcomes.as_slice() else { panic!("{outcomes:?}") };
    assert!(logged.to_string().contains("waited 60ms"), "{logged}");
}

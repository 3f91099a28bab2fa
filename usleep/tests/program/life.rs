//! The program: its first line, its end by a signal, its refusals, and what it never writes.

use std::collections::BTreeSet;
use std::time::Duration;

use crate::common::program::{Ended, Program, launcher};
use crate::common::version_1::Client1;
use crate::common::{CANARIES, Client, PHI, soon};
use tokio::net::TcpStream;
use tokio::time::timeout;
use tokio_tungstenite::tungstenite::Message;

/// Longer than any of these takes; only a test that fails waits for it.
const PATIENCE: Duration = Duration::from_secs(20);

const VARIABLES: [&str; 14] = [
    "USLEEP_LISTEN",
    "USLEEP_SOCKET",
    "USLEEP_AUDIENCE",
    "USLEEP_RULES",
    "USLEEP_LOG_FORMAT",
    "USLEEP_LOG",
    "USLEEP_DRAIN",
    "USLEEP_MAX_CONNECTIONS_PER_ADDRESS",
    "USLEEP_MAX_SESSIONS_WAITING",
    "USLEEP_PHI_FIRST_BYTE_DEADLINE",
    "USLEEP_METRICS_LISTEN",
    "USLEEP_METRICS_LOG_INTERVAL",
    "USLEEP_IDENTITY_LIFETIME",
    "USLEEP_ROOT",
];

async fn ran(arguments: &[&str], variables: &[(&str, &str)]) -> Ended {
    timeout(PATIENCE, Program::start_in(arguments, variables).ended()).await.unwrap()
}

#[tokio::test]
async fn it_says_where_it_listens_serves_and_ends_with_0_on_either_signal() {
    for (signal, arguments) in [("TERM", &["serve"][..]), ("INT", &[])] {
        let (_launcher, socket, _folder) = launcher().await;
        let flags = ["--listen", "127.0.0.1:0", "--socket", &socket, "--log-format", "text"];
        let mut program = Program::start(&[arguments, &flags].concat());
        let address = program.ready().await;
        assert_ne!(address.port(), 0);
        let mut client = Client::connect(address).await;
        client.token().await;
        client.ask(PHI).await;
        drop(client);
        program.signal(signal).await;
        let ended = timeout(PATIENCE, program.ended()).await.unwrap();
        assert_eq!(ended.code, Some(0), "{ended:?}");
        let lines: Vec<_> = ended.stdout.lines().collect();
        assert_eq!(lines[0], format!("Starting Server.. listening on {address}"));
        let token = lines[1].strip_prefix("Token from the attestation service: eyJhbGci...").unwrap();
        assert_eq!((token.len(), lines.len()), (5, 2), "{ended:?}");
        assert!(ended.stderr.contains("answered"), "{ended:?}");
    }
}

#[tokio::test]
async fn variables_stand_in_for_flags_and_flags_win() {
    let (_launcher, socket, _folder) = launcher().await;
    let variables =
        [("USLEEP_LISTEN", "192.0.2.1:1"), ("USLEEP_SOCKET", &socket), ("USLEEP_RULES", "codelab")];
    let mut program = Program::start_in(&["--listen", "127.0.0.1:0"], &variables);
    let mut client = Client::connect(program.ready().await).await;
    client.token().await;
    assert_eq!(client.ask(PHI).await["rules"], "codelab");
    drop(client);
    assert_eq!(program.terminated().await.code, Some(0));
}

#[tokio::test]
async fn an_address_that_cannot_be_listened_on_is_one_line_and_exit_2() {
    let holder = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let taken = holder.local_addr().unwrap().to_string();
    for (address, next) in [
        (taken.as_str(), "end the program that has this port, or give another port"),
        ("192.0.2.1:1", "give an address of this machine"),
    ] {
        let ended = ran(&["--listen", address], &[]).await;
        assert_eq!((ended.code, ended.stdout.as_str()), (Some(2), ""), "{ended:?}");
        assert!(ended.stderr.starts_with(&format!("usleep: cannot listen on {address}: ")), "{ended:?}");
        assert!(ended.stderr.contains(next), "{ended:?}");
        assert_eq!(ended.stderr.lines().count(), 1, "{ended:?}");
    }
}

#[tokio::test]
async fn arguments_that_cannot_be_used_are_named_and_exit_2() {
    let long = "a".repeat(513);
    let rows = [
        ("--listen", "localhost", "USLEEP_LISTEN", "wanted an address and a port, such as 127.0.0.1:8081"),
        ("--audience", "", "USLEEP_AUDIENCE", "invalid audience: wanted 1 to 512 bytes, got 0"),
        ("--audience", &long, "USLEEP_AUDIENCE", "invalid audience: wanted 1 to 512 bytes, got 513"),
        ("--rules", "mine", "USLEEP_RULES", "[possible values: codelab, recommended]"),
        ("--log-level", "loud", "USLEEP_LOG", "wanted off, error, warn, info, debug or trace"),
        ("--drain", "25h", "USLEEP_DRAIN", "wanted a duration such as 500ms or 10s"),
        ("--max-sessions-waiting", "0", "USLEEP_MAX_SESSIONS_WAITING", "wanted a whole number from 1"),
        ("--metrics-listen", "localhost:9464", "USLEEP_METRICS_LISTEN", "wanted a port, such as 9464"),
        (
            "--metrics-listen",
            "192.0.2.1:1",
            "USLEEP_METRICS_LISTEN",
            "cannot listen on 192.0.2.1:1 for metrics",
        ),
        (
            "--metrics-log-interval",
            "1",
            "USLEEP_METRICS_LOG_INTERVAL",
            "wanted a duration such as 500ms or 10s",
        ),
        ("--identity-lifetime", "999ms", "USLEEP_IDENTITY_LIFETIME", "wanted a duration from 1s to 24h"),
        ("--root", "/nowhere/root.pem", "USLEEP_ROOT", "root certificate /nowhere/root.pem: "),
    ];
    for (flag, value, variable, wanted) in rows {
        let listen = if flag == "--listen" { &[][..] } else { &["--listen", "127.0.0.1:0"] };
        let by_flag = ran(&[listen, &[flag, value]].concat(), &[]).await;
        let by_variable = ran(listen, &[(variable, value)]).await;
        for ended in [by_flag, by_variable] {
            assert_eq!((ended.code, ended.stdout.as_str()), (Some(2), ""), "{flag} {value}: {ended:?}");
            assert!(ended.stderr.lines().any(|line| line.contains(wanted)), "{flag} {value}: {ended:?}");
        }
    }
}

#[tokio::test]
async fn help_names_every_variable_and_teaches_with_an_example() {
    for arguments in [&["--help"][..], &["serve", "--help"]] {
        let ended = ran(arguments, &[]).await;
        assert_eq!(ended.code, Some(0));
        for variable in VARIABLES {
            assert!(ended.stdout.contains(&format!("[env: {variable}=")), "{variable}: {}", ended.stdout);
        }
        for part in ["mock-launcher --socket", "Exit status: 0 ended by SIGTERM", "Starting Server.."] {
            assert!(ended.stdout.contains(part), "{part}: {}", ended.stdout);
        }
    }
}

#[cfg(not(feature = "walkthrough"))]
#[tokio::test]
async fn without_its_feature_the_flag_that_prints_phi_does_not_exist() {
    for command in [&[][..], &["serve"]] {
        let ended = ran(&[command, &["--unsafe-log-phi"]].concat(), &[]).await;
        assert_eq!((ended.code, ended.stdout.as_str()), (Some(2), ""), "{ended:?}");
        assert!(ended.stderr.contains("unexpected argument '--unsafe-log-phi'"), "{ended:?}");
        let help = ran(&[command, &["--help"]].concat(), &[]).await;
        assert!(!help.stdout.contains("phi ") && !help.stdout.contains("unsafe"), "{}", help.stdout);
    }
    let mut program = Program::start_in(&["--listen", "127.0.0.1:0"], &[("USLEEP_UNSAFE_LOG_PHI", "true")]);
    program.ready().await;
    assert!(!program.terminated().await.stdout.contains("PHI"));
}

#[tokio::test]
async fn nothing_of_phi_token_or_result_is_written_whatever_the_log_is_set_to() {
    tokio::join!(nothing_is_written("text"), nothing_is_written("json"));
}

async fn nothing_is_written(format: &str) {
    let (launcher, socket, _folder) = launcher().await;
    let flags =
        ["--listen", "127.0.0.1:0", "--socket", &socket, "--log-level", "trace", "--log-format", format];
    let mut program = Program::start(&flags);
    let address = program.ready().await;
    let mut tokens = Vec::new();

    let mut honest = Client::connect(address).await;
    tokens.push(honest.token().await);
    let result = honest.ask(PHI).await;
    drop(honest);
    for wrong in [
        Message::binary(PHI.replace("29", "290")),
        Message::binary(PHI.replace("name", "Quetzal")),
        Message::binary(PHI.replace("270.4182937", "\"270.4182937\"")),
        Message::binary(&PHI[..60]),
        Message::text(PHI),
    ] {
        let mut client = Client::connect(address).await;
        tokens.push(client.token().await);
        client.send(wrong).await;
        client.closed().await;
    }
    // Its token is refused at sight, and must not be shown either.
    launcher.set_fault(Some(mock_launcher::Fault::NoX5c));
    Client::connect(address).await.closed().await;

    let ended = timeout(PATIENCE, program.terminated()).await.unwrap();
    assert_eq!(ended.code, Some(0), "{ended:?}");
    let written = format!("{}{}", ended.stdout, ended.stderr);
    for outcome in ["answered", "phi-invalid", "lost", "no-token", "sleep.light.minutes: wanted"] {
        assert!(written.contains(outcome), "{outcome}: {written}");
    }
    for canary in CANARIES.into_iter().chain([result["sentence"].as_str().unwrap()]) {
        assert!(!written.contains(canary), "{canary}: {written}");
    }
    for token in tokens {
        // The end of its header, of its claims and of its signature.
        for segment in token.split('.') {
            assert!(!written.contains(&segment[segment.len() - 20..]), "{written}");
        }
    }
    if format == "json" {
        for line in ended.stderr.lines() {
            let line: serde_json::Value = serde_json::from_str(line).unwrap();
            assert!(line["severity"].is_string() && line["message"].is_string() && line["time"].is_string());
        }
    }
}

#[tokio::test]
async fn nobody_reading_what_it_writes_does_not_stop_it() {
    let (_launcher, socket, _folder) = launcher().await;
    let mut program = Program::start(&["--listen", "127.0.0.1:0", "--socket", &socket]);
    let address = program.ready().await;
    program.stop_reading().await;
    for _ in 0..3 {
        let mut client = Client::connect(address).await;
        client.token().await;
        client.ask(PHI).await;
    }
    assert_eq!(timeout(PATIENCE, program.terminated()).await.unwrap().code, Some(0));
}

#[tokio::test]
async fn a_second_signal_ends_it_without_waiting_for_sessions() {
    let (_launcher, socket, _folder) = launcher().await;
    let flags = ["--phi-first-byte-deadline", "3600s", "--drain", "3600s"];
    let mut program =
        Program::start(&[&["--listen", "127.0.0.1:0", "--socket", &socket], &flags[..]].concat());
    let address = program.ready().await;
    let mut idle = Client::connect(address).await;
    idle.token().await;
    program.signal("TERM").await;
    // It has taken the first signal once it listens no more.
    while TcpStream::connect(address).await.is_ok() {
        tokio::task::yield_now().await;
    }
    let ended = timeout(PATIENCE, program.terminated()).await.unwrap();
    assert_eq!(ended.code, Some(0), "{ended:?}");
    assert!(ended.stderr.contains("a second signal"), "{ended:?}");
}

#[tokio::test]
async fn a_token_is_reported_once_however_many_sessions_share_it() {
    let (_launcher, socket, _folder) = launcher().await;
    let flags = ["--listen", "127.0.0.1:0", "--socket", &socket, "--tokens-per-second", "1"];
    let mut program = Program::start(&flags);
    let address = program.ready().await;
    let mut clients = Vec::new();
    for _ in 0..8 {
        clients.push(Client1::greet(address, false).await);
    }
    let mut tokens = BTreeSet::new();
    for client in &mut clients {
        let attestation = soon("an attestation", client.attestation()).await;
        tokens.insert(attestation["token"].as_str().unwrap().to_owned());
    }
    drop(clients);
    let ended = program.terminated().await;
    let reported = ended.stdout.lines().filter(|line| line.starts_with("Token from the")).count();
    assert!(tokens.len() < 8, "eight sessions had a token each");
    assert_eq!(reported, tokens.len(), "{ended:?}");
}

#[tokio::test]
async fn its_identity_is_renewed_as_often_as_it_is_told_and_no_session_suffers() {
    let (_launcher, socket, _folder) = launcher().await;
    let flags = ["--listen", "127.0.0.1:0", "--socket", &socket, "--identity-lifetime", "1s"];
    let mut program = Program::start(&flags);
    let address = program.ready().await;
    let mut before = Client1::greet(address, false).await;
    let renewed = async {
        while Client1::connect(address).await.bound.spki == before.bound.spki {
            tokio::task::yield_now().await;
        }
    };
    soon("another identity", renewed).await;
    let attestation = before.attestation().await;
    before.ask(PHI, &attestation).await;
    drop(before);
    let ended = program.terminated().await;
    assert!(ended.stderr.contains("the TLS identity is renewed"), "{ended:?}");
}

#[tokio::test]
async fn a_missing_launcher_is_said_at_start_with_what_to_do() {
    let mut program = Program::start(&[
        "--listen",
        "127.0.0.1:0",
        "--socket",
        "/nowhere/teeserver.sock",
        "--log-format",
        "text",
    ]);
    let address = program.ready().await;
    assert_eq!(Client::connect(address).await.closed().await, (1011, "attestation-unavailable".to_owned()));
    let ended = program.terminated().await;
    assert_eq!(ended.code, Some(0));
    for (level, part) in
        [("WARN", "no launcher socket at /nowhere/teeserver.sock"), ("ERROR", "token request failed")]
    {
        let line = ended.stderr.lines().find(|line| line.contains(level) && line.contains(part));
        assert!(line.is_some_and(|line| line.contains("mock-launcher")), "{}", ended.stderr);
    }
}

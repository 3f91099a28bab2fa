//! The program's metrics: what a scraper reads, what is logged where there is none, and the dashboard that shows them.

use std::collections::BTreeSet;
use std::time::Duration;

use crate::common::program::{Program, launcher};
use crate::common::{CANARIES, Client, PHI};
use serde_json::Value;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::time::timeout;
use tokio_tungstenite::tungstenite::Message;

const PATIENCE: Duration = Duration::from_secs(20);

const DASHBOARD: &str = include_str!("../../../docs/grafana/usleep.json");

/// The program with its metrics on a free port, and that port's address.
async fn started(socket: &str, flags: &[&str]) -> (Program, std::net::SocketAddr, String) {
    let usual =
        ["--listen", "127.0.0.1:0", "--socket", socket, "--log-format", "json", "--metrics-listen", "0"];
    let mut program = Program::start(&[&usual, flags].concat());
    let address = program.ready().await;
    let line: Value = serde_json::from_str(&program.line("metrics are served").await).unwrap();
    (program, address, line["address"].as_str().unwrap().to_owned())
}

/// One request, and everything that is answered until the other end closes.
async fn http(address: &str, request: &str) -> String {
    let mut tcp = TcpStream::connect(address).await.unwrap();
    tcp.write_all(request.as_bytes()).await.unwrap();
    let mut answer = String::new();
    tcp.read_to_string(&mut answer).await.unwrap();
    answer
}

async fn scrape(address: &str) -> String {
    http(address, "GET /metrics HTTP/1.1\r\nHost: x\r\n\r\n").await
}

/// The value of a number of this name and these labels.
#[track_caller]
fn value(text: &str, name: &str) -> f64 {
    let line = text.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(' '));
    line.unwrap_or_else(|| panic!("no {name} in {text}")).parse().unwrap()
}

/// Scrapes until the number is what it should come to, and then once more: numbers are read one after the other, so that one
/// that changed before it may have been read too early.
async fn becomes(address: &str, name: &str, wanted: f64) -> String {
    let scraping = async {
        loop {
            let text = scrape(address).await;
            if value(&text, name) == wanted {
                return scrape(address).await;
            }
        }
    };
    timeout(PATIENCE, scraping).await.unwrap_or_else(|_| panic!("{name} never came to {wanted}"))
}

const ANSWERED: &str = "usleep_sessions_total{outcome=\"answered\",wire=\"0\"}";
const RECEIVED: &str = "usleep_received_bytes_total";

#[tokio::test]
async fn a_scraper_reads_what_the_sessions_came_to() {
    let (_launcher, socket, _folder) = launcher().await;
    let (program, address, metrics) = started(&socket, &[]).await;
    becomes(&metrics, "usleep_ready", 1.0).await;
    let mut client = Client::connect(address).await;
    client.token().await;
    client.ask(PHI).await;
    drop(client);
    let text = becomes(&metrics, ANSWERED, 1.0).await;

    let (head, numbers) = text.split_once("\r\n\r\n").unwrap();
    assert!(head.starts_with("HTTP/1.1 200 OK"), "{head}");
    assert!(head.contains("content-type: text/plain; version=0.0.4"), "{head}");
    let wanted = [
        ("usleep_build_info{version=\"0.1.0\"}", 1.0),
        ("usleep_open_connections", 0.0),
        ("usleep_phi_in_flight_bytes", 0.0),
        ("usleep_connections_total{outcome=\"session\"}", 1.0),
        ("usleep_sessions_total{outcome=\"lost\",wire=\"1\"}", 0.0),
        // The session's and that of readiness.
        ("usleep_tokens_total", 2.0),
        ("usleep_launcher_errors_total{kind=\"timeout\"}", 0.0),
        ("usleep_tokens_per_second_limit", 4.0),
        ("usleep_stage_duration_seconds_count{stage=\"token\"}", 1.0),
        ("usleep_stage_duration_seconds_count{stage=\"analysis\"}", 1.0),
        ("usleep_stage_duration_seconds_bucket{stage=\"phi\",le=\"+Inf\"}", 1.0),
        ("usleep_batch_size_count", 0.0),
        (RECEIVED, 16384.0),
        ("usleep_sent_bytes_total", 16384.0),
    ];
    for (name, wanted) in wanted {
        assert_eq!(value(numbers, name), wanted, "{name}");
    }
    assert!(value(numbers, "usleep_last_token_age_seconds") < 60.0);
    for canary in CANARIES {
        assert!(!text.contains(canary), "{canary}");
    }
    assert_eq!(program.terminated().await.code, Some(0));
}

#[tokio::test]
async fn the_bytes_of_a_session_do_not_tell_how_long_its_phi_was() {
    let (_launcher, socket, _folder) = launcher().await;
    let (program, address, metrics) = started(&socket, &["--tokens-per-second", "1000"]).await;
    let mut grown = BTreeSet::new();
    for (sessions, padding) in [(1.0, 0), (2.0, 1), (3.0, 9_000)] {
        let before = value(&scrape(&metrics).await, RECEIVED);
        let mut client = Client::connect(address).await;
        client.token().await;
        client.ask(&format!("{PHI}{}", " ".repeat(padding))).await;
        drop(client);
        let text = becomes(&metrics, ANSWERED, sessions).await;
        grown.insert((value(&text, RECEIVED) - before) as u64);
    }
    assert_eq!(Vec::from_iter(grown), [16 * 1024]);
    drop(program);
}

#[tokio::test]
async fn the_page_is_bounded_and_there_is_no_other() {
    let (_launcher, socket, _folder) = launcher().await;
    let (program, _, metrics) = started(&socket, &[]).await;
    let long = format!("GET /metrics HTTP/1.1\r\nHost: {}\r\n\r\n", "x".repeat(16 * 1024));
    let rows = [
        ("GET / HTTP/1.1\r\nHost: x\r\n\r\n", "HTTP/1.1 404"),
        ("POST /metrics HTTP/1.1\r\nHost: x\r\n\r\n", "HTTP/1.1 405"),
        (long.as_str(), "HTTP/1.1 431"),
    ];
    for (request, status) in rows {
        assert!(http(&metrics, request).await.starts_with(status), "{status}");
    }
    assert!(http(&metrics, "HEAD /metrics HTTP/1.1\r\nHost: x\r\n\r\n").await.ends_with("\r\n\r\n"));
    // Those who say nothing hold every place for a while, and no longer.
    let mut silent = Vec::new();
    for _ in 0..8 {
        silent.push(TcpStream::connect(&metrics).await.unwrap());
    }
    timeout(PATIENCE, scrape(&metrics)).await.unwrap();
    drop(program);
}

#[tokio::test]
async fn where_no_port_can_be_reached_the_log_has_a_line_with_the_same_numbers() {
    let (_launcher, socket, _folder) = launcher().await;
    let flags = ["--listen", "127.0.0.1:0", "--socket", &socket, "--log-format", "json"];
    let mut program = Program::start(&[&flags[..], &["--metrics-log-interval", "50ms"]].concat());
    let mut client = Client::connect(program.ready().await).await;
    client.token().await;
    client.send(Message::binary("{}")).await;
    client.closed().await;
    drop(client);
    let line = program.line("\"usleep_sessions_total_phi_invalid_0\":1").await;
    let line: Value = serde_json::from_str(&line).unwrap();
    assert_eq!((&line["message"], &line["severity"]), (&"metrics".into(), &"INFO".into()));
    assert_eq!(line["metrics"]["usleep_build_info_0_1_0"], 1);
    assert_eq!(line["metrics"]["usleep_stage_duration_seconds_count_token"], 1);
    assert_eq!(program.terminated().await.code, Some(0));

    let mut silent = Program::start(&[&flags[..], &["--metrics-log-interval", "0s"]].concat());
    silent.ready().await;
    silent.line("ready: the launcher gives tokens").await;
    assert!(!silent.terminated().await.stderr.contains("usleep_build_info"));
}

#[tokio::test]
async fn every_number_that_the_dashboard_shows_is_there_to_be_scraped() {
    let (_launcher, socket, _folder) = launcher().await;
    let (program, _, metrics) = started(&socket, &[]).await;
    becomes(&metrics, "usleep_ready", 1.0).await;
    // What has never happened has no status yet: ask for one.
    let text = scrape(&metrics).await;
    let mut families = BTreeSet::from(["usleep_http_responses_total".to_owned()]);
    for line in text.lines().filter_map(|line| line.strip_prefix("# TYPE ")) {
        let (name, kind) = line.split_once(' ').unwrap();
        families.insert(name.to_owned());
        if kind == "histogram" {
            families.extend(["bucket", "sum", "count"].map(|part| format!("{name}_{part}")));
        }
    }
    let dashboard: Value = serde_json::from_str(DASHBOARD).unwrap();
    let mut shown = BTreeSet::new();
    for panel in dashboard["panels"].as_array().unwrap() {
        for target in panel["targets"].as_array().unwrap() {
            shown.extend(names(target["expr"].as_str().unwrap()));
        }
    }
    assert!(shown.len() > 15, "{shown:?}");
    let missing: Vec<_> = shown.difference(&families).collect();
    assert_eq!(missing, [""; 0].iter().collect::<Vec<_>>());
    drop(program);
}

/// The names of metrics in an expression: ours, and the one that every process has.
fn names(expression: &str) -> impl Iterator<Item = String> {
    let words = expression.split(|letter: char| !letter.is_ascii_alphanumeric() && letter != '_');
    words.filter(|word| word.starts_with("usleep_") || word.starts_with("process_")).map(str::to_owned)
}

#[tokio::test]
async fn at_start_it_looks_at_itself_and_says_in_one_line_what_clients_will_see() {
    let (_launcher, socket, folder) = launcher().await;
    let root = folder.path().join("root.pem");
    std::fs::write(&root, mock_launcher::Pki::shared_for_tests().unwrap().root_pem()).unwrap();
    let flags = ["--listen", "127.0.0.1:0", "--socket", &socket, "--log-format", "json"];
    let rows: [(&[&str], &str, &str); 2] = [
        (&["--root", root.to_str().unwrap()], "clients see this, and no rule", "INFO"),
        (&[], "not of the pinned root (a mock?)", "WARNING"),
    ];
    for (root, message, severity) in rows {
        let mut program = Program::start(&[&flags[..], root].concat());
        program.ready().await;
        let line: Value = serde_json::from_str(&program.line(message).await).unwrap();
        assert_eq!(line["severity"], severity, "{line}");
        if severity == "INFO" {
            assert_eq!(line["image_digest"], mock_launcher::MOCK_IMAGE_DIGEST, "{line}");
            assert_eq!((&line["image"], &line["overrides"]), (&"hardened".into(), &"none".into()));
        }
        assert_eq!(program.terminated().await.stderr.matches("clients ").count(), 1);
    }
}

//! Nobody reads what the server writes: its report and its log fill their pipes, and it serves on.

use std::net::SocketAddr;
use std::process::Stdio;

use crate::common::program::{launcher, program};
use crate::common::version_1::Client1;
use crate::common::{Client, PHI, soon};
use rustix::pipe::fcntl_setpipe_size;
use rustix::process::{Pid, Signal, kill_process};
use tokio::io::{AsyncRead, AsyncReadExt as _};
use tokio::process::{Child, Command};

/// What a pipe holds here, in bytes: as little as the system lets it.
const PIPE: usize = 4096;

/// Each writes some hundred bytes to standard error, and every second one some 50 to standard output.
const SESSIONS: usize = 300;

/// A started usleep of which the first line has been read, and nothing else.
async fn unread(socket: &str) -> (Child, SocketAddr) {
    let mut command = Command::new(program());
    command.args([
        "--listen=127.0.0.1:0",
        "--log-format=json",
        "--tokens-per-second=10000",
        "--socket",
        socket,
    ]);
    command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = command.kill_on_drop(true).spawn().unwrap();
    fcntl_setpipe_size(child.stdout.as_ref().unwrap(), PIPE).unwrap();
    fcntl_setpipe_size(child.stderr.as_ref().unwrap(), PIPE).unwrap();
    let mut line = String::new();
    while !line.ends_with('\n') {
        let next = soon("its first line", child.stdout.as_mut().unwrap().read_u8()).await;
        line.push(next.unwrap().into());
    }
    let address = line.trim_end().rsplit(' ').next().unwrap().parse().unwrap();
    (child, address)
}

async fn session(address: SocketAddr, number: usize) {
    if number.is_multiple_of(2) {
        let mut client = Client::connect(address).await;
        client.token().await;
        client.ask(PHI).await;
    } else {
        let mut client = Client1::greet(address, false).await;
        let attestation = client.attestation().await;
        client.ask(PHI, &attestation).await;
    }
}

async fn rest(mut stream: impl AsyncRead + Unpin) -> String {
    let mut text = String::new();
    stream.read_to_string(&mut text).await.unwrap();
    text
}

#[tokio::test]
async fn every_session_is_answered_and_its_lines_are_there_for_who_reads_at_last() {
    let (_launcher, socket, _folder) = launcher().await;
    let (mut child, address) = unread(&socket).await;
    for number in 0..SESSIONS {
        soon(&format!("session {number}"), session(address, number)).await;
    }
    let (stdout, stderr) = (child.stdout.take().unwrap(), child.stderr.take().unwrap());
    kill_process(Pid::from_raw(child.id().unwrap().try_into().unwrap()).unwrap(), Signal::TERM).unwrap();
    let (report, log) = soon("what it has written", async { tokio::join!(rest(stdout), rest(stderr)) }).await;
    assert_eq!(soon("its end", child.wait()).await.unwrap().code(), Some(0));
    assert!(report.len() > PIPE && log.len() > PIPE, "more than the pipes hold");
    assert_eq!(report.lines().filter(|line| line.starts_with("Token from the")).count(), SESSIONS);
    assert_eq!(log.matches("\"answered\"").count(), SESSIONS);
}

#[tokio::test]
async fn it_ends_although_its_last_lines_are_not_read() {
    let (_launcher, socket, _folder) = launcher().await;
    let (mut child, address) = unread(&socket).await;
    for number in 0..SESSIONS {
        soon(&format!("session {number}"), session(address, number)).await;
    }
    kill_process(Pid::from_raw(child.id().unwrap().try_into().unwrap()).unwrap(), Signal::TERM).unwrap();
    assert_eq!(soon("its end", child.wait()).await.unwrap().code(), Some(0));
}

//! The same messages over the same TLS, raw and in the frames of wire version 1, to a receiver that throws them away.
//!
//! Each end has a process of its own with one thread. Raw is what tokio-rustls alone does: `write_all` of each message,
//! read into a buffer of its size in as large pieces as the framed end reads. Neither parses, commits or wipes on purpose;
//! the allocator of both wipes what is freed.

use std::net::{IpAddr, Ipv4Addr};
use std::process::ExitCode;
use std::time::Instant;

use bytes::Bytes;
use rustls_pki_types::ServerName;
use session::framing::{READ_BUFFER, Receiver, Sender};
use session::{Identity, Limits, tls};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::runtime::{Builder, Runtime};
use tokio_rustls::{TlsAcceptor, TlsConnector, client, server};

use crate::process::{Process, run_seconds};

/// Argument that makes the executable a receiver.
const RECEIVER: &str = "--play-receiver";

const LOOPBACK: IpAddr = IpAddr::V4(Ipv4Addr::LOCALHOST);

/// Sent before the clock starts, in bytes: buffers have grown then.
const WARM_UP: usize = 4 << 20;

/// How messages cross.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Way {
    /// As they are.
    Raw,
    /// In frames.
    Framed,
}

/// What crosses.
#[derive(Clone, Copy, Debug)]
pub struct Messages {
    /// Length of each in bytes.
    pub size: usize,
    /// How many they are.
    pub count: usize,
    /// Length of the answer to each in bytes, which is awaited after the next has been sent; `None`: only the last is
    /// answered, and briefly.
    pub answer: Option<usize>,
}

/// What some messages cost.
#[derive(Clone, Copy, Debug)]
pub struct Spent {
    /// From the first byte to the last answer, in seconds.
    pub seconds: f64,
    /// Processor time of both ends, in seconds.
    pub processor: f64,
}

/// Plays the receiver if the command line asks for it.
pub fn play() -> Option<ExitCode> {
    if std::env::args().nth(1)? != RECEIVER {
        return None;
    }
    runtime().block_on(async {
        let listener = TcpListener::bind((LOOPBACK, 0)).await.unwrap();
        let acceptor = TlsAcceptor::from(tls::server_config(Identity::generate().unwrap()).unwrap());
        println!("{}", listener.local_addr().unwrap().port());
        loop {
            let (tcp, _) = listener.accept().await.unwrap();
            tcp.set_nodelay(true).unwrap();
            let mut tls = acceptor.accept(tcp).await.unwrap();
            tls.get_mut().1.set_buffer_limit(Some(tls::WRITE_BUFFER));
            let (way, messages) = agree(&mut tls).await;
            match way {
                Way::Raw => receive_raw(tls, messages).await,
                Way::Framed => receive_framed(tls, messages).await,
            }
        }
    })
}

/// What is to come.
async fn agree(tls: &mut server::TlsStream<TcpStream>) -> (Way, Messages) {
    let way = if tls.read_u8().await.unwrap() == 0 { Way::Raw } else { Way::Framed };
    let mut numbers = [0; 3];
    for number in &mut numbers {
        *number = tls.read_u32().await.unwrap() as usize;
    }
    let [size, count, answer] = numbers;
    (way, Messages { size, count, answer: (answer > 0).then_some(answer) })
}

impl Messages {
    /// The answer to message `number`, from 1.
    fn answer(&self, number: usize) -> Option<String> {
        let last = number == self.warm_up() || number == self.warm_up() + self.count;
        self.answer.or(last.then_some(1)).map(|length| "a".repeat(length))
    }

    /// How many are sent before the clock starts.
    fn warm_up(&self) -> usize {
        (WARM_UP / self.size).max(2)
    }
}

async fn receive_raw(mut tls: server::TlsStream<TcpStream>, messages: Messages) {
    let mut message = vec![0; messages.size];
    for number in 1..=messages.warm_up() + messages.count {
        for piece in message.chunks_mut(READ_BUFFER) {
            tls.read_exact(piece).await.unwrap();
        }
        if let Some(answer) = messages.answer(number) {
            tls.write_all(answer.as_bytes()).await.unwrap();
            tls.flush().await.unwrap();
        }
    }
}

async fn receive_framed(tls: server::TlsStream<TcpStream>, messages: Messages) {
    let mut receiver = Receiver::over(tls, Limits::default(), LOOPBACK).await;
    for number in 1..=messages.warm_up() + messages.count {
        assert_eq!(receiver.receive().await.unwrap(), messages.size);
        if let Some(answer) = messages.answer(number) {
            receiver.answer(&answer).await.unwrap();
        }
    }
}

/// The two ends.
pub struct Ends {
    receiver: Process,
    port: u16,
    runtime: Runtime,
}

impl Ends {
    /// Starts the receiver; this thread is the sender.
    pub fn start() -> Self {
        let mut receiver = Process::start(RECEIVER, &[]);
        let port = receiver.line().parse().unwrap();
        Self { receiver, port, runtime: runtime() }
    }

    /// Sends these messages over a new connection.
    pub fn send(&self, way: Way, messages: Messages) -> Spent {
        self.runtime.block_on(async {
            let mut tls = self.connect().await;
            tls.write_u8(way as u8).await.unwrap();
            for number in [messages.size, messages.count, messages.answer.unwrap_or(0)] {
                tls.write_u32(number.try_into().unwrap()).await.unwrap();
            }
            let message = Bytes::from((0..messages.size).map(|at| at as u8).collect::<Vec<u8>>());
            match way {
                Way::Raw => {
                    raw(&mut tls, &message, &messages, messages.warm_up()).await;
                    let clock = Clock::start(&self.receiver);
                    raw(&mut tls, &message, &messages, messages.count).await;
                    clock.stop()
                }
                Way::Framed => {
                    let mut sender = Sender::over(tls, Limits::default()).await;
                    framed(&mut sender, &message, &messages, messages.warm_up()).await;
                    let clock = Clock::start(&self.receiver);
                    framed(&mut sender, &message, &messages, messages.count).await;
                    clock.stop()
                }
            }
        })
    }

    async fn connect(&self) -> client::TlsStream<TcpStream> {
        let tcp = TcpStream::connect((LOOPBACK, self.port)).await.unwrap();
        tcp.set_nodelay(true).unwrap();
        let connector = TlsConnector::from(tls::client_config().unwrap());
        let mut tls = connector.connect(ServerName::IpAddress(LOOPBACK.into()), tcp).await.unwrap();
        tls.get_mut().1.set_buffer_limit(Some(tls::WRITE_BUFFER));
        tls
    }
}

async fn raw(tls: &mut client::TlsStream<TcpStream>, message: &[u8], messages: &Messages, count: usize) {
    let mut answer = vec![0; messages.answer.unwrap_or(1)];
    for number in 0..count {
        tls.write_all(message).await.unwrap();
        tls.flush().await.unwrap();
        if messages.answer.is_some() && number > 0 {
            tls.read_exact(&mut answer).await.unwrap();
        }
    }
    tls.read_exact(&mut answer).await.unwrap();
}

async fn framed(
    sender: &mut Sender<client::TlsStream<TcpStream>>,
    message: &Bytes,
    messages: &Messages,
    count: usize,
) {
    for number in 0..count {
        if messages.answer.is_some() && number > 0 {
            sender.send_ahead(message.clone()).await.unwrap();
        } else {
            sender.send(message.clone()).await.unwrap();
        }
    }
    sender.result().await.unwrap();
}

struct Clock<'a> {
    receiver: &'a Process,
    processor: f64,
    started: Instant,
}

impl<'a> Clock<'a> {
    fn start(receiver: &'a Process) -> Self {
        Self { receiver, processor: processor(receiver), started: Instant::now() }
    }

    fn stop(self) -> Spent {
        let seconds = self.started.elapsed().as_secs_f64();
        Spent { seconds, processor: processor(self.receiver) - self.processor }
    }
}

fn processor(receiver: &Process) -> f64 {
    run_seconds("self") + run_seconds(&receiver.id().to_string())
}

fn runtime() -> Runtime {
    Builder::new_current_thread().enable_all().build().unwrap()
}

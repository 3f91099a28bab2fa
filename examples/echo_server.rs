//! Your own attested workload: it answers each text with the same in upper case.
//!
//! ```text
//! mock-launcher --socket /tmp/teeserver.sock --pki-dir /tmp/mock-pki &
//! cargo run -p examples --bin echo_server -- /tmp/teeserver.sock 127.0.0.1:8082
//! ```
//!
//! In a Confidential Space VM the socket is `/run/container_launcher/teeserver.sock`.

use std::error::Error;
use std::sync::Arc;
use std::time::Duration;

use attestation::Phi;
use launcher::{DeskOptions, Launcher, TokenDesk};
use session::server::{About, PhiInvalid, Reply};
use session::{Identity, Limits, Server, Workload};
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;
use zeroize::Zeroizing;

/// How long sessions may go on once the server is told to end.
const DRAIN: Duration = Duration::from_secs(10);

/// What the server does with what it is given. This is the part to replace.
struct Echo;

impl Workload for Echo {
    fn answer(&self, phi: &Phi) -> Result<Reply, PhiInvalid> {
        // The reason goes to the log: say what is wrong, quote nothing.
        let text = std::str::from_utf8(phi.expose()).map_err(|_| PhiInvalid("wanted UTF-8".to_owned()))?;
        Ok(Reply::new(Zeroizing::new(text.to_uppercase())))
    }

    /// What the receipt of each session says of the server.
    fn about(&self) -> About {
        About { rules: "upper case".to_owned(), program: "echo_server 1".to_owned() }
    }
}

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [socket, address] = arguments.as_slice() else {
        return Err("wanted two arguments: the launcher's socket, and the address to listen on".into());
    };

    // Tokens come from the launcher, are made for the audience "echo", and are bound to each session; sessions that
    // come at the same moment share one.
    let desk = TokenDesk::new(Arc::new(Launcher::new(socket)), DeskOptions::default());
    let server = Server::new(Identity::generate()?, desk, "echo", Echo, Limits::default())?;
    let listener = TcpListener::bind(address).await?;
    println!("listening on {}", listener.local_addr()?);

    let shutdown = CancellationToken::new();
    let interrupted = shutdown.clone();
    tokio::spawn(async move {
        let _ = tokio::signal::ctrl_c().await;
        interrupted.cancel();
    });
    server.serve(listener, shutdown, DRAIN).await;
    Ok(())
}

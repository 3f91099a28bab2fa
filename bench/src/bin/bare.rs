//! The yardstick as programs of their own, with the system's allocator: `bare serve SOCKET` or `bare serve SOCKET keep`, and
//! `bare load PORT CLIENTS WARM_UP WINDOW`, times in milliseconds.
//!
//! The server prints its port. The clients wait for a line and come; they print a line when the measured window begins and one
//! when it ends, wait for a line after each, and print how many sessions there were in it and of how long a time in seconds.
//! So again and again, until there are no more lines.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use std::io::BufRead;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use bench::bare::{self, Owner};
use bench::clients::{self, Load, NIGHT};
use bench::process::raise_open_files;
use rustls_pki_types::CertificateDer;
use rustls_pki_types::pem::PemObject as _;
use session::Wire;
use tokio::net::TcpListener;

fn main() {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
    raise_open_files();
    match arguments[..] {
        ["serve", socket] => serve(Path::new(socket), false),
        ["serve", socket, "keep"] => serve(Path::new(socket), true),
        ["load", port, clients, warm_up, window] => load(&Load {
            port: port.parse().unwrap(),
            wire: Wire::V0,
            clients: clients.parse().unwrap(),
            warm_up: Duration::from_millis(warm_up.parse().unwrap()),
            window: Duration::from_millis(window.parse().unwrap()),
        }),
        _ => panic!("wanted: serve SOCKET, serve SOCKET keep, or load PORT CLIENTS WARM_UP WINDOW"),
    }
}

fn serve(socket: &Path, keep: bool) {
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().unwrap();
    runtime.block_on(async {
        let listener = TcpListener::bind("0.0.0.0:0").await.unwrap();
        println!("{}", listener.local_addr().unwrap().port());
        bare::serve(listener, socket.into(), keep).await.unwrap();
    });
}

fn load(load: &Load) {
    let root = CertificateDer::from_pem_file(bench::roles::root()).unwrap();
    let owner = Arc::new(Owner::new(&root).unwrap());
    let night = std::str::from_utf8(NIGHT).unwrap().trim_ascii_end();
    let session = move |address| {
        let owner = Arc::clone(&owner);
        async move { bare::session(&owner, address, night).await.map_err(|error| error.to_string()) }
    };
    let line = || std::io::stdin().lock().read_line(&mut String::new()).unwrap();
    let mark = || {
        println!("mark");
        line();
    };
    while line() > 0 {
        let (measured, (), ()) = clients::run_sessions(load, session.clone(), mark);
        let failed: u64 = measured.failed.values().sum();
        println!("{} {} {failed}", measured.latencies.len(), measured.seconds);
        for (reason, count) in measured.failed {
            eprintln!("    {count} failed: {reason}");
        }
    }
}

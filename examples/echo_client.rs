//! Your own data owner: it sends a text only to a workload that proves to be the approved one.
//!
//! ```text
//! cargo run -p examples --bin echo_client -- 127.0.0.1:8082 /tmp/mock-pki/root.pem "hello"
//! ```
//!
//! Against a Confidential Space VM the anchors are `Anchors::google()`.

use std::error::Error;

use attestation::{Anchors, Expectation, Phi, Verifier};
use policy::{Baseline, Policy, PolicySource};
use rustls_pki_types::UnixTime;
use session::{ConnectOptions, Endpoint};
use zeroize::Zeroizing;

/// Whom the token must be made for: ourselves.
const AUDIENCE: &str = "echo";

/// Which workloads are approved: the mock launcher's made-up one. Put the digest of your own image there.
const BASELINE: &str = include_str!("baseline.json");

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [address, root, text] = arguments.as_slice() else {
        return Err("wanted three arguments: the server's address, a root certificate in PEM, a text".into());
    };
    // What can be wrong on our side is found before anybody is asked.
    let verifier = Verifier::new(Anchors::from_pem(&std::fs::read(root)?)?, Expectation::default());
    let policy = Policy::compile(PolicySource::Default, Baseline::parse(BASELINE)?)?;
    let phi = Phi::new(Zeroizing::new(text.clone().into_bytes()))?;

    // 1. TLS 1.3 and a websocket, to somebody who has proven nothing yet.
    let endpoint: Endpoint = address.parse()?;
    let connected = session::connect(&endpoint, &ConnectOptions::default()).await?;
    // 2. The token: authentic and valid now?
    let presented = connected.receive_token().await?;
    let now = UnixTime::now();
    let attested = match presented.attest(&verifier, now) {
        Ok(attested) => attested,
        Err(unproven) => {
            let reason = unproven.error.to_string();
            unproven.close().await;
            return Err(format!("nothing was sent: {reason}").into());
        }
    };
    // 3. For this very session and for us, and an approved workload?
    let approved = match attested.decide(&policy, AUDIENCE, now) {
        Ok(approved) => approved,
        Err(denied) => {
            let explained = denied.decision.explain();
            for rule in explained.iter().filter(|rule| rule.outcome.ok() == Some(false)) {
                let found: Vec<String> = rule.found.iter().map(|read| read.value.to_string()).collect();
                let wanted: Vec<String> = rule.wanted.iter().map(|read| read.value.to_string()).collect();
                eprintln!("{}: wanted {}, got {}", rule.name, wanted.join(" and "), found.join(" and "));
            }
            denied.close().await;
            return Err("nothing was sent: the workload is not approved".into());
        }
    };
    // 4. Only an approved session has this method.
    let answer = approved.release(phi).await?.result().await?;
    println!("{}", attestation::printable(answer.expose()));
    Ok(())
}

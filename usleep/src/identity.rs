//! The TLS identity is renewed while the server serves: a key that is read out of a process is worth no more than its
//! lifetime.

use std::time::Duration;

use hardening::wiping_stack;
use session::Identity;
use session::server::CurrentIdentity;
use tracing::{error, info};

/// The next try after one that failed, unless the lifetime is shorter.
const RETRY: Duration = Duration::from_secs(60);

/// Makes a new identity after each `lifetime`, until it is dropped. Connections keep the one that they began with.
pub async fn renew_often(current: CurrentIdentity, lifetime: Duration) {
    let mut pause = lifetime;
    loop {
        tokio::time::sleep(pause).await;
        pause = match renew(&current) {
            Ok(()) => {
                info!("the TLS identity is renewed");
                lifetime
            }
            Err(error) => {
                error!(next = "start the server again if this goes on", "the TLS identity stays: {error}");
                RETRY.min(lifetime)
            }
        };
    }
}

fn renew(current: &CurrentIdentity) -> Result<(), Box<dyn std::error::Error>> {
    wiping_stack(|| Ok(current.renew(Identity::generate()?)?))
}

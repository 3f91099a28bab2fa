// An open connection proves nothing.

async fn release(connected: session::client::Connected, phi: attestation::Phi) {
    let _ = connected.release(phi).await;
}

fn main() {}

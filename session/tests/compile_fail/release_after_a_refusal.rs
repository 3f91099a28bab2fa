// A connection that was refused has no way to send, nor back to one that has.

async fn unproven(unproven: session::client::Unproven, phi: attestation::Phi) {
    let _ = unproven.release(phi).await;
}

async fn denied(denied: session::client::Denied, phi: attestation::Phi) {
    let _ = denied.release(phi).await;
}

fn main() {}

// An authentic token is not enough: only an approved connection releases.

async fn release(attested: session::client::Attested, phi: attestation::Phi) {
    let _ = attested.release(phi).await;
}

fn main() {}

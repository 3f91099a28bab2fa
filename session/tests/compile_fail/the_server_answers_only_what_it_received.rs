// At the other end too: PHI is received only by a session that has shown its token.

use session::server::{Attested, Connected};
use tokio_util::sync::CancellationToken;

async fn before_the_token(connected: Connected, closing: &CancellationToken) {
    let _ = connected.receive(closing).await;
}

async fn before_admission(attested: Attested, closing: &CancellationToken) {
    let _ = attested.receive(closing).await;
}

fn main() {}

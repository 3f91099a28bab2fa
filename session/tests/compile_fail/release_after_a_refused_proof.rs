// A client that the server has refused is not admitted, and a proof that could not be given leaves nothing to release
// over.

use attestation::Phi;
use session::client::ProveError;
use session::server::RefusedClient;
use tokio_util::sync::CancellationToken;

async fn refused(client: RefusedClient, closing: &CancellationToken) {
    let _ = client.receive(closing).await;
}

async fn not_given(error: ProveError, phi: Phi) {
    let _ = error.release(phi).await;
}

fn main() {}

// Where the client has to prove itself, PHI is received only once its proof has been approved.

use session::server::{Admitted, AwaitingClient, PresentedClient};
use tokio_util::sync::CancellationToken;

async fn before_its_proof(client: AwaitingClient, closing: &CancellationToken) {
    let _ = client.receive(closing).await;
}

async fn before_the_decision(client: PresentedClient, closing: &CancellationToken) {
    let _ = client.receive(closing).await;
}

fn without_a_proof(client: AwaitingClient) -> Admitted {
    client.admit()
}

fn without_a_decision(client: PresentedClient) -> Admitted {
    client.admit()
}

fn main() {}

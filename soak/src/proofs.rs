//! How owners prove themselves, rightly and wrongly. Their launcher is this process: no scene is about it.

use std::sync::Arc;
use std::time::{SystemTime, UNIX_EPOCH};

use attestation::Token;
use launcher::{TokenFuture, TokenRequest, TokenSource};
use mock_launcher::claims::{UWEAR_CLAIMS, default_claims, merge};
use mock_launcher::time::OffsetDateTime;
use mock_launcher::{Mint, Pki};
use serde_json::{Value, json};

/// What is wrong with a proof; a USleep may accept none of these.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Wrong {
    /// Its operator is not one that USleep's client policy allows.
    Operator,
    /// It is for another session.
    Session,
    /// It is made for somebody else, as a USleep's own token is that is sent back to it.
    Audience,
    /// Its root is another.
    Root,
    /// It is of a debug image.
    DebugImage,
    /// Its time is over.
    Expired,
}

impl Wrong {
    /// All of them.
    pub const ALL: [Self; 6] =
        [Self::Operator, Self::Session, Self::Audience, Self::Root, Self::DebugImage, Self::Expired];
}

/// The owners' launchers.
pub struct Proofs {
    ours: Mint,
    foreign: Mint,
}

/// A launcher whose tokens all have the same fault, or none.
pub struct Prover {
    proofs: Arc<Proofs>,
    wrong: Option<Wrong>,
}

impl Proofs {
    /// Of these keys, and of a root beside them.
    pub fn new(pki: &Pki) -> Arc<Self> {
        let foreign = pki.foreign_chain(OffsetDateTime::now_utc()).unwrap();
        Arc::new(Self { ours: Mint::pki(pki).unwrap(), foreign: Mint::chain(&foreign).unwrap() })
    }

    /// A launcher of right proofs, or of wrong ones.
    pub fn prover(self: &Arc<Self>, wrong: Option<Wrong>) -> Prover {
        Prover { proofs: Arc::clone(self), wrong }
    }
}

impl Prover {
    fn mint(&self, request: &TokenRequest) -> String {
        let now = i64::try_from(SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_secs()).unwrap();
        let mut claims = default_claims(request.audience(), &[request.nonce().to_owned()], now);
        let identity: Value = serde_json::from_str(UWEAR_CLAIMS).unwrap();
        if self.wrong != Some(Wrong::Operator) {
            merge(&mut claims, &identity);
        }
        let patch = match self.wrong {
            Some(Wrong::Session) => json!({"eat_nonce": "A".repeat(request.nonce().len())}),
            Some(Wrong::Audience) => json!({"aud": "uwear"}),
            Some(Wrong::DebugImage) => json!({"dbgstat": "enabled"}),
            Some(Wrong::Expired) => json!({"iat": now - 7200, "nbf": now - 7200, "exp": now - 3600}),
            None | Some(Wrong::Operator | Wrong::Root) => json!({}),
        };
        merge(&mut claims, &patch);
        let mint = if self.wrong == Some(Wrong::Root) { &self.proofs.foreign } else { &self.proofs.ours };
        mint.token(&claims).unwrap()
    }
}

impl TokenSource for Prover {
    fn token<'a>(&'a self, request: &'a TokenRequest) -> TokenFuture<'a> {
        Box::pin(async move { Ok(Token::new(self.mint(request)).unwrap()) })
    }
}

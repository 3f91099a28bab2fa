//! From an open websocket to a client that has been shown a token.

use std::sync::Arc;
use std::time::Duration;

use attestation::v1::{Attestation, Hello, HelloNonce, MessageError, SessionBinding};
use attestation::{Nonce, Role, Token};
use bytes::Bytes;
use launcher::{Share, TokenDesk, TokenRequest};
use tokio::time::timeout;
use tokio_tungstenite::tungstenite::{Message, Utf8Bytes};
use tokio_util::sync::CancellationToken;

use super::client_proof::{AwaitingClient, ClientAttestation};
use super::error::{NoToken, SessionError};
use super::observer::{Observer, Stage, Stopwatch};
use super::receipts::Receipts;
use super::responder::Admitted;
use crate::close::Close;
use crate::corked::ServerTls;
use crate::identity::ReceiptKey;
use crate::limits::Limits;
use crate::link::{Deadline, Link, LinkError};

/// How much later than [`Limits::launcher`] a session gives up by itself: a desk of the same deadline is heard first, since
/// it knows why there is no token.
const DESK_FIRST: Duration = Duration::from_millis(500);

pub(super) type ServerLink = Link<ServerTls>;

/// A client has opened a websocket over TLS 1.3.
pub struct Connected {
    link: ServerLink,
    binding: Binding,
    limits: Limits,
}

/// What the proof of a session is bound to.
pub(super) enum Binding {
    V0(Nonce),
    V1 { binding: SessionBinding, key: ReceiptKey },
}

/// The client has been sent a token made for this very session.
pub enum Attested {
    /// It may send PHI without a proof of its own.
    AnyClient(AnyClient),
    /// It has to prove itself first.
    Mutual(AwaitingClient),
}

/// A client that need not prove itself: it is the one who has something to lose.
pub struct AnyClient {
    link: ServerLink,
    limits: Limits,
    receipts: Option<Box<Receipts>>,
}

/// What a server proves itself with, and whether its clients have to.
pub struct Attester {
    /// Where tokens come from.
    pub desk: TokenDesk,
    /// Whom they are made for.
    pub audience: String,
    /// Whether clients prove themselves too.
    pub clients: ClientAttestation,
    /// Is told how long the stages take.
    pub observer: Arc<dyn Observer>,
}

impl Connected {
    pub(super) fn new(link: ServerLink, binding: Binding, limits: Limits) -> Self {
        Self { link, binding, limits }
    }

    /// The version of the wire.
    pub fn wire(&self) -> u8 {
        match self.binding {
            Binding::V0(_) => 0,
            Binding::V1 { .. } => 1,
        }
    }

    /// Asks for a token for this session and sends it; in wire version 1 hears the client's hello first. The token is
    /// returned too, to be named in a log.
    ///
    /// # Errors
    /// [`SessionError`]; the client has been told by a close code.
    pub async fn attest(
        self,
        attester: &Attester,
        closing: &CancellationToken,
    ) -> Result<(Attested, Arc<Token>), SessionError> {
        let Self { link, binding, limits } = self;
        match binding {
            Binding::V0(nonce) => attest_0(link, limits, &nonce, attester, closing).await,
            Binding::V1 { binding, key } => {
                let stopwatch = Stopwatch::start(Stage::Hello);
                let (link, hello) = hear(link, attester, &limits, closing).await?;
                stopwatch.passed(&*attester.observer);
                attest_1(link, limits, Greeted { binding, key, hello }, attester, closing).await
            }
        }
    }
}

async fn attest_0(
    link: ServerLink,
    limits: Limits,
    nonce: &Nonce,
    attester: &Attester,
    closing: &CancellationToken,
) -> Result<(Attested, Arc<Token>), SessionError> {
    // The upgrade turns version 0 away where clients have to prove themselves. Should it ever let one in, it ends here.
    if matches!(attester.clients, ClientAttestation::Required(_)) {
        let close = Close::ClientAttestationRequired;
        return Err(end(link, close, SessionError::ClientAttestationRequired).await);
    }
    let asked = async {
        let request = TokenRequest::pki(attester.audience.as_str(), nonce.as_str())?;
        Ok(attester.desk.token(request).await?)
    };
    let stopwatch = Stopwatch::start(Stage::Token);
    let (mut link, token) = obtain(link, &limits, closing, asked).await?;
    stopwatch.passed(&*attester.observer);
    show(&mut link, Message::Text(shared(&token)), &limits).await?;
    Ok((Attested::AnyClient(AnyClient { link, limits, receipts: None }), Arc::new(token)))
}

/// A session of version 1 whose hello has been heard.
struct Greeted {
    binding: SessionBinding,
    key: ReceiptKey,
    hello: Hello,
}

async fn attest_1(
    link: ServerLink,
    limits: Limits,
    Greeted { binding, key, hello }: Greeted,
    attester: &Attester,
    closing: &CancellationToken,
) -> Result<(Attested, Arc<Token>), SessionError> {
    let server_nonce = match HelloNonce::random() {
        Ok(nonce) => nonce,
        Err(error) => return Err(no_token(link, error.into()).await),
    };
    let transcript = binding.transcript(Role::Server, &hello.client_nonce, &server_nonce);
    let asked = async { Ok(attester.desk.share(&attester.audience, transcript.leaf()).await?) };
    let stopwatch = Stopwatch::start(Stage::Token);
    let (mut link, Share { token, proof, .. }) = obtain(link, &limits, closing, asked).await?;
    stopwatch.passed(&*attester.observer);
    let judge = attester.clients.judge_of(&hello);
    let attest = judge.is_some();
    let message = Attestation { server_nonce, token: Token::clone(&token), proof, attest };
    show(&mut link, Message::text(message.to_json()), &limits).await?;

    let receipts = Receipts::new(key, transcript.sha256(), token.digest());
    let attested = match judge {
        None => Attested::AnyClient(AnyClient { link, limits, receipts: Some(receipts) }),
        Some(judge) => {
            let transcript = binding.transcript(Role::Client, &hello.client_nonce, &server_nonce);
            Attested::Mutual(AwaitingClient::new(link, limits, receipts, judge, transcript.leaf()))
        }
    };
    Ok((attested, token))
}

/// The client's hello. Who has to prove themselves and do not offer to are turned away before they cost a token.
async fn hear(
    mut link: ServerLink,
    attester: &Attester,
    limits: &Limits,
    closing: &CancellationToken,
) -> Result<(ServerLink, Hello), SessionError> {
    let deadline = Deadline::after(limits.hello);
    let received = tokio::select! {
        () = closing.cancelled() => None,
        received = link.receive_at_most(limits.hello_bytes, deadline) => Some(received),
    };
    let (close, error) = match received {
        None => (Close::Draining, SessionError::Draining),
        Some(Ok(Message::Text(text))) => match Hello::parse(text.as_str()) {
            Ok(hello) if attester.clients.admits(&hello) => return Ok((link, hello)),
            Ok(_) => (Close::ClientAttestationRequired, SessionError::ClientAttestationRequired),
            Err(error @ MessageError::Version { .. }) => (Close::Version, SessionError::Hello(error)),
            Err(error) => (Close::Hello, SessionError::Hello(error)),
        },
        Some(Ok(_)) => {
            let wrong = LinkError::WrongType { wanted: "a hello as text", got: "binary" };
            (Close::Type, SessionError::Link(wrong))
        }
        Some(Err(error)) => (error.close(), SessionError::Link(error)),
    };
    Err(end(link, close, error).await)
}

/// Waits for what the launcher is asked for. A client that leaves meanwhile, or speaks out of turn, gives its place up
/// to others.
async fn obtain<T>(
    mut link: ServerLink,
    limits: &Limits,
    closing: &CancellationToken,
    asked: impl Future<Output = Result<T, NoToken>>,
) -> Result<(ServerLink, T), SessionError> {
    let waited = limits.launcher;
    let patience = waited.saturating_add(DESK_FIRST);
    let obtained = tokio::select! {
        () = closing.cancelled() => None,
        obtained = timeout(patience, asked) => Some(obtained.unwrap_or(Err(NoToken::Timeout { waited }))),
        left = link.receive(Deadline::after(patience.saturating_mul(2))) => {
            let (close, error) = match left {
                Ok(_) => (Close::Type, LinkError::WrongType { wanted: "silence", got: "a message" }),
                Err(error) => (Close::Done, error),
            };
            return Err(end(link, close, SessionError::Link(error)).await);
        }
    };
    match obtained {
        None => Err(end(link, Close::Draining, SessionError::Draining).await),
        Some(Err(error)) => Err(no_token(link, error).await),
        Some(Ok(obtained)) => Ok((link, obtained)),
    }
}

/// The token's text as a message has it, without a copy of its own.
fn shared(token: &Token) -> Utf8Bytes {
    Utf8Bytes::try_from(Bytes::from_owner(token.clone())).unwrap_or_else(|_| token.as_str().into())
}

async fn show(link: &mut ServerLink, message: Message, limits: &Limits) -> Result<(), SessionError> {
    link.send(message, Deadline::after(limits.phi_first_byte)).await.map_err(SessionError::Link)
}

async fn no_token(link: ServerLink, error: NoToken) -> SessionError {
    end(link, error.close(), SessionError::Token(error)).await
}

impl AnyClient {
    /// Lets it send PHI.
    pub fn admit(self) -> Admitted {
        Admitted::new(self.link, self.limits, self.receipts)
    }
}

/// Tells the client why, as far as it may learn it, and ends the connection.
pub(super) async fn end(link: ServerLink, close: Close, error: SessionError) -> SessionError {
    link.close(close).await;
    error
}

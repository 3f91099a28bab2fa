//! An approved session: it may prove itself in turn, and it alone can send PHI.

use std::time::Duration;

use attestation::v1::{
    COMMITMENT_KEY_BYTES, ClientAttestation, Commitment, CommitmentKey, InclusionProof, ProofError,
    RandomError,
};
use attestation::{Phi, Role, Token, VerifiedToken};
use bytes::Bytes;
use launcher::{LauncherError, RequestError, TokenRequest, TokenSource};
use policy::Decision;
use rustls::pki_types::UnixTime;
use tokio::time::timeout;
use tokio_tungstenite::tungstenite::Message;
use zeroize::Zeroizing;

use super::released::{Released, ToBeReceipted};
use super::stages::{ClientLink, Presented, Version1};
use super::streaming::Streaming;
use crate::close::Close;
use crate::limits::Limits;
use crate::link::{Deadline, LinkError};

/// A connection whose peer is approved: its token is authentic, made for this very TLS session and for this
/// audience, and the policy allows it.
pub struct Approved {
    presented: Presented,
    token: VerifiedToken,
    /// Holds the allowance that the release consumes.
    decision: Decision,
    approved_at: UnixTime,
    /// What [`Approved::commit`] has been given.
    committed: Option<(CommitmentKey, Commitment)>,
}

/// Why the client's own proof was not given. Nothing was sent but the handshake; the connection is closed by then.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ProveError {
    /// The server has not asked for one, or has been given one.
    #[error("the server wants no proof of ours")]
    NotWanted,
    /// Our launcher gave no token.
    #[error(transparent)]
    Launcher(#[from] LauncherError),
    /// Our launcher took longer than the server waits.
    #[error("no token of our own within {waited:?}")]
    Timeout {
        /// [`Limits::launcher`](crate::Limits::launcher).
        waited: Duration,
    },
    /// It cannot be asked for.
    #[error(transparent)]
    Request(#[from] RequestError),
    /// A batch of one has no proof.
    #[error(transparent)]
    Proof(#[from] ProofError),
    /// The server was gone, or too slow to take it.
    #[error(transparent)]
    Link(LinkError),
}

/// Why the PHI was not sent, or not all of it.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ReleaseError {
    /// The decision holds no allowance. Nothing was sent.
    #[error("nothing was sent: the decision does not allow it")]
    NotAllowed,
    /// The server wants a proof of the client, which [`Approved::prove`] gives. Nothing was sent.
    #[error("nothing was sent: the server wants a proof of this end first")]
    ProofWanted,
    /// No random bytes for the commitment key. Nothing was sent.
    #[error("nothing was sent: {0}")]
    Random(#[from] RandomError),
    /// The PHI ends with a line feed, which opens a stream in wire version 1 ([`Approved::release_stream`]). Nothing was
    /// sent.
    #[error("nothing was sent: wanted a document without a line feed at its end, which opens a stream")]
    OpensStream,
    /// It is no stream. Nothing was sent.
    #[error("nothing was sent: a stream wants wire version 1, and messages that end with a line feed")]
    NoStream,
    /// This is not the PHI that was committed to. Nothing was sent.
    #[error("nothing was sent: wanted the PHI that was committed to, got another")]
    OtherPhi,
    /// The peer was gone before the first byte: nothing was handed to TLS.
    #[error("nothing was sent: {0}")]
    NotBegun(LinkError),
    /// Some of it may have been sent.
    #[error("the PHI was sent in part at most: {0}")]
    Interrupted(LinkError),
}

impl Approved {
    pub(super) fn new(
        presented: Presented,
        token: VerifiedToken,
        decision: Decision,
        approved_at: UnixTime,
    ) -> Self {
        Self { presented, token, decision, approved_at, committed: None }
    }

    /// What was decided.
    pub fn decision(&self) -> &Decision {
        &self.decision
    }

    /// The token that it was decided on.
    pub fn token(&self) -> &VerifiedToken {
        &self.token
    }

    /// Whether the server wants a proof of the client that it has not been given: [`Approved::release`] refuses until
    /// [`Approved::prove`] has given it.
    pub fn proof_wanted(&self) -> bool {
        self.presented.version_1.as_ref().is_some_and(|version_1| version_1.proof_wanted)
    }

    /// Takes a token for this session and this end from our own launcher, made for `audience`, and sends it. Whether the
    /// server accepts it shows in what it does next.
    ///
    /// # Errors
    /// [`ProveError`]; the connection is closed by then.
    pub async fn prove(mut self, source: &dyn TokenSource, audience: &str) -> Result<Self, ProveError> {
        let deadline = Deadline::after(self.presented.limits.mutual);
        let proof = match self.own_attestation(source, audience).await {
            Ok(proof) => proof,
            Err(error) => return Err(self.give_up(error).await),
        };
        if let Err(error) = self.presented.link.send(Message::text(proof.to_json()), deadline).await {
            return Err(self.give_up(ProveError::Link(error)).await);
        }
        if let Some(version_1) = &mut self.presented.version_1 {
            version_1.proof_wanted = false;
        }
        Ok(self)
    }

    async fn own_attestation(
        &self,
        source: &dyn TokenSource,
        audience: &str,
    ) -> Result<ClientAttestation, ProveError> {
        let version_1 = self.presented.version_1.as_ref().filter(|version_1| version_1.proof_wanted);
        let (request, proof) = version_1.ok_or(ProveError::NotWanted)?.own_request(audience)?;
        let waited = self.presented.limits.launcher;
        let token = timeout(waited, source.token(&request)).await;
        let token = token.map_err(|_| ProveError::Timeout { waited })??;
        Ok(ClientAttestation { token, proof })
    }

    async fn give_up(self, error: ProveError) -> ProveError {
        self.presented.link.close(Close::Done).await;
        error
    }

    /// Commits to the PHI before it is sent, for whoever writes down first what is going to leave: from then on
    /// [`Approved::release`] sends this PHI and no other. `None` in wire version 0, which has no commitments.
    ///
    /// # Errors
    /// [`RandomError`]: there is no key for it.
    pub fn commit(&mut self, phi: &Phi) -> Result<Option<Commitment>, RandomError> {
        if self.presented.version_1.is_none() {
            return Ok(None);
        }
        let key = CommitmentKey::random()?;
        let commitment = commitment_to(&key, phi);
        self.committed = Some((key, commitment));
        Ok(Some(commitment))
    }

    /// Ends the session without a release.
    pub async fn close(self) {
        self.presented.link.close(Close::Done).await;
    }

    /// Whether the server is still there, as far as this machine has heard: PHI need not be given up to a session that has
    /// ended.
    ///
    /// # Errors
    /// [`LinkError`]: it has left, or spoken out of turn.
    pub async fn still_there(&mut self) -> Result<(), LinkError> {
        self.presented.link.already_closed().await.map_or(Ok(()), Err)
    }

    /// Sends the PHI over this very session. The buffer is wiped once it has been handed to TLS.
    ///
    /// # Errors
    /// [`ReleaseError`], which tells "nothing was sent" from "some of it may have been".
    pub async fn release(self, phi: Phi) -> Result<Released, ReleaseError> {
        let Allowed { link, limits, token, version_1, committed, approved_at } = self.allowed().await?;
        let Some(version_1) = version_1 else {
            let link = handed_over(link, phi.into_inner(), &limits).await?;
            return Ok(Released { link, limits, receipted: None });
        };
        if ends_a_line(&phi) {
            link.close(Close::Done).await;
            return Err(ReleaseError::OpensStream);
        }
        let key = match committed {
            Some((key, commitment)) if commitment != commitment_to(&key, &phi) => {
                link.close(Close::Done).await;
                return Err(ReleaseError::OtherPhi);
            }
            Some((key, _)) => key,
            None => CommitmentKey::random()?,
        };
        let receipted = ToBeReceipted::new(version_1, token, key, &phi, approved_at);
        let payload = led_by(&receipted.key, &phi);
        drop(phi);
        let link = handed_over(link, payload, &limits).await?;
        Ok(Released { link, limits, receipted: Some(receipted) })
    }

    /// Begins to send a stream of documents over this very session, each on a line of its own: the first message of them.
    /// Each message ends with a line feed. Needs wire version 1.
    ///
    /// # Errors
    /// [`ReleaseError`], which tells "nothing was sent" from "some of it may have been".
    pub async fn release_stream(self, first: Phi) -> Result<Streaming, ReleaseError> {
        let Allowed { link, limits, token, version_1, committed, approved_at } = self.allowed().await?;
        let Some(version_1) = version_1.filter(|_| ends_a_line(&first)) else {
            link.close(Close::Done).await;
            return Err(ReleaseError::NoStream);
        };
        if committed.is_some() {
            // The commitment to a stream is known at its end.
            link.close(Close::Done).await;
            return Err(ReleaseError::OtherPhi);
        }
        let receipted = ToBeReceipted::new(version_1, token, CommitmentKey::random()?, &first, approved_at);
        let payload = led_by(&receipted.key, &first);
        drop(first);
        let link = handed_over(link, payload, &limits).await?;
        Ok(Streaming::begun(link, limits, receipted))
    }

    /// Spends the allowance.
    async fn allowed(self) -> Result<Allowed, ReleaseError> {
        if self.proof_wanted() {
            self.presented.link.close(Close::Done).await;
            return Err(ReleaseError::ProofWanted);
        }
        let Self { presented, decision, approved_at, committed, .. } = self;
        let Presented { link, limits, token, version_1, .. } = presented;
        // An approval without an allowance cannot be made; if it could, nothing would leave.
        let _allowance = decision.into_allowance().map_err(|_| ReleaseError::NotAllowed)?;
        Ok(Allowed { link, limits, token, version_1, committed, approved_at })
    }
}

/// A session whose allowance is being spent.
struct Allowed {
    link: ClientLink,
    limits: Limits,
    token: Token,
    version_1: Option<Box<Version1>>,
    committed: Option<(CommitmentKey, Commitment)>,
    approved_at: UnixTime,
}

async fn handed_over(
    mut link: ClientLink,
    payload: Zeroizing<Vec<u8>>,
    limits: &Limits,
) -> Result<ClientLink, ReleaseError> {
    if let Some(error) = link.already_closed().await {
        return Err(ReleaseError::NotBegun(error));
    }
    let payload = Bytes::from_owner(payload);
    if let Err(error) = link.send_payload(payload, Deadline::after(limits.phi)).await {
        // A server that has refused us says so in a close frame, which explains more than a send that failed.
        let error = link.already_closed().await.unwrap_or(error);
        return Err(ReleaseError::Interrupted(error));
    }
    Ok(link)
}

pub(super) fn ends_a_line(phi: &Phi) -> bool {
    phi.expose().last() == Some(&b'\n')
}

fn commitment_to(key: &CommitmentKey, phi: &Phi) -> Commitment {
    let mut commit = key.commit_phi();
    commit.update(phi.expose());
    commit.finish()
}

/// Key and PHI as they cross in version 1.
fn led_by(key: &CommitmentKey, phi: &Phi) -> Zeroizing<Vec<u8>> {
    // Its final size from the start: a buffer that grows leaves copies behind.
    let mut payload = Zeroizing::new(Vec::with_capacity(COMMITMENT_KEY_BYTES + phi.expose().len()));
    payload.extend_from_slice(key.expose());
    payload.extend_from_slice(phi.expose());
    payload
}

impl Version1 {
    /// What our own launcher is asked for: a token over this session in the client's role, in a batch of one.
    fn own_request(&self, audience: &str) -> Result<(TokenRequest, InclusionProof), ProveError> {
        let leaf = self.binding.transcript(Role::Client, &self.client_nonce, &self.server_nonce).leaf();
        let proof = InclusionProof::new(0, 1, Vec::new())?;
        let request = TokenRequest::pki(audience, proof.nonce(&leaf).as_str())?;
        Ok((request, proof))
    }
}

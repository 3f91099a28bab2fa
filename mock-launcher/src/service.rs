//! What the mock answers: the launcher's endpoints and, behind `/v1/token`, the attestation service.
//!
//! Paths, statuses and texts are those of google/go-tpm-tools, `launcher/teeserver/tee_server.go`; the
//! service's limits those of Google's "Attestation token claims" and of `service.proto`.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use http_body_util::{BodyExt as _, Limited};
use hyper::body::Incoming;
use hyper::header::{CONTENT_TYPE, HeaderValue};
use hyper::{Method, Request, Response, StatusCode};
use serde_json::{Value, json};
use time::OffsetDateTime;

use crate::body::AnswerBody;
use crate::claims::{self, DEFAULT_AUDIENCE};
use crate::options::TokenOptions;
use crate::{Fault, Mint, MintError, Pki};

/// Longest body of a request, in bytes. The real launcher has no limit.
const MAX_REQUEST_BYTES: usize = 64 * 1024;
/// Longest audience of the service, in bytes.
const MAX_AUDIENCE_BYTES: usize = 512;
/// Most nonces of one token.
const MAX_NONCES: usize = 6;
/// Shortest and longest nonce of the service, in bytes.
const NONCE_BYTES: std::ops::RangeInclusive<usize> = 10..=74;
/// Audiences that the service keeps for its own default token.
const RESERVED_AUDIENCES: [&str; 2] = ["https://sts.googleapis.com", "https://sts.google.com"];

/// What the service's refusals look like when they reach the workload.
const SERVICE_CALL: &str = "calling v1.VerifyConfidentialSpace in us-west1: googleapi:";
/// What a used-up quota looks like there: the launcher does not map its code, so it is a 500, too.
const QUOTA: &str = "Error 429: Quota exceeded for quota metric 'Requests' and limit 'Requests per minute per region' \
                     of service 'confidentialcomputing.googleapis.com' for consumer 'project_number:123456789012'.";
/// A nonce nobody asked for: base64 of `not the nonce that was asked for`.
const WRONG_NONCE: &str = "bm90IHRoZSBub25jZSB0aGF0IHdhcyBhc2tlZCBmb3I=";

/// The launcher's state.
pub(crate) struct Service {
    pki: Arc<Pki>,
    mints: Mints,
    overrides: Value,
    latency: Duration,
    /// Held while a token is made, as the real launcher holds its quote lock.
    quote_lock: Option<tokio::sync::Mutex<()>>,
    fault: Mutex<Misbehaviour>,
    issued: AtomicU64,
}

/// What goes wrong, and how often.
struct Misbehaviour {
    fault: Option<Fault>,
    /// Requests until all is well again; for ever if it is missing.
    left: Option<u32>,
}

struct Mints {
    pki: Mint,
    oidc: Mint,
}

/// A token to be made.
struct TokenOrder {
    audience: String,
    nonces: Vec<String>,
    with_chain: bool,
}

/// A status and its text.
struct Refusal(StatusCode, String);

impl Service {
    pub(crate) fn new(
        pki: Arc<Pki>,
        overrides: Value,
        latency: Duration,
        serialize: bool,
        fault: Option<Fault>,
    ) -> Result<Self, MintError> {
        Ok(Self {
            mints: Mints { pki: Mint::pki(&pki)?, oidc: Mint::oidc(&pki)? },
            pki,
            overrides,
            latency,
            quote_lock: serialize.then(tokio::sync::Mutex::default),
            fault: Mutex::new(Misbehaviour { fault, left: None }),
            issued: AtomicU64::new(0),
        })
    }

    pub(crate) fn issued(&self) -> u64 {
        self.issued.load(Ordering::Relaxed)
    }

    /// The fault of the next tokens: of so many, or of all.
    pub(crate) fn set_fault(&self, fault: Option<Fault>, left: Option<u32>) {
        *self.fault.lock().unwrap_or_else(PoisonError::into_inner) = Misbehaviour { fault, left };
    }

    /// The fault of the token that is asked for now.
    fn take_fault(&self) -> Option<Fault> {
        let mut misbehaviour = self.fault.lock().unwrap_or_else(PoisonError::into_inner);
        match &mut misbehaviour.left {
            Some(0) => return None,
            Some(left) => *left -= 1,
            None => {}
        }
        misbehaviour.fault
    }

    pub(crate) async fn answer(self: Arc<Self>, request: Request<Incoming>) -> Response<AnswerBody> {
        let answer = match request.uri().path() {
            "/v1/token" => self.token(request).await,
            "/v1/intel/token" => refuse(
                StatusCode::INTERNAL_SERVER_ERROR,
                "no ITA verifier client present - ensure ITA Region and Key are defined in metadata",
            ),
            "/v1/evidence" => refuse(StatusCode::INTERNAL_SERVER_ERROR, "attestation evidence is disabled"),
            "/v1/keys:getEndorsement" => refuse(StatusCode::FORBIDDEN, "keymanager not enabled"),
            "/v1/hostAttestation" => refuse(StatusCode::FORBIDDEN, "host attestation not enabled"),
            _ => {
                // Go's mux answers this one, not the launcher.
                let mut answer = Response::new(AnswerBody::new("404 page not found\n"));
                *answer.status_mut() = StatusCode::NOT_FOUND;
                answer
                    .headers_mut()
                    .insert(CONTENT_TYPE, HeaderValue::from_static("text/plain; charset=utf-8"));
                return answer;
            }
        };
        match answer {
            Ok(body) => text_html(StatusCode::OK, body),
            Err(Refusal(status, text)) => text_html(status, AnswerBody::new(text)),
        }
    }

    async fn token(self: &Arc<Self>, request: Request<Incoming>) -> Result<AnswerBody, Refusal> {
        let (order, on_failure) = match *request.method() {
            Method::GET => (
                TokenOrder { audience: DEFAULT_AUDIENCE.to_owned(), nonces: Vec::new(), with_chain: false },
                "failed to retrieve attestation service token",
            ),
            Method::POST => {
                (custom_order(request).await?, "failed to retrieve custom attestation service token")
            }
            ref other => {
                return refuse(
                    StatusCode::BAD_REQUEST,
                    format!("TEE server received an invalid HTTP method: {other}"),
                );
            }
        };
        // The service's refusals reach the launcher without a gRPC code, which makes them a 500.
        let failed =
            |inner: String| Refusal(StatusCode::INTERNAL_SERVER_ERROR, format!("{on_failure}: {inner}"));

        let fault = self.take_fault();
        if fault == Some(Fault::Hang) {
            return std::future::pending().await;
        }
        let _quoting = match &self.quote_lock {
            Some(lock) => Some(lock.lock().await),
            None => None,
        };
        // Even a sleep of nothing lasts until the timer's next tick.
        if !self.latency.is_zero() {
            tokio::time::sleep(self.latency).await;
        }
        if fault == Some(Fault::Http500) {
            return Err(failed(format!("{SERVICE_CALL} Error 503: The service is currently unavailable.")));
        }
        if fault == Some(Fault::Quota) {
            return Err(failed(format!("{SERVICE_CALL} {QUOTA}")));
        }

        // Signing takes about a millisecond of computing.
        let service = Arc::clone(self);
        let token = tokio::task::spawn_blocking(move || service.make_token(&order, fault))
            .await
            .map_err(|error| failed(error.to_string()))?
            .map_err(|error| failed(error.to_string()))?;
        self.issued.fetch_add(1, Ordering::Relaxed);
        Ok(if fault == Some(Fault::CutBody) { AnswerBody::cut(token) } else { AnswerBody::new(token) })
    }

    fn make_token(&self, order: &TokenOrder, fault: Option<Fault>) -> Result<String, MintError> {
        let claims = self.claims(order, fault);
        if !order.with_chain {
            return self.mints.oidc.token(&claims);
        }
        let mint = self.mints.pki.clone();
        let mint = match fault {
            Some(Fault::WrongKey) => mint.signed_by(self.pki.oidc_key().token_key()?),
            Some(Fault::NoX5c) => mint.with_x5c(Vec::new()),
            Some(Fault::ExtraCertificate) => {
                let mut x5c = self.pki.x5c();
                x5c.push(self.pki.root().to_vec());
                mint.with_x5c(x5c)
            }
            Some(Fault::ForeignRoot) => Mint::chain(&self.pki.foreign_chain(OffsetDateTime::now_utc())?)?,
            _ => mint,
        };
        mint.token(&claims)
    }

    fn claims(&self, order: &TokenOrder, fault: Option<Fault>) -> Value {
        let shift = match fault {
            Some(Fault::Expired) => -7200,
            Some(Fault::NotYetValid) => 3600,
            _ => 0,
        };
        let mut all = claims::default_claims(&order.audience, &order.nonces, now().saturating_add(shift));
        claims::merge(&mut all, &self.overrides);
        let of_fault = match fault {
            Some(Fault::WrongNonce) => json!({ "eat_nonce": WRONG_NONCE }),
            Some(Fault::DebugImage) => json!({
                "dbgstat": "enabled",
                "submods": { "confidential_space": { "support_attributes": null } },
            }),
            _ => json!({}),
        };
        claims::merge(&mut all, &of_fault);
        all
    }
}

/// Reads the options of a custom token and checks them, first as the launcher and then as the service.
async fn custom_order(request: Request<Incoming>) -> Result<TokenOrder, Refusal> {
    let body = Limited::new(request.into_body(), MAX_REQUEST_BYTES)
        .collect()
        .await
        .map_err(|_| {
            let text = format!("request body not read: wanted at most {MAX_REQUEST_BYTES} bytes");
            Refusal(StatusCode::PAYLOAD_TOO_LARGE, text)
        })?
        .to_bytes();
    let bad_request = |text: String| Refusal(StatusCode::BAD_REQUEST, text);
    let options = TokenOptions::parse(&body)
        .map_err(|error| bad_request(format!("failed to parse POST body as TokenOptions: {error}")))?;
    if options.audience.is_empty() {
        return Err(bad_request("use GET request for the default identity token".to_owned()));
    }
    if options.token_type.is_empty() {
        return Err(bad_request("token_type is a required parameter".to_owned()));
    }
    if let Some(reason) = service_refuses(&options) {
        return refuse(
            StatusCode::INTERNAL_SERVER_ERROR,
            format!(
                "failed to retrieve custom attestation service token: {SERVICE_CALL} Error 400: The request was \
                 invalid: {reason}"
            ),
        );
    }
    // Any other spelling than exactly PKI becomes "unspecified", which the service takes for OIDC.
    Ok(TokenOrder {
        with_chain: options.token_type == "PKI",
        audience: options.audience,
        nonces: options.nonces,
    })
}

fn service_refuses(options: &TokenOptions) -> Option<String> {
    if RESERVED_AUDIENCES.contains(&options.audience.as_str()) {
        return Some("audience is reserved".to_owned());
    }
    let length = options.audience.len();
    if length > MAX_AUDIENCE_BYTES {
        return Some(format!("audience must be at most {MAX_AUDIENCE_BYTES} bytes, got {length}"));
    }
    let count = options.nonces.len();
    if count > MAX_NONCES {
        return Some(format!("at most {MAX_NONCES} nonces are allowed, got {count}"));
    }
    let length = options.nonces.iter().map(String::len).find(|length| !NONCE_BYTES.contains(length))?;
    let (shortest, longest) = (NONCE_BYTES.start(), NONCE_BYTES.end());
    Some(format!("nonce must be {shortest} to {longest} bytes, got {length}"))
}

fn refuse<T>(status: StatusCode, text: impl Into<String>) -> Result<T, Refusal> {
    Err(Refusal(status, text.into()))
}

fn text_html(status: StatusCode, body: AnswerBody) -> Response<AnswerBody> {
    let mut answer = Response::new(body);
    *answer.status_mut() = status;
    answer.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("text/html"));
    answer
}

/// Seconds since 1970.
fn now() -> i64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    i64::try_from(since.as_secs()).unwrap_or(i64::MAX)
}

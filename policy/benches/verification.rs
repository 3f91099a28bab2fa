//! What a verifier's first token costs, verified and judged, as a ratio to the three RSA verifications that it contains; and the
//! next token of a chain that is known, where chains are remembered, as a ratio to the one RSA-2048 verification that it contains.
//!
//! Machines differ and clocks wander, so absolute times mean little. Each round times the bare RSA verifications and
//! the whole path one after the other; the result is the median of the rounds' ratios. The share of each
//! step is the median of its time in the same rounds.
//!
//! `cargo bench --package policy --bench verification`; it fails if a ratio is over its limit.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

use std::hint::black_box;
use std::process::ExitCode;
use std::time::{Duration, Instant};

use attestation::{Anchors, Expectation, Nonce, Token, UnverifiedToken, Verifier};
use aws_lc_rs::signature::{RSA_PKCS1_2048_8192_SHA256, UnparsedPublicKey};
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use mock_launcher::{Mint, Pki, claims};
use policy::{Baseline, Policy, PolicySource, Role, SessionFacts};
use rustls_pki_types::{CertificateDer, UnixTime};
use webpki::{EndEntityCert, KeyUsage, anchor_from_trusted_cert};
use x509_cert::Certificate;
use x509_cert::der::{Decode, Encode};

/// Verification with policy against the three RSA verifications in it.
const LIMIT: f64 = 1.40;

/// The next token of a known chain, with policy, against the bare verification of its own signature.
const NEXT_LIMIT: f64 = 3.00;

const ROUNDS: usize = 400;
const PER_ROUND: u32 = 5;

fn main() -> ExitCode {
    // `cargo test --benches` and `cargo bench -- --test` only want to know that it runs.
    let quick = std::env::args().any(|argument| argument == "--test");
    let rounds = if quick { 3 } else { ROUNDS };

    let now = UnixTime::now();
    let pki = Pki::shared_for_tests().unwrap();
    let nonce = Nonce::of_session(|_, _, _| Ok::<(), ()>(())).unwrap();
    let issued = i64::try_from(now.as_secs()).unwrap();
    let claims = claims::default_claims("uwear", &[nonce.as_str().to_owned()], issued);
    let token = Token::new(Mint::pki(&pki).unwrap().token(&claims).unwrap()).unwrap();
    let new_verifier = || Verifier::new(Anchors::from_der([pki.root()]).unwrap(), Expectation::default());
    let verifier = new_verifier();
    let remembering = new_verifier().with_chain_cache();
    // Each has to make the certificates' keys ready, as the bare verifications do.
    let mut new_ones: Vec<Verifier> = (0..rounds * PER_ROUND as usize).map(|_| new_verifier()).collect();
    let baseline = Baseline::parse(policy::DEFAULT_BASELINE).unwrap();
    let policy = Policy::compile(PolicySource::Default, baseline).unwrap();
    let facts = SessionFacts { nonce, audience: "uwear".to_owned(), wire: 0, role: Role::Server, now };

    let floor = Floor::of(&token);
    let payload = URL_SAFE_NO_PAD.decode(token.as_str().split('.').nth(1).unwrap()).unwrap();
    let verified = verifier.verify(&token, now).unwrap();
    assert!(policy.decide(&verified, &facts).allowed());

    let mut steps: Vec<Step<'_>> = vec![
        Step::new("three RSA verifications (the floor)", || floor.verify()),
        Step::new("whole: a first token, with policy", || {
            let verified = new_ones.pop().unwrap().verify(&token, now).unwrap();
            assert!(policy.decide(black_box(&verified), &facts).allowed());
        }),
        Step::new("  header, x5c", || drop(black_box(UnverifiedToken::parse(token.as_str()).unwrap()))),
        Step::new("  chain (webpki)", || floor.chain(now)),
        Step::new("  signature", || floor.signature()),
        Step::new("  claims as JSON", || {
            drop(black_box(attestation::json::object_with_unique_names(&payload).unwrap()));
        }),
        Step::new("  policy (allow, which runs 15 rules)", || {
            assert!(policy.decide(black_box(&verified), &facts).allowed());
        }),
        Step::new("(one RSA-2048 verification)", || floor.verify_token()),
        Step::new("(the next token of a known chain)", || {
            let verified = remembering.verify(&token, now).unwrap();
            assert!(policy.decide(black_box(&verified), &facts).allowed());
        }),
        Step::new("(any other token: keys and header are known)", || {
            let verified = verifier.verify(&token, now).unwrap();
            assert!(policy.decide(black_box(&verified), &facts).allowed());
        }),
        Step::new("(each rule's outcome, for the report)", || {
            black_box(policy.decide(&verified, &facts).rules().len());
        }),
        Step::new("(explanations: only on refusal)", || {
            drop(black_box(policy.decide(&verified, &facts).explain()));
        }),
    ];
    for _ in 0..rounds {
        for step in &mut steps {
            step.round();
        }
    }

    let medians: Vec<Duration> = steps.iter().map(Step::median).collect();
    let whole = medians[1].as_secs_f64();
    println!("token of {} bytes, {rounds} rounds of {PER_ROUND}\n", token.as_str().len());
    for (step, median) in steps.iter().zip(&medians) {
        let share = median.as_secs_f64() / whole * 100.0;
        println!("{:<38} {:>9.1} us {share:>6.1} %", step.name, median.as_secs_f64() * 1e6);
    }
    let known: f64 = medians[2..7].iter().map(Duration::as_secs_f64).sum();
    println!(
        "{:<38} {:>9.1} us {:>6.1} %",
        "  the rest",
        (whole - known) * 1e6,
        (1.0 - known / whole) * 100.0
    );

    let ratio = |whole: &Step<'_>, floor: &Step<'_>| {
        median(whole.times.iter().zip(&floor.times).map(|(whole, floor)| whole / floor).collect())
    };
    let first = ratio(&steps[1], &steps[0]);
    let next = ratio(&steps[8], &steps[7]);
    println!("\nverification with policy / three RSA verifications: {first:.3} (limit {LIMIT:.2})");
    println!("the next token with policy / one RSA-2048 verification: {next:.3} (limit {NEXT_LIMIT:.2})");
    if quick || (first <= LIMIT && next <= NEXT_LIMIT) { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

struct Step<'a> {
    name: &'static str,
    work: Box<dyn FnMut() + 'a>,
    /// Seconds for one call, a value for each round.
    times: Vec<f64>,
}

impl<'a> Step<'a> {
    fn new(name: &'static str, work: impl FnMut() + 'a) -> Self {
        Self { name, work: Box::new(work), times: Vec::new() }
    }

    fn round(&mut self) {
        let start = Instant::now();
        for _ in 0..PER_ROUND {
            (self.work)();
        }
        self.times.push(start.elapsed().as_secs_f64() / f64::from(PER_ROUND));
    }

    fn median(&self) -> Duration {
        Duration::from_secs_f64(median(self.times.clone()))
    }
}

fn median(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    values[values.len() / 2]
}

/// The bare operations that nobody can leave out.
struct Floor {
    x5c: [Vec<u8>; 3],
    /// Key (`RSAPublicKey`), message and signature of leaf certificate, intermediate certificate, token.
    signed: [(Vec<u8>, Vec<u8>, Vec<u8>); 3],
    jws_signature: String,
}

impl Floor {
    fn of(token: &Token) -> Self {
        let x5c = UnverifiedToken::parse(token.as_str()).unwrap().certificates().clone();
        let read = |der: &Vec<u8>| Certificate::from_der(der).unwrap();
        let key = |certificate: &Certificate| {
            let spki = certificate.tbs_certificate().subject_public_key_info();
            spki.subject_public_key.as_bytes().unwrap().to_vec()
        };
        let signed_by = |certificate: &Certificate, issuer: &Certificate| {
            let message = certificate.tbs_certificate().to_der().unwrap();
            (key(issuer), message, certificate.signature().as_bytes().unwrap().to_vec())
        };
        let [leaf, intermediate, root] = [read(&x5c[0]), read(&x5c[1]), read(&x5c[2])];
        let (input, signature) = token.as_str().rsplit_once('.').unwrap();
        let jws = (key(&leaf), input.as_bytes().to_vec(), URL_SAFE_NO_PAD.decode(signature).unwrap());
        Self {
            signed: [signed_by(&leaf, &intermediate), signed_by(&intermediate, &root), jws],
            jws_signature: signature.to_owned(),
            x5c,
        }
    }

    fn verify(&self) {
        for (key, message, signature) in &self.signed {
            UnparsedPublicKey::new(&RSA_PKCS1_2048_8192_SHA256, key).verify(message, signature).unwrap();
        }
    }

    fn verify_token(&self) {
        let (key, message, signature) = &self.signed[2];
        UnparsedPublicKey::new(&RSA_PKCS1_2048_8192_SHA256, key).verify(message, signature).unwrap();
    }

    fn signature(&self) {
        let (key, message, _) = &self.signed[2];
        attestation::verify_rs256(&self.jws_signature, message, key).unwrap();
    }

    fn chain(&self, now: UnixTime) {
        let [leaf, intermediate, root] = self.x5c.each_ref().map(|der| CertificateDer::from(der.as_slice()));
        let anchors = [anchor_from_trusted_cert(&root).unwrap()];
        let usage = KeyUsage::required_if_present(&[0x67, 0x81, 0x05, 0x08, 0x01]);
        let algorithms = &[webpki::aws_lc_rs::RSA_PKCS1_2048_8192_SHA256];
        let leaf = EndEntityCert::try_from(&leaf).unwrap();
        let intermediates = [intermediate];
        leaf.verify_for_usage(algorithms, &anchors, &intermediates, now, usage, None, None).unwrap();
    }
}

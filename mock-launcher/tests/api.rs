//! The socket answers as the real launcher's does.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

mod common;

use std::time::{Duration, Instant};

use common::{Mock, NONCE, Token, ask, body};

const UNKNOWN: &str = "failed to parse POST body as TokenOptions: json: unknown field";
const REFUSED: &str = "failed to retrieve custom attestation service token: calling \
                       v1.VerifyConfidentialSpace in us-west1: googleapi: Error 400: The request was invalid: ";

#[tokio::test]
async fn every_refusal_has_the_launchers_status_and_text() {
    let nonce = |length: usize| "n".repeat(length);
    let seven = [NONCE; 7];
    let rows: Vec<(&str, &str, String, u16, String)> = vec![
        ("POST", "/v1/token", "{}".into(), 400, "use GET request for the default identity token".into()),
        (
            "POST",
            "/v1/token",
            body("", &[NONCE], "PKI"),
            400,
            "use GET request for the default identity token".into(),
        ),
        ("POST", "/v1/token", r#"{"audience":"a"}"#.into(), 400, "token_type is a required parameter".into()),
        ("POST", "/v1/token", body("a", &[], ""), 400, "token_type is a required parameter".into()),
        ("POST", "/v1/token", r#"{"eat_nonce":"n"}"#.into(), 400, format!("{UNKNOWN} \"eat_nonce\"")),
        (
            "POST",
            "/v1/token",
            r#"{"aws_principal_tag_options":{"x":1}}"#.into(),
            400,
            format!("{UNKNOWN} \"x\""),
        ),
        ("POST", "/v1/token", String::new(), 400, "failed to parse POST body as TokenOptions: EOF".into()),
        ("PUT", "/v1/token", String::new(), 400, "TEE server received an invalid HTTP method: PUT".into()),
        (
            "DELETE",
            "/v1/token",
            String::new(),
            400,
            "TEE server received an invalid HTTP method: DELETE".into(),
        ),
        (
            "POST",
            "/v1/token",
            body("a", &[&nonce(9)], "PKI"),
            500,
            format!("{REFUSED}nonce must be 10 to 74 bytes, got 9"),
        ),
        (
            "POST",
            "/v1/token",
            body("a", &[&nonce(75)], "PKI"),
            500,
            format!("{REFUSED}nonce must be 10 to 74 bytes, got 75"),
        ),
        (
            "POST",
            "/v1/token",
            body("a", &seven, "PKI"),
            500,
            format!("{REFUSED}at most 6 nonces are allowed, got 7"),
        ),
        (
            "POST",
            "/v1/token",
            body(&"a".repeat(513), &[NONCE], "PKI"),
            500,
            format!("{REFUSED}audience must be at most 512 bytes, got 513"),
        ),
        (
            "POST",
            "/v1/token",
            body("https://sts.googleapis.com", &[NONCE], "PKI"),
            500,
            format!("{REFUSED}audience is reserved"),
        ),
        (
            "POST",
            "/v1/token",
            format!("{{\"audience\":\"{}\"}}", "a".repeat(64 * 1024)),
            413,
            "request body not read: wanted at most 65536 bytes".into(),
        ),
        (
            "GET",
            "/v1/intel/token",
            String::new(),
            500,
            "no ITA verifier client present - ensure ITA Region and Key are defined in metadata".into(),
        ),
        ("POST", "/v1/evidence", "{}".into(), 500, "attestation evidence is disabled".into()),
        ("POST", "/v1/keys:getEndorsement", "{}".into(), 403, "keymanager not enabled".into()),
        ("POST", "/v1/hostAttestation", "{}".into(), 403, "host attestation not enabled".into()),
        ("GET", "/", String::new(), 404, "404 page not found\n".into()),
        ("GET", "/v1/token/", String::new(), 404, "404 page not found\n".into()),
    ];
    let mock = Mock::start(|mock| mock).await;
    for (method, path, body, status, text) in rows {
        let answer = ask(&mock.socket(), method, path, &body).await;
        let shown: String = body.chars().take(60).collect();
        assert_eq!((answer.status, &answer.body), (status, &text), "{method} {path} {shown}");
        let content_type = if status == 404 { "text/plain; charset=utf-8" } else { "text/html" };
        assert_eq!(answer.header("content-type"), Some(content_type));
        assert_eq!(
            answer.header("content-length"),
            Some(text.len().to_string().as_str()),
            "short: no chunks"
        );
    }
    assert_eq!(mock.running.issued(), 0);
}

#[tokio::test]
async fn what_is_at_the_services_limits_gets_a_token() {
    let mock = Mock::start(|mock| mock).await;
    let (short, long) = ("n".repeat(10), "n".repeat(74));
    let six = [NONCE; 6];
    let rows = [
        body("a", &[&short], "PKI"),
        body("a", &[&long], "PKI"),
        body("a", &six, "PKI"),
        body(&"a".repeat(512), &[], "PKI"),
        r#"{"AUDIENCE":"a","Nonces":null,"token_TYPE":"PKI"} and more"#.to_owned(),
    ];
    for (count, body) in rows.iter().enumerate() {
        let answer = mock.post(body).await;
        assert_eq!(answer.status, 200, "{}", answer.body);
        assert_eq!(mock.running.issued(), count as u64 + 1);
    }
}

#[tokio::test]
async fn a_token_is_bare_text_in_chunks() {
    let mock = Mock::start(|mock| mock).await;
    let answer = mock.post(&body("uwear", &[NONCE], "PKI")).await;
    assert_eq!(answer.status, 200);
    assert_eq!(answer.header("content-type"), Some("text/html"));
    assert_eq!(answer.header("transfer-encoding"), Some("chunked"));
    assert_eq!(answer.header("content-length"), None);
    assert!(answer.whole && !answer.body.ends_with('\n'));
    assert!((10_000..=11_500).contains(&answer.body.len()), "{} bytes", answer.body.len());
}

#[tokio::test]
async fn the_default_token_is_an_oidc_one_for_sts_without_a_nonce() {
    let mock = Mock::start(|mock| mock).await;
    let answer = ask(&mock.socket(), "GET", "/v1/token", "").await;
    assert_eq!(answer.status, 200);
    let token = Token::parse(&answer.body);
    assert_eq!(token.claims["aud"], "https://sts.googleapis.com");
    assert_eq!(token.claims.get("eat_nonce"), None);
    assert_eq!(token.header.get("x5c"), None);
    assert_eq!(answer.header("content-length").is_some(), answer.body.len() <= 2048);
}

#[tokio::test]
async fn any_other_spelling_of_pki_gives_an_oidc_token() {
    let mock = Mock::start(|mock| mock).await;
    for token_type in ["OIDC", "pki", "PKI ", "Pki", "LIMITED_AWS", "AWS_PRINCIPALTAGS", "nonsense"] {
        let answer = mock.post(&body("uwear", &[NONCE], token_type)).await;
        assert_eq!(answer.status, 200);
        let token = Token::parse(&answer.body);
        assert_eq!(token.header.get("x5c"), None, "{token_type}");
        let kid = token.header["kid"].as_str().unwrap();
        assert!(kid.len() == 40 && kid.bytes().all(|byte| byte.is_ascii_hexdigit()), "{kid}");
        assert_eq!(token.claims["eat_nonce"], NONCE);
    }
}

#[tokio::test]
async fn one_token_at_a_time_takes_as_long_as_all_together_and_side_by_side_does_not() {
    let latency = Duration::from_millis(200);
    let five_tokens = async |serialize| {
        let mock = Mock::start(|mock| mock.latency(latency).serialize(serialize)).await;
        let asked = Instant::now();
        let answers = tokio::join!(mock.token(), mock.token(), mock.token(), mock.token(), mock.token());
        drop(answers);
        (asked.elapsed(), mock.running.issued())
    };
    let (one_at_a_time, issued) = five_tokens(true).await;
    assert_eq!(issued, 5);
    assert!(one_at_a_time >= 5 * latency, "{one_at_a_time:?}");
    let (side_by_side, issued) = five_tokens(false).await;
    assert_eq!(issued, 5);
    assert!(side_by_side >= latency && side_by_side < one_at_a_time, "{side_by_side:?}");
}

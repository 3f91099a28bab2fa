//! The data owner's end: chain, signature and nonce, and nothing more.

use std::net::SocketAddr;

use attestation::Nonce;
use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use futures_util::{SinkExt as _, StreamExt as _};
use rustls_pki_types::{CertificateDer, ServerName, TrustAnchor, UnixTime};
use serde::Deserialize;
use serde_json::Value;
use tokio::io::AsyncWriteExt as _;
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tokio_tungstenite::client_async_with_config;
use tokio_tungstenite::tungstenite::Message;
use webpki::aws_lc_rs::RSA_PKCS1_2048_8192_SHA256;
use webpki::{EndEntityCert, KeyUsage};

use super::{Failure, websocket};

/// What a data owner has, made once.
pub struct Owner {
    connector: TlsConnector,
    root: TrustAnchor<'static>,
}

impl Owner {
    /// One who trusts this root, DER.
    pub fn new(root: &CertificateDer<'_>) -> Result<Self, Failure> {
        let root = webpki::anchor_from_trusted_cert(root)?.to_owned();
        Ok(Self { connector: TlsConnector::from(session::tls::client_config()?), root })
    }
}

/// One whole session.
pub async fn session(owner: &Owner, address: SocketAddr, phi: &str) -> Result<(), Failure> {
    let tcp = TcpStream::connect(address).await?;
    tcp.set_nodelay(true)?;
    let tls = owner.connector.connect(ServerName::from(address.ip()), tcp).await?;
    let (_, connection) = tls.get_ref();
    let nonce = Nonce::of_session(|buffer, label, context| {
        connection.export_keying_material(&mut buffer[..], label, context).map(drop)
    })?;
    let url = format!("wss://{address}/connection");
    let (mut websocket, _) = client_async_with_config(url, tls, Some(websocket(16 * 1024))).await?;
    let token = websocket.next().await.ok_or("no token")??;
    verify(token.to_text()?, &nonce, &owner.root)?;
    websocket.send(Message::text(phi)).await?;
    let result = websocket.next().await.ok_or("no result")??;
    if result.to_text()?.is_empty() {
        return Err("an empty result".into());
    }
    websocket.close(None).await?;
    while websocket.next().await.is_some_and(|message| message.is_ok()) {}
    // The alert that ends TLS (RFC 8446 §6.1).
    websocket.get_mut().shutdown().await?;
    Ok(())
}

#[derive(Deserialize)]
struct Header<'a> {
    #[serde(borrow)]
    x5c: [&'a str; 3],
}

fn verify(token: &str, nonce: &Nonce, root: &TrustAnchor<'_>) -> Result<(), Failure> {
    let (signed, signature) = token.rsplit_once('.').ok_or("not a token")?;
    let (header, claims) = signed.split_once('.').ok_or("not a token")?;
    let header = URL_SAFE_NO_PAD.decode(header)?;
    let Header { x5c: [leaf, intermediate, _] } = serde_json::from_slice(&header)?;
    let leaf = CertificateDer::from(STANDARD.decode(leaf)?);
    let intermediate = CertificateDer::from(STANDARD.decode(intermediate)?);
    let leaf = EndEntityCert::try_from(&leaf)?;
    // tcg-kp-EKCertificate, 2.23.133.8.1.
    let usage = KeyUsage::required_if_present(&[0x67, 0x81, 0x05, 0x08, 0x01]);
    let algorithms = &[RSA_PKCS1_2048_8192_SHA256];
    let roots = std::slice::from_ref(root);
    leaf.verify_for_usage(algorithms, roots, &[intermediate], UnixTime::now(), usage, None, None)?;
    leaf.verify_signature(
        RSA_PKCS1_2048_8192_SHA256,
        signed.as_bytes(),
        &URL_SAFE_NO_PAD.decode(signature)?,
    )?;
    let claims: Value = serde_json::from_slice(&URL_SAFE_NO_PAD.decode(claims)?)?;
    if claims.get("eat_nonce").and_then(Value::as_str) != Some(nonce.as_str()) {
        return Err("the token is of another session".into());
    }
    Ok(())
}

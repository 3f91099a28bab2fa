//! Attacks on a token's bytes and its JOSE header: its size, its JSON, which algorithm, which key.

use attestation::VerifyError;
use attestation::message::MAX_TOKEN_BYTES;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use mock_launcher::rcgen::PublicKeyData as _;
use mock_launcher::{Algorithm, Key, KeyKind, TokenKey, sign_compact};
use serde_json::{Value, json};

use super::{Attack, Forge, Genuine, jwk, pem, segments, x5c};

pub fn attacks(forge: &Forge) -> Vec<Attack> {
    let groups = [
        sizes_and_shapes(forge),
        encodings(forge),
        no_json_object(forge),
        names_twice(forge),
        algorithms(forge),
        critical(forge),
        key_games(forge),
        x5c::rows(forge),
    ];
    groups
        .into_iter()
        .flatten()
        .map(|(name, token, wanted)| forge.attack("header", &name, token, wanted))
        .collect()
}

pub type Row = (String, String, VerifyError);

pub fn row(name: &str, token: String, wanted: VerifyError) -> Row {
    (name.to_owned(), token, wanted)
}

fn sizes_and_shapes(forge: &Forge) -> Vec<Row> {
    let token = forge.token();
    let [header, payload, signature] = segments(&token);
    let segments = |got| VerifyError::Segments { got };
    let empty = |segment| VerifyError::EmptySegment { segment };
    let over = MAX_TOKEN_BYTES + 1;
    vec![
        row("nothing at all", String::new(), segments(1)),
        row("one segment", header.to_owned(), segments(1)),
        row("two segments", format!("{header}.{payload}"), segments(2)),
        row("four segments", format!("{token}.{payload}"), segments(4)),
        row("five segments, as an encrypted token has", format!("{token}.{payload}.{payload}"), segments(5)),
        row("a dot behind the token", format!("{token}."), segments(4)),
        row("a dot before the token", format!(".{token}"), segments(4)),
        row("two dots alone", "..".to_owned(), empty("header")),
        row("empty header", format!(".{payload}.{signature}"), empty("header")),
        row("empty payload, as a detached one", format!("{header}..{signature}"), empty("payload")),
        row("empty signature", format!("{header}.{payload}."), empty("signature")),
        row("a hundred thousand dots", ".".repeat(100_000), segments(100_001)),
        row(
            "JSON serialization instead of compact",
            json!({ "protected": header, "payload": payload, "signature": signature }).to_string(),
            segments(1),
        ),
        row("one byte over the longest token", "a".repeat(over), VerifyError::TooLarge { got: over }),
        row(
            "a genuine token one byte over the longest",
            token_of_length(forge, over),
            VerifyError::TooLarge { got: over },
        ),
    ]
}

/// A token of exactly this length, made long by a header parameter that is read past.
fn token_of_length(forge: &Forge, wanted: usize) -> String {
    // Base64 has no text of 4n + 1 characters, so that the claims have to give way by a byte or two.
    for spaces in 0..3 {
        let mut claims = forge.claims_json();
        claims.extend(std::iter::repeat_n(b' ', spaces));
        let token = |padding: usize| {
            let mut header = forge.mint.header();
            mock_launcher::claims::merge(&mut header, &json!({ "padding": "x".repeat(padding) }));
            sign_compact(header.to_string().as_bytes(), &claims, &forge.leaf_key).unwrap()
        };
        let about = (wanted - token(0).len()) * 3 / 4;
        if let Some(found) = (about - 4..about + 4).map(token).find(|token| token.len() == wanted) {
            return found;
        }
    }
    panic!("no token of {wanted} bytes");
}

fn encodings(forge: &Forge) -> Vec<Row> {
    // Three segments whose base64 ends in unused bits: of 3n + 1 bytes each.
    let padded = |mut json: Vec<u8>| {
        while json.len() % 3 != 1 {
            json.push(b' ');
        }
        json
    };
    let header = padded(forge.mint.header().to_string().into_bytes());
    let token = sign_compact(&header, &padded(forge.claims_json()), &forge.leaf_key).unwrap();
    let parts = segments(&token);

    let mut rows = Vec::new();
    for (index, segment) in ["header", "payload", "signature"].into_iter().enumerate() {
        let part = parts[index];
        let mut add = |name: &str, changed: String| {
            let mut all = parts.map(str::to_owned);
            all[index] = changed;
            rows.push((format!("{segment} {name}"), all.join("."), VerifyError::SegmentEncoding { segment }));
        };
        add("with padding", format!("{part}=="));
        add("with bits set that decode to nothing", with_unused_bits(part));
        add("in the standard alphabet", format!("+/{}", &part[2..]));
        add("with white space behind it", format!("{part} "));
        add("with a line break inside", format!("{}\n{}", &part[..8], &part[8..]));
        add("with a NUL inside", format!("{}\0{}", &part[..8], &part[8..]));
        add("with a letter that no alphabet has", format!("é{}", &part[2..]));
        add("of a length that base64 does not have", part[..part.len() / 4 * 4 - 3].to_owned());
    }
    let header_encoding = || VerifyError::SegmentEncoding { segment: "header" };
    rows.push(row("a byte order mark before the token", format!("\u{feff}{token}"), header_encoding()));
    rows.push(row("a space before the token", format!(" {token}"), header_encoding()));
    rows.push(row("the token in quotes", format!("\"{token}\""), header_encoding()));
    rows.push(row("the scheme of an HTTP header before it", format!("Bearer {token}"), header_encoding()));
    rows
}

/// The same base64url with a bit set among those that the last character has too many.
pub fn with_unused_bits(base64: &str) -> String {
    const ALPHABET: &str = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";
    let (rest, last) = base64.split_at(base64.len() - 1);
    let value = ALPHABET.find(last).unwrap();
    format!("{rest}{}", &ALPHABET[value + 1..value + 2])
}

fn no_json_object(forge: &Forge) -> Vec<Row> {
    let good = forge.mint.header().to_string();
    let end = good.len();
    let mut not_utf8 = good.clone().into_bytes();
    let kid = good.find(r#""kid":""#).unwrap() + 7;
    not_utf8[kid] = 0xff;
    let in_x5c = |value: &str| format!(r#"{{"alg":"RS256","x5c":{value}}}"#);
    let beside_x5c = |value: &str| format!(r#"{{"x":{value},{}"#, &good[1..]);
    let deep = |levels: usize| format!("{}{}", "[".repeat(levels), "]".repeat(levels));

    let rows: Vec<(&str, Vec<u8>, usize, usize)> = vec![
        ("header that is an array", b"[]".into(), 1, 0),
        ("header that is a string", b"\"RS256\"".into(), 1, 7),
        ("header that is a number", b"256".into(), 1, 3),
        ("header that is null", b"null".into(), 1, 4),
        ("header of white space", b"  ".into(), 1, 2),
        ("header cut short", good[..end - 1].into(), 1, end - 1),
        ("header with more behind it", format!("{good}x").into(), 1, end + 1),
        ("two headers", format!("{good}\n{good}").into(), 2, 1),
        ("byte order mark in the header", format!("\u{feff}{good}").into(), 1, 1),
        ("comment in the header", format!("/**/{good}").into(), 1, 1),
        ("comma too many in the header", format!("{},}}", &good[..end - 1]).into(), 1, end + 1),
        ("single quotes in the header", b"{'alg':'RS256'}".into(), 1, 2),
        ("NaN in the header", beside_x5c("NaN").into(), 1, 6),
        ("control character in a header parameter", beside_x5c("\"\u{1}\"").into(), 1, 7),
        ("half a surrogate pair in a header parameter", beside_x5c(r#""\ud800""#).into(), 1, 13),
        ("header that is not UTF-8", not_utf8, 1, kid + 1),
        ("x5c nested 200 deep", in_x5c(&deep(200)).into(), 1, 21 + 127),
        ("x5c nested 40 000 deep", in_x5c(&deep(40_000)).into(), 1, 21 + 127),
        ("unknown parameter nested 200 deep", beside_x5c(&deep(200)).into(), 1, 5 + 127),
        ("unknown parameter nested 30 000 deep", beside_x5c(&deep(30_000)).into(), 1, 5 + 127),
        ("parameter with a name twice inside", beside_x5c(r#"{"a":1,"a":2}"#).into(), 1, 18),
    ];
    let rows = rows.into_iter();
    rows.map(|(name, header, line, column)| {
        row(name, forge.with_raw_header(header), VerifyError::HeaderJson { line, column })
    })
    .collect()
}

fn names_twice(forge: &Forge) -> Vec<Row> {
    let good = forge.mint.header().to_string();
    let first = |member: &str| format!("{{{member},{}", &good[1..]);
    let last = |member: &str| format!("{},{member}}}", &good[..good.len() - 1]);
    let foreign_x5c = json!([STANDARD.encode(b"x"), "", ""]);
    let rows = [
        ("alg twice, the second none", last(r#""alg":"none""#), "alg"),
        ("alg twice, the first none", first(r#""alg":"none""#), "alg"),
        ("alg twice, both RS256", first(r#""alg":"RS256""#), "alg"),
        ("alg twice, once with escapes", last(r#""\u0061lg":"none""#), "alg"),
        ("alg twice, the first with escapes", first(r#""\u0061\u006cg":"none""#), "alg"),
        ("x5c twice", last(&format!(r#""x5c":{foreign_x5c}"#)), "x5c"),
        ("x5c twice, once with escapes", first(&format!(r#""x\u0035c":{foreign_x5c}"#)), "x5c"),
        ("kid twice", last(r#""kid":"other""#), "kid"),
        ("unknown parameter twice", last(r#""a":1,"a":1"#), "a"),
        ("crit twice", last(r#""crit":[],"crit":[]"#), "crit"),
    ];
    rows.into_iter()
        .map(|(name, header, twice)| {
            let wanted = VerifyError::DuplicateHeaderParameter { name: twice.to_owned() };
            row(name, forge.with_raw_header(header), wanted)
        })
        .collect()
}

fn algorithms(forge: &Forge) -> Vec<Row> {
    let wanted = |got: &str| VerifyError::Algorithm { got: got.to_owned() };
    let mut rows = Vec::new();

    // Named in the header, signed by the leaf all the same.
    for alg in ["none", "None", "NONE", "nOnE", "", "rs256", "Rs256", "RS256 ", " RS256", "RSA256", "RS1"] {
        let token = forge.with_header(&json!({ "alg": alg }));
        rows.push((format!("alg is {alg:?}"), token, wanted(alg)));
    }
    rows.push(row("alg with a NUL", forge.with_header(&json!({ "alg": "RS256\0" })), wanted("RS256\\u{0}")));
    rows.push(row(
        "alg in Cyrillic",
        forge.with_header(&json!({ "alg": "R\u{405}256" })),
        wanted("R\u{405}256"),
    ));

    // Named in the header and signed so.
    let leaf = forge.chain.leaf_key();
    let really = |key: &TokenKey, alg: &str| {
        let mut header = forge.mint.header();
        mock_launcher::claims::merge(&mut header, &json!({ "alg": alg }));
        sign_compact(header.to_string().as_bytes(), &forge.claims_json(), key).unwrap()
    };
    for (algorithm, alg) in [
        (Algorithm::RS384, "RS384"),
        (Algorithm::RS512, "RS512"),
        (Algorithm::PS256, "PS256"),
        (Algorithm::PS384, "PS384"),
        (Algorithm::PS512, "PS512"),
    ] {
        let key = forge.leaf_key.clone().with_algorithm(algorithm);
        rows.push((format!("signed with {alg} by the leaf"), really(&key, alg), wanted(alg)));
    }
    let elliptic = Key::shared_for_tests(KeyKind::EcP256, "attacker").unwrap().token_key().unwrap();
    rows.push(row("signed with ES256 by anybody", really(&elliptic, "ES256"), wanted("ES256")));

    // The public key as the secret of an HMAC: everybody has it.
    let pkcs1 = leaf.key_pair().der_bytes().to_vec();
    let spki = leaf.key_pair().subject_public_key_info();
    let certificate = forge.chain.x5c()[0].clone();
    for (form, secret) in [
        ("SubjectPublicKeyInfo in PEM", pem("PUBLIC KEY", &spki).into_bytes()),
        ("SubjectPublicKeyInfo in DER", spki),
        ("RSAPublicKey in PEM", pem("RSA PUBLIC KEY", &pkcs1).into_bytes()),
        ("RSAPublicKey in DER", pkcs1),
        ("certificate in PEM", pem("CERTIFICATE", &certificate).into_bytes()),
        ("certificate in DER", certificate),
    ] {
        for (algorithm, alg) in [(Algorithm::HS256, "HS256"), (Algorithm::HS512, "HS512")] {
            let token = really(&TokenKey::hmac(&secret, algorithm), alg);
            rows.push((format!("{alg} keyed with the leaf's {form}"), token, wanted(alg)));
        }
    }

    for (name, alg, got) in [
        ("alg is a number", json!(256), "a number"),
        ("alg is an array", json!(["RS256"]), "an array"),
        ("alg is an object", json!({ "RS256": true }), "an object"),
        ("alg is a boolean", json!(true), "a boolean"),
    ] {
        rows.push(row(name, forge.with_header(&json!({ "alg": alg })), wanted(got)));
    }
    let good = forge.mint.header().to_string();
    let null = good.replace(r#""alg":"RS256""#, r#""alg":null"#);
    rows.push(row("alg is null", forge.with_raw_header(null), wanted("null")));
    rows.push(row("alg missing", forge.with_header(&json!({ "alg": null })), wanted("none at all")));
    rows.push(row(
        "alg named ALG",
        forge.with_header(&json!({ "alg": null, "ALG": "RS256" })),
        wanted("none at all"),
    ));
    rows.push(row("empty header object", forge.with_raw_header("{}"), wanted("none at all")));
    rows
}

fn critical(forge: &Forge) -> Vec<Row> {
    let good = forge.mint.header().to_string();
    let null = format!(r#"{{"crit":null,{}"#, &good[1..]);
    let escaped = format!(r#"{{"\u0063rit":["exp"],{}"#, &good[1..]);
    let with = |patch: Value| forge.with_header(&patch);
    let rows = [
        ("crit is empty", with(json!({ "crit": [] }))),
        ("crit names what is not there", with(json!({ "crit": ["exp"] }))),
        ("crit names what is there", with(json!({ "crit": ["exp"], "exp": 1 }))),
        ("crit names a standard parameter", with(json!({ "crit": ["alg"] }))),
        ("unencoded payload asked for (RFC 7797)", with(json!({ "crit": ["b64"], "b64": false }))),
        ("crit is a string", with(json!({ "crit": "exp" }))),
        ("crit is null", forge.with_raw_header(null)),
        ("crit written with escapes", forge.with_raw_header(escaped)),
    ];
    rows.into_iter().map(|(name, token)| row(name, token, VerifyError::CriticalParameters)).collect()
}

/// Header parameters that offer another key, or a name for one.
fn offers(key: &Key) -> [(&'static str, Value); 9] {
    let address = "https://attacker.invalid/key";
    [
        ("jwk", json!({ "jwk": jwk(key) })),
        ("jku", json!({ "jku": address })),
        ("x5u", json!({ "x5u": address })),
        ("kid", json!({ "kid": "attacker" })),
        ("kid that is a path", json!({ "kid": "../../../dev/null" })),
        ("kid that is a query", json!({ "kid": "x' UNION SELECT 'key" })),
        ("x5t", json!({ "x5t": "AAAAAAAAAAAAAAAAAAAAAAAAAAA", "x5t#S256": "AAAA" })),
        ("kid of no string", json!({ "kid": 7 })),
        ("all of them", json!({ "jwk": jwk(key), "jku": address, "x5u": address, "kid": "attacker" })),
    ]
}

fn key_games(forge: &Forge) -> Vec<Row> {
    let mint = forge.mint.clone().signed_by(forge.attacker.token_key().unwrap());
    let offers = offers(&forge.attacker).into_iter();
    offers
        .map(|(name, patch)| {
            let token = mint.token_with(&patch, &forge.claims()).unwrap();
            (format!("signed by another key, offered by {name}"), token, VerifyError::Signature)
        })
        .collect()
}

/// What looks like an attack and is Google's word: signed by the leaf as it is.
pub fn genuine(forge: &Forge) -> Vec<Genuine> {
    let good = forge.mint.header().to_string();
    let mut rows = vec![
        forge.genuine("a token like Google's", forge.token()),
        forge.genuine("a token of the greatest length", token_of_length(forge, MAX_TOKEN_BYTES)),
        forge.genuine(
            "alg written with escapes",
            forge.with_raw_header(good.replace(r#""alg":"RS256""#, r#""\u0061lg":"\u0052S256""#)),
        ),
        forge.genuine("white space in the header", forge.with_raw_header(format!(" {good}\r\n"))),
        forge.genuine("no kid and no typ", forge.with_header(&json!({ "kid": null, "typ": null }))),
        forge.genuine("another typ", forge.with_header(&json!({ "typ": "at+jwt" }))),
    ];
    for (name, patch) in offers(&forge.attacker) {
        rows.push(
            forge.genuine(&format!("another key offered by {name}, and not used"), forge.with_header(&patch)),
        );
    }
    rows
}

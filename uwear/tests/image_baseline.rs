//! `uwear baseline init --from-image`: a baseline that pins the image of an OCI archive, and archives that are none.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

mod support;

use aws_lc_rs::digest::{SHA256, digest};
use serde_json::{Value, json};
use support::{Ended, Owner, Uwear, tokens};
use tar::{Builder, EntryType, Header};

const MANIFEST: &str = "application/vnd.oci.image.manifest.v1+json";
const PROJECT: &str = "mock-usleep-project";
const ACCOUNT: &str = "workload-sa@mock-usleep-project.iam.gserviceaccount.com";

fn sha256(bytes: &[u8]) -> String {
    hex::encode(digest(&SHA256, bytes))
}

fn blob(bytes: &[u8]) -> String {
    format!("blobs/sha256/{}", sha256(bytes))
}

/// An image's documents, and the files of its archive. A test changes one of them.
struct Parts {
    config: Vec<u8>,
    manifest: Vec<u8>,
    index: Value,
    layout: Vec<u8>,
}

impl Parts {
    fn of(config: Value) -> Self {
        let config = config.to_string().into_bytes();
        let manifest = manifest(&config).to_string().into_bytes();
        Self {
            index: index(&manifest),
            manifest,
            config,
            layout: br#"{"imageLayoutVersion": "1.0.0"}"#.to_vec(),
        }
    }

    fn usleep() -> Self {
        Self::of(json!({"os": "linux", "config": {
            "Env": ["USLEEP_AUDIENCE=uwear"],
            "Entrypoint": ["/usleep", "serve"],
            "Labels": {
                "org.opencontainers.image.title": "usleep",
                "org.opencontainers.image.version": "0.1.0",
                "tee.launch_policy.allow_cmd_override": "false",
                "tee.launch_policy.log_redirect": "always",
            },
        }}))
    }

    fn digest(&self) -> String {
        format!("sha256:{}", sha256(&self.manifest))
    }

    fn files(&self) -> Vec<(String, Vec<u8>)> {
        vec![
            (blob(&self.config), self.config.clone()),
            (blob(&self.manifest), self.manifest.clone()),
            ("index.json".to_owned(), self.index.to_string().into_bytes()),
            ("oci-layout".to_owned(), self.layout.clone()),
        ]
    }

    fn archive(&self) -> Vec<u8> {
        archive(&self.files())
    }
}

fn manifest(config: &[u8]) -> Value {
    json!({"schemaVersion": 2, "mediaType": MANIFEST, "config": {
        "mediaType": "application/vnd.oci.image.config.v1+json",
        "digest": format!("sha256:{}", sha256(config)),
        "size": config.len(),
    }, "layers": []})
}

fn index(manifest: &[u8]) -> Value {
    json!({"schemaVersion": 2, "manifests": [
        {"mediaType": MANIFEST, "digest": format!("sha256:{}", sha256(manifest)), "size": manifest.len()},
    ]})
}

/// A tar archive as buildah writes it: folders, then files.
fn archive(files: &[(String, Vec<u8>)]) -> Vec<u8> {
    let mut builder = Builder::new(Vec::new());
    for folder in ["blobs/", "blobs/sha256/"] {
        append(&mut builder, folder, EntryType::Directory, b"");
    }
    for (name, content) in files {
        append(&mut builder, name, EntryType::Regular, content);
    }
    builder.into_inner().unwrap()
}

/// The name goes in as it is, also one that the crate's own way in would refuse.
fn append(builder: &mut Builder<Vec<u8>>, name: &str, kind: EntryType, content: &[u8]) {
    let mut header = Header::new_ustar();
    header.as_old_mut().name[..name.len()].copy_from_slice(name.as_bytes());
    header.set_entry_type(kind);
    header.set_size(content.len() as u64);
    header.set_mode(0o644);
    header.set_cksum();
    builder.append(&header, content).unwrap();
}

fn init(owner: &Owner) -> Uwear {
    let called = owner.uwear().args(["baseline", "init", "--from-image", "image.tar", "--project", PROJECT]);
    called.args(["--service-account", ACCOUNT])
}

/// What becomes of an archive that must not be taken: one complaint, and no file.
async fn refused(archive: impl AsRef<[u8]>) -> Ended {
    let owner = Owner::new();
    owner.file("image.tar", archive);
    let ended = init(&owner).args(["--output", "mine.json"]).ends().await.with_code(2);
    assert!(!owner.path("mine.json").exists(), "{ended}");
    ended
}

#[tokio::test(flavor = "multi_thread")]
async fn the_baseline_of_an_image_pins_its_manifest_and_accepts_a_token_of_it() {
    let owner = Owner::new();
    let usleep = Parts::usleep();
    owner.file("image.tar", usleep.archive());
    let at = ["--now", "2026-11-02T00:00:00Z", "--output", "mine.json"];
    let ended = init(&owner).args(at).ends().await.with_code(0);
    assert!(ended.stdout.is_empty(), "{ended}");
    let lines = [
        "wrote mine.json; review it before you use it:\n",
        &format!("scripts/audit_image.sh {} ARCHIVE", usleep.digest()),
        "  the image's entry point                  [\"/usleep\",\"serve\"]\n",
        "  the image's environment                  [\"USLEEP_AUDIENCE=uwear\"]\n",
        "  tee.launch_policy.allow_cmd_override     false\n",
        "  tee.launch_policy.log_redirect           always\n",
    ];
    let ended = ended.says(&lines);
    assert!(!ended.stderr.contains("lets the operator change"), "{ended}");

    let baseline: Value =
        serde_json::from_str(&std::fs::read_to_string(owner.path("mine.json")).unwrap()).unwrap();
    let wanted = json!({
        "allowed_submods_container_image_digest": [usleep.digest()],
        "image_digest_notes": {usleep.digest(): {"label": "usleep 0.1.0", "date": "2026-11-02"}},
        "allowed_hwmodel": ["GCP_INTEL_TDX", "GCP_AMD_SEV"],
        "allowed_aud": ["uwear"],
        "allowed_issuer": ["https://confidentialcomputing.googleapis.com"],
        "allowed_secboot": [true],
        "allowed_sw_name": ["CONFIDENTIAL_SPACE"],
        "allowed_dbgstat": ["disabled-since-boot"],
        "required_support_attributes": ["STABLE"],
        "allowed_project_id": [PROJECT],
        "allowed_service_account": [ACCOUNT],
        "allowed_env_override": [],
        "allow_cmd_override": false,
    });
    assert_eq!(baseline, wanted);

    owner.uwear().args(["policy", "check", "--baseline", "mine.json"]).ends().await.with_code(0);
    for (digest, code) in [(usleep.digest(), 0), (format!("sha256:{}", sha256(b"another")), 5)] {
        let patch = json!({"submods": {"container": {"image_digest": digest}}});
        owner.file("token.jwt", tokens::token("nonce", &patch));
        let verify = owner.uwear().args(["verify", "token.jwt", "--no-nonce", "--baseline", "mine.json"]);
        verify.option("--root", tokens::root_file()).ends().await.with_code(code);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_the_owner_says_wins_over_what_the_image_says() {
    let owner = Owner::new();
    owner.file("image.tar", Parts::usleep().archive());
    let more = ["--label", "audited by us", "--audience", "clinic", "--project", "second-project"];
    let ended = init(&owner).args(more).ends().await.with_code(0);
    let baseline: Value = serde_json::from_str(&ended.stdout).unwrap();
    assert_eq!(baseline["image_digest_notes"][Parts::usleep().digest()]["label"], "audited by us");
    assert_eq!(baseline["allowed_aud"], json!(["clinic"]));
    assert_eq!(baseline["allowed_project_id"], json!([PROJECT, "second-project"]));
}

#[tokio::test(flavor = "multi_thread")]
async fn an_image_that_says_nothing_is_named_after_its_file_and_foreign_text_is_made_printable() {
    let owner = Owner::new();
    owner.file("image.tar", Parts::of(json!({"config": null})).archive());
    let ended = init(&owner).ends().await.with_code(0).says(&["entry point                  []"]);
    assert!(ended.stdout.contains(r#""label": "image.tar""#), "{ended}");

    let labels = json!({
        "org.opencontainers.image.title": "usleep\u{1b}[2J",
        "tee.launch_policy.allow_env_override": "A\u{202e}B",
    });
    owner.file("image.tar", Parts::of(json!({"config": {"Labels": labels, "Cmd": ["x\u{202e}"]}})).archive());
    let ended = init(&owner).ends().await.with_code(0);
    let ended = ended.says(&["A\\u{202e}B", "the image's command", "lets the operator change"]);
    let shown = format!("{}{}", ended.stdout, ended.stderr);
    assert!(!shown.contains(['\u{1b}', '\u{202e}']), "{ended}");
    assert!(ended.stdout.contains("usleep\\\\u{1b}[2J"), "{ended}");
}

#[tokio::test(flavor = "multi_thread")]
async fn who_runs_the_image_has_to_be_said() {
    let owner = Owner::new();
    owner.file("image.tar", Parts::usleep().archive());
    let call = |more: &'static [&'static str]| {
        owner.uwear().args(["baseline", "init", "--from-image", "image.tar"]).args(more.iter().copied())
    };
    for given in [&[][..], &["--project", PROJECT], &["--service-account", ACCOUNT]] {
        let ended = call(given).ends().await.with_code(2);
        ended
            .with_one_complaint(&["wanted --project ID and --service-account EMAIL"])
            .says(&[r#"{"any": true, "reason": "…"} by hand"#]);
    }
    let empty = call(&["--project", "", "--service-account", ACCOUNT]).ends().await.with_code(2);
    empty.with_one_complaint(&["makes no baseline: ", "allowed_project_id[0]: wanted a value"]);
    // What belongs to one source only is not quietly ignored beside the other.
    owner.file("token.jwt", "x");
    call(&["--from-token", "token.jwt"]).ends().await.with_code(2).says(&["cannot be used with"]);
    let token = owner.uwear().args(["baseline", "init", "--from-token", "token.jwt", "--project", PROJECT]);
    token.ends().await.with_code(2).says(&["cannot be used with"]);
    owner.uwear().args(["baseline", "init"]).ends().await.with_code(2).says(&["--from-token <FILE>"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_archive_whose_documents_do_not_fit_each_other_is_refused() {
    let usleep = Parts::usleep;
    let other = sha256(b"another");
    let with_index = |change: fn(&mut Value)| {
        let mut parts = usleep();
        change(&mut parts.index);
        parts.archive()
    };
    let with_manifest = |change: &dyn Fn(&mut Value)| {
        let mut parts = usleep();
        let mut changed = manifest(&parts.config);
        change(&mut changed);
        parts.manifest = changed.to_string().into_bytes();
        parts.index = index(&parts.manifest);
        parts.archive()
    };
    // A blob under a name that is not its hash.
    let renamed = |which: usize| {
        let mut files = usleep().files();
        files[which].1.push(b' ');
        archive(&files)
    };
    let without = |which: usize| {
        let mut files = usleep().files();
        files.remove(which);
        archive(&files)
    };
    let rows = [
        (with_index(|index| index["manifests"] = json!([])), "wanted exactly one manifest, got 0"),
        (
            with_index(|index| {
                let twice = index["manifests"][0].clone();
                index["manifests"].as_array_mut().unwrap().push(twice);
            }),
            "wanted exactly one manifest, got 2",
        ),
        (
            with_index(|index| {
                index["manifests"][0]["mediaType"] = json!("application/vnd.oci.image.index.v1+json");
            }),
            "mediaType of the manifest: wanted application/vnd.oci.image.manifest.v1+json, got",
        ),
        (
            with_index(|index| index["manifests"][0]["digest"] = json!("sha256:../../index.json")),
            "digest of the manifest: wanted sha256: and 64",
        ),
        (
            with_index(|index| index["manifests"][0]["digest"] = json!(format!("sha512:{}", "a".repeat(64)))),
            "digest of the manifest: wanted sha256: and 64",
        ),
        (
            with_index(|index| index["manifests"][0]["size"] = json!(1)),
            "length of the manifest: wanted 1, got",
        ),
        (with_index(|index| index["manifests"] = json!({})), "index.json: invalid type"),
        (renamed(0), "length of the configuration: wanted"),
        (renamed(1), "length of the manifest: wanted"),
        (without(0), "not in the archive"),
        (without(1), "not in the archive"),
        (without(2), "index.json: not in the archive"),
        (without(3), "oci-layout: not in the archive"),
        (
            with_manifest(&|manifest| manifest["config"]["digest"] = json!(format!("sha256:{other}"))),
            "not in the archive",
        ),
        (with_manifest(&|manifest| manifest["mediaType"] = json!("x")), "manifest: mediaType: wanted"),
        (
            with_manifest(&|manifest| manifest["config"]["mediaType"] = json!("x")),
            "mediaType of the configuration: wanted",
        ),
        (with_manifest(&|manifest| manifest["config"] = json!(null)), "manifest: invalid type: null"),
        (
            Parts { layout: br#"{"imageLayoutVersion": "2.0.0"}"#.to_vec(), ..usleep() }.archive(),
            "imageLayoutVersion: wanted 1.0.0, got 2.0.0",
        ),
        (Parts { layout: b"{".to_vec(), ..usleep() }.archive(), "oci-layout: EOF"),
        (Parts::of(json!([])).archive(), "configuration: wanted an object"),
        (
            Parts::of(json!({"config": {"Entrypoint": "/bin/sh -c x"}})).archive(),
            "configuration: invalid type",
        ),
    ];
    for (archive, wanted) in rows {
        refused(archive).await.with_one_complaint(&["image image.tar: ", wanted]);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_blob_with_other_bytes_of_the_same_length_is_refused() {
    for (which, what) in [(0, "SHA-256 of the configuration: "), (1, "SHA-256 of the manifest: ")] {
        let mut files = Parts::usleep().files();
        files[which].1[5] ^= 1;
        refused(archive(&files)).await.with_one_complaint(&[what, "wanted", "got"]);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_name_that_is_there_twice_in_a_document_is_refused() {
    let mut parts = Parts::usleep();
    parts.config = br#"{"config": {"Entrypoint": ["/usleep"], "Entrypoint": ["/bin/sh"]}}"#.to_vec();
    parts.manifest = manifest(&parts.config).to_string().into_bytes();
    parts.index = index(&parts.manifest);
    refused(parts.archive()).await.with_one_complaint(&["configuration: ", "Entrypoint"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn entries_that_an_image_does_not_have_are_refused() {
    let hash = "a".repeat(64);
    let rows = [
        ("../index.json", EntryType::Regular, "got ../index.json"),
        ("/etc/passwd", EntryType::Regular, "got /etc/passwd"),
        ("./index.json", EntryType::Regular, "got ./index.json"),
        ("blobs/sha256/../../index.json", EntryType::Regular, "got blobs/sha256/../../index.json"),
        ("blobs/sha256/short", EntryType::Regular, "got blobs/sha256/short"),
        ("blobs/sha512/", EntryType::Directory, "got blobs/sha512/"),
        ("manifest.json", EntryType::Regular, "got manifest.json"),
        ("x\u{1b}[2J", EntryType::Regular, "got x\\u{1b}[2J"),
        ("index.json", EntryType::Symlink, "got index.json"),
        ("oci-layout", EntryType::Link, "got oci-layout"),
        ("index.json", EntryType::Fifo, "got index.json"),
        ("index.json", EntryType::Directory, "got index.json"),
        // Headers that would give the next entry another name, length or content.
        ("././@LongLink", EntryType::GNULongName, "got ././@LongLink"),
        ("PaxHeaders/index.json", EntryType::XHeader, "got PaxHeaders/index.json"),
        ("index.json", EntryType::XGlobalHeader, "got index.json"),
        ("index.json", EntryType::GNUSparse, "got index.json"),
        ("index.json", EntryType::Regular, "index.json: twice in the archive"),
        (&format!("blobs/sha256/{hash}"), EntryType::Symlink, "got blobs/sha256/aaa"),
    ];
    for (name, kind, wanted) in rows {
        let mut builder = Builder::new(Vec::new());
        for (name, content) in Parts::usleep().files() {
            append(&mut builder, &name, EntryType::Regular, &content);
        }
        append(&mut builder, name, kind, b"");
        let ended = refused(builder.into_inner().unwrap()).await;
        ended.with_one_complaint(&["image image.tar: ", wanted]);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_too_large_cut_short_or_no_archive_is_refused() {
    const MIB: usize = 1024 * 1024;
    let large = |mut parts: Parts, to: usize| {
        parts.config.resize(to, b' ');
        parts.manifest = manifest(&parts.config).to_string().into_bytes();
        parts.index = index(&parts.manifest);
        parts
    };
    let owner = Owner::new();
    owner.file("image.tar", large(Parts::usleep(), MIB).archive());
    init(&owner).ends().await.with_code(0);

    let whole = Parts::usleep().archive();
    // The last entry claims more bytes than there are.
    let mut lying = Builder::new(Vec::new());
    append(&mut lying, "index.json", EntryType::Regular, b"{}");
    let mut lying = lying.into_inner().unwrap();
    let mut header = Header::from_byte_slice(&lying[..512]).clone();
    header.set_size(1 << 40);
    header.set_cksum();
    lying[..512].copy_from_slice(header.as_bytes());
    let crowded: Vec<(String, Vec<u8>)> = (0..1100_u32)
        .map(|number| (format!("blobs/sha256/{}", sha256(&number.to_be_bytes())), Vec::new()))
        .collect();
    let rows = [
        (
            large(Parts::usleep(), MIB + 1).archive(),
            "too large, wanted at most 1048576 bytes, got 1048577".to_owned(),
        ),
        (lying, "index.json: cut short".to_owned()),
        (archive(&crowded), "wanted at most 1024 entries".to_owned()),
        // Two folders of 512 bytes each come first: in the next header, in its content.
        (whole[..1024 + 100].to_vec(), "not a tar archive".to_owned()),
        (whole[..1024 + 512 + 100].to_vec(), "cut short".to_owned()),
        (b"not an archive".to_vec(), "not a tar archive".to_owned()),
        (vec![b'x'; 4096], "not a tar archive".to_owned()),
        (vec![0x1f; 4096], "not a tar archive".to_owned()),
        (Vec::new(), "oci-layout: not in the archive".to_owned()),
        (vec![0; 10_240], "oci-layout: not in the archive".to_owned()),
    ];
    for (archive, wanted) in rows {
        refused(archive).await.with_one_complaint(&["image image.tar: ", &wanted]);
    }

    // Holes: the file takes no room.
    std::fs::File::create(owner.path("image.tar")).unwrap().set_len(256 * MIB as u64 + 1).unwrap();
    let ended = init(&owner).ends().await.with_code(2);
    ended.with_one_complaint(&["archive: too large, wanted at most 268435456 bytes, got 268435457"]);
    for (path, wanted) in [
        ("absent.tar", "image absent.tar: No such file"),
        (".", "image .: wanted a regular file"),
        ("/dev/zero", "image /dev/zero: wanted a regular file"),
    ] {
        let call = owner.uwear().args(["baseline", "init", "--from-image", path, "--project", PROJECT]);
        let ended = call.args(["--service-account", ACCOUNT]).ends().await.with_code(2);
        ended.with_one_complaint(&[wanted]);
    }
}

//! An OCI image archive, as `buildah push IMAGE oci-archive:FILE` writes it: which image it holds, and what that says
//! of itself.
//!
//! The digest is that of the manifest's exact bytes, which is what a token carries as `image_digest`; manifest and
//! configuration are hashed and must be what the archive says they are. Layers are not looked at: the manifest names
//! each by its digest, so the one digest covers them too. The archive is read in place and within limits, nothing of
//! it is written anywhere, and an archive that holds anything else than one image is refused: of two, which would be
//! meant?
//!
//! Format: <https://github.com/opencontainers/image-spec/blob/v1.1.0/image-layout.md>, in a tar archive.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{self, Read, Seek, SeekFrom};
use std::path::Path;

use attestation::json::object_with_unique_names;
use attestation::printable;
use aws_lc_rs::digest::{SHA256, digest};
use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::Value;

/// Largest archive, in bytes: some fifty times an image of this project.
pub(crate) const MAX_ARCHIVE_BYTES: u64 = 256 * 1024 * 1024;

/// Largest index, manifest or configuration, in bytes; usual ones have a few thousand.
pub(crate) const MAX_DOCUMENT_BYTES: u64 = 1024 * 1024;

/// Most files and folders in an archive; an image has at most some hundred layers.
const MAX_ENTRIES: usize = 1024;

const LAYOUT: &str = "oci-layout";
const INDEX: &str = "index.json";
const BLOBS: &str = "blobs/sha256";

const MANIFEST_TYPE: &str = "application/vnd.oci.image.manifest.v1+json";
const CONFIG_TYPE: &str = "application/vnd.oci.image.config.v1+json";

/// The image of an archive.
#[derive(Debug, PartialEq)]
pub(crate) struct Image {
    /// `sha256:` and 64 hexadecimal digits: that of the manifest.
    pub(crate) digest: String,
    pub(crate) entry_point: Vec<String>,
    /// What is appended to the entry point.
    pub(crate) command: Vec<String>,
    pub(crate) environment: Vec<String>,
    pub(crate) labels: BTreeMap<String, String>,
}

impl Image {
    /// `usleep 0.3.1`, as the image calls itself. Foreign.
    pub(crate) fn title(&self) -> Option<String> {
        let label = |name: &str| self.labels.get(name).filter(|value| !value.trim().is_empty());
        let title = label("org.opencontainers.image.title")?;
        Some(match label("org.opencontainers.image.version") {
            Some(version) => format!("{title} {version}"),
            None => title.clone(),
        })
    }

    /// Whether its launch policy allows another command or other variables. Both labels default to no:
    /// <https://cloud.google.com/confidential-computing/confidential-space/docs/create-customize-workloads#launch-policies>
    pub(crate) fn lets_the_operator_override(&self) -> bool {
        let label = |name: &str| self.labels.get(name).map_or("", String::as_str);
        !matches!(label("tee.launch_policy.allow_cmd_override"), "" | "false")
            || !label("tee.launch_policy.allow_env_override").is_empty()
    }
}

/// Why an archive shows no image. Holds nothing foreign that is not printable.
#[derive(Debug, PartialEq, thiserror::Error)]
pub(crate) enum ImageError {
    #[error("{0}")]
    Read(String),
    #[error("wanted a regular file")]
    NotAFile,
    #[error("{what}: too large, wanted at most {limit} bytes, got {got}")]
    TooLarge { what: String, limit: u64, got: u64 },
    #[error("not a tar archive, or a damaged one")]
    NotTar,
    #[error("wanted at most {MAX_ENTRIES} entries")]
    TooManyEntries,
    #[error("wanted only oci-layout, index.json and files in blobs/sha256, got {0}")]
    ForeignEntry(String),
    #[error("{0}: twice in the archive")]
    Twice(String),
    #[error("{0}: not in the archive")]
    Missing(String),
    #[error("{0}: cut short")]
    CutShort(String),
    #[error("{name}: {message}")]
    Json { name: String, message: String },
    #[error("index.json: wanted exactly one manifest, got {0}")]
    NotOneManifest(usize),
    #[error("{place}: wanted {wanted}, got {got}")]
    Wrong { place: String, wanted: String, got: String },
}

pub(crate) fn read(path: &Path) -> Result<Image, ImageError> {
    let file = File::open(path).map_err(unreadable)?;
    let metadata = file.metadata().map_err(unreadable)?;
    if !metadata.is_file() {
        return Err(ImageError::NotAFile);
    }
    within("archive", metadata.len(), MAX_ARCHIVE_BYTES)?;
    let mut archive = Archive::new(file, metadata.len())?;

    let layout: Layout = parsed(LAYOUT, &archive.document(LAYOUT)?)?;
    equal("oci-layout: imageLayoutVersion", "1.0.0", &layout.version)?;
    let index: Index = parsed(INDEX, &archive.document(INDEX)?)?;
    let [described] = &index.manifests[..] else {
        return Err(ImageError::NotOneManifest(index.manifests.len()));
    };
    equal("index.json: mediaType of the manifest", MANIFEST_TYPE, &described.media_type)?;
    let manifest: Manifest = parsed("manifest", &archive.blob("manifest", described)?)?;
    if let Some(media_type) = &manifest.media_type {
        equal("manifest: mediaType", MANIFEST_TYPE, media_type)?;
    }
    equal("manifest: mediaType of the configuration", CONFIG_TYPE, &manifest.config.media_type)?;
    let configuration: Configuration =
        parsed("configuration", &archive.blob("configuration", &manifest.config)?)?;

    let run = configuration.config.unwrap_or_default();
    Ok(Image {
        digest: described.digest.clone(),
        entry_point: run.entry_point.unwrap_or_default(),
        command: run.command.unwrap_or_default(),
        environment: run.environment.unwrap_or_default(),
        labels: run.labels.unwrap_or_default(),
    })
}

/// Where in the file each entry's bytes are.
struct Archive {
    file: File,
    entries: BTreeMap<String, Extent>,
}

struct Extent {
    start: u64,
    length: u64,
}

impl Archive {
    fn new(file: File, length: u64) -> Result<Self, ImageError> {
        let mut entries = BTreeMap::new();
        let mut archive = tar::Archive::new(&file);
        // Raw: what would give the next entry another name or length is an entry of its own then, and refused.
        for (count, entry) in archive.entries_with_seek().map_err(not_tar)?.raw(true).enumerate() {
            let entry = entry.map_err(not_tar)?;
            if count >= MAX_ENTRIES {
                return Err(ImageError::TooManyEntries);
            }
            let header = entry.header();
            let raw_name = header.path_bytes();
            let foreign = || ImageError::ForeignEntry(printable(&String::from_utf8_lossy(&raw_name)));
            let name = std::str::from_utf8(&raw_name).map_err(|_| foreign())?;
            let kind = header.entry_type();
            if kind.is_dir() && ["blobs", BLOBS].contains(&name.strip_suffix('/').unwrap_or(name)) {
                continue;
            }
            let blob = name.strip_prefix(BLOBS).and_then(|rest| rest.strip_prefix('/'));
            if !kind.is_file() || !(name == LAYOUT || name == INDEX || blob.is_some_and(is_hash)) {
                return Err(foreign());
            }
            let extent = Extent { start: entry.raw_file_position(), length: entry.size() };
            if extent.start.checked_add(extent.length).is_none_or(|end| end > length) {
                return Err(ImageError::CutShort(name.to_owned()));
            }
            if entries.insert(name.to_owned(), extent).is_some() {
                return Err(ImageError::Twice(name.to_owned()));
            }
        }
        Ok(Self { file, entries })
    }

    /// The bytes of a small entry.
    fn document(&mut self, name: &str) -> Result<Vec<u8>, ImageError> {
        let extent = self.entries.get(name).ok_or_else(|| ImageError::Missing(name.to_owned()))?;
        within(name, extent.length, MAX_DOCUMENT_BYTES)?;
        self.file.seek(SeekFrom::Start(extent.start)).map_err(unreadable)?;
        let mut bytes = Vec::new();
        (&self.file).take(extent.length).read_to_end(&mut bytes).map_err(unreadable)?;
        if bytes.len() as u64 != extent.length {
            return Err(ImageError::CutShort(name.to_owned()));
        }
        Ok(bytes)
    }

    /// The bytes of a small blob, which are those that its descriptor means.
    fn blob(&mut self, what: &str, described: &Descriptor) -> Result<Vec<u8>, ImageError> {
        let hash =
            described.digest.strip_prefix("sha256:").filter(|hash| is_hash(hash)).ok_or_else(|| {
                wrong(
                    &format!("digest of the {what}"),
                    "sha256: and 64 lower-case hexadecimal digits",
                    &described.digest,
                )
            })?;
        let bytes = self.document(&format!("{BLOBS}/{hash}"))?;
        equal(&format!("length of the {what}"), &described.size.to_string(), &bytes.len().to_string())?;
        equal(&format!("SHA-256 of the {what}"), hash, &hex::encode(digest(&SHA256, &bytes)))?;
        Ok(bytes)
    }
}

#[derive(Deserialize)]
struct Layout {
    #[serde(rename = "imageLayoutVersion")]
    version: String,
}

#[derive(Deserialize)]
struct Index {
    manifests: Vec<Descriptor>,
}

#[derive(Deserialize)]
struct Descriptor {
    #[serde(rename = "mediaType")]
    media_type: String,
    digest: String,
    size: u64,
}

#[derive(Deserialize)]
struct Manifest {
    #[serde(rename = "mediaType")]
    media_type: Option<String>,
    config: Descriptor,
}

#[derive(Deserialize)]
struct Configuration {
    config: Option<Run>,
}

/// How the image is run. Anything may be null or missing.
#[derive(Default, Deserialize)]
struct Run {
    #[serde(rename = "Entrypoint")]
    entry_point: Option<Vec<String>>,
    #[serde(rename = "Cmd")]
    command: Option<Vec<String>>,
    #[serde(rename = "Env")]
    environment: Option<Vec<String>>,
    #[serde(rename = "Labels")]
    labels: Option<BTreeMap<String, String>>,
}

fn parsed<T: DeserializeOwned>(name: &str, bytes: &[u8]) -> Result<T, ImageError> {
    // A name that is there twice would mean one thing here and another to whoever runs the image.
    object_with_unique_names(bytes)
        .and_then(|object| serde_json::from_value(Value::Object(object)))
        .map_err(|error| ImageError::Json { name: name.to_owned(), message: printable(&error.to_string()) })
}

fn within(what: &str, got: u64, limit: u64) -> Result<(), ImageError> {
    if got <= limit {
        return Ok(());
    }
    Err(ImageError::TooLarge { what: what.to_owned(), limit, got })
}

fn equal(place: &str, wanted: &str, got: &str) -> Result<(), ImageError> {
    if wanted == got { Ok(()) } else { Err(wrong(place, wanted, got)) }
}

fn wrong(place: &str, wanted: &str, got: &str) -> ImageError {
    ImageError::Wrong { place: place.to_owned(), wanted: wanted.to_owned(), got: printable(got) }
}

/// What the tar crate finds wrong in the bytes has no kind of its own, and quotes them.
fn not_tar(error: io::Error) -> ImageError {
    if error.kind() == io::ErrorKind::Other { ImageError::NotTar } else { unreadable(error) }
}

fn unreadable(error: io::Error) -> ImageError {
    ImageError::Read(error.to_string())
}

fn is_hash(text: &str) -> bool {
    text.len() == 64 && text.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'))
}

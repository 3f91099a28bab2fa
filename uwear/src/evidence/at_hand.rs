//! PHI and results that the owner has beside the evidence, committed to as they may have crossed. They may be those of many
//! nights: read once, in memory that does not grow with them.

use std::io::{self, Read};
use std::path::Path;

use attestation::v1::{Commit, Commitment, CommitmentKey, Contents};
use zeroize::Zeroizing;

use crate::exit::Failure;
use crate::load;

/// Bytes that are read at once.
const CHUNK_BYTES: usize = 64 * 1024;

/// Commits to the files that are given, under the key of the session.
pub(super) fn contents(
    key: &CommitmentKey,
    phi: Option<&Path>,
    result: Option<&Path>,
) -> Result<Contents, Failure> {
    let mut contents = Contents::default();
    if let Some(file) = phi {
        contents.phi = committed(file, "health data", || key.commit_phi())?.sent();
    }
    if let Some(file) = result {
        contents.result = committed(file, "result", || key.commit_result())?.received();
    }
    Ok(contents)
}

fn committed(file: &Path, what: &str, commit: impl Fn() -> Commit) -> Result<Ways, Failure> {
    let reader = load::open(file, what)?;
    Ways::read(reader, commit).map_err(|error| load::cannot_be_read(file, what, &error))
}

/// Commitments to the same bytes, taken in several ways.
struct Ways {
    as_it_is: Commitment,
    /// Without the line feeds at the end, as one night is sent.
    without_end: Commitment,
    /// Without any line feed, as the results of many nights came: the file has a line for each message.
    joined: Commitment,
}

impl Ways {
    fn read(mut reader: impl Read, commit: impl Fn() -> Commit) -> io::Result<Self> {
        let (mut as_it_is, mut without_end, mut joined) = (commit(), commit(), commit());
        // Line feeds that may turn out to be the end.
        let mut ends: u64 = 0;
        let mut chunk = Zeroizing::new(vec![0; CHUNK_BYTES]);
        loop {
            let count = match reader.read(&mut chunk) {
                Ok(0) => break,
                Ok(count) => count,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
                Err(error) => return Err(error),
            };
            let bytes = chunk.get(..count).unwrap_or_default();
            as_it_is.update(bytes);
            for (index, line) in bytes.split(|byte| *byte == b'\n').enumerate() {
                ends += u64::from(index > 0);
                if !line.is_empty() {
                    for _ in 0..std::mem::take(&mut ends) {
                        without_end.update(b"\n");
                    }
                    without_end.update(line);
                    joined.update(line);
                }
            }
        }
        Ok(Self { as_it_is: as_it_is.finish(), without_end: without_end.finish(), joined: joined.finish() })
    }

    fn sent(self) -> Vec<Commitment> {
        vec![self.as_it_is, self.without_end]
    }

    fn received(self) -> Vec<Commitment> {
        vec![self.as_it_is, self.joined]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Gives one byte at a time.
    struct Slow<'a>(&'a [u8]);

    impl Read for Slow<'_> {
        fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
            self.0.read(&mut buffer[..1])
        }
    }

    #[test]
    fn line_feeds_are_left_out_where_they_did_not_cross() {
        let key = CommitmentKey::from_bytes(Zeroizing::new([7; 32]));
        let of = |bytes: &[u8]| {
            let mut commit = key.commit_phi();
            commit.update(bytes);
            commit.finish()
        };
        for (bytes, without_end, joined) in [
            (&b""[..], &b""[..], &b""[..]),
            (b"{}", b"{}", b"{}"),
            (b"{}\n", b"{}", b"{}"),
            (b"\n{\n\n}\n\n\n", b"\n{\n\n}", b"{}"),
            (b"\n\n", b"", b""),
        ] {
            for ways in [
                Ways::read(bytes, || key.commit_phi()).unwrap(),
                Ways::read(Slow(bytes), || key.commit_phi()).unwrap(),
            ] {
                let got = (ways.as_it_is, ways.without_end, ways.joined);
                assert_eq!(got, (of(bytes), of(without_end), of(joined)), "{bytes:?}");
            }
        }
    }
}

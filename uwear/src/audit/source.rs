//! A log to be read: as long as it was when reading began, whoever adds to it meanwhile. Reading a long one says how
//! far it is.

use std::fs::File;
use std::io::{self, BufRead, BufReader, Read, Take, Write as _};
use std::path::Path;
use std::time::{Duration, Instant};

use super::log::{self, LogError};

const BUFFER: usize = 256 * 1024;

/// Who waits is told after so long how far it is, and again each time.
const NEWS: Duration = Duration::from_secs(2);

/// A log's bytes, up to where they ended.
pub(super) struct Source {
    bytes: Take<BufReader<File>>,
    length: u64,
    told: Instant,
}

impl Source {
    /// Opens a log for reading. The lock is held just long enough to see where it ends: between two lines.
    pub(super) fn open(path: &Path) -> Result<Self, LogError> {
        let (file, length) = log::open_to_read(path)?;
        Ok(Self { bytes: BufReader::with_capacity(BUFFER, file).take(length), length, told: Instant::now() })
    }

    fn news(&mut self) {
        if self.told.elapsed() >= NEWS && self.length > 0 {
            self.told = Instant::now();
            let read = self.length.saturating_sub(self.bytes.limit());
            let percent = u128::from(read) * 100 / u128::from(self.length);
            // Nobody may be reading.
            let _ = writeln!(io::stderr(), "uwear: {percent} % of {} MiB read", self.length >> 20);
        }
    }
}

impl Read for Source {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        self.bytes.read(buffer)
    }
}

impl BufRead for Source {
    fn fill_buf(&mut self) -> io::Result<&[u8]> {
        self.news();
        self.bytes.fill_buf()
    }

    fn consume(&mut self, amount: usize) {
        self.bytes.consume(amount);
    }
}

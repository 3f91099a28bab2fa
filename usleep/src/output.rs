//! Standard output and standard error as a server needs them: whoever reads them, late or never, stops nothing.
//!
//! What is written goes to a bounded room, from which one thread of each stream writes. A pipe that nobody
//! empties stops that thread alone. What then finds no room is left out, counted, and told in the log as soon as somebody
//! reads again.

use std::io::{self, Write};
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use tracing::warn;

/// What may wait for a stream's reader, in bytes: thousands of lines. A text that is longer by itself fits into an empty room.
const ROOM: usize = 1024 * 1024;

/// What comes so soon after something was written is gathered and written together: a busy server's threads would else
/// wake the writer for each line. It is the most that a line comes late, too little to be noticed.
const GATHERING: Duration = Duration::from_millis(25);

/// How long the end of the program waits for its last lines to be read.
const PATIENCE: Duration = Duration::from_secs(1);

/// The report's stream.
pub(crate) static STANDARD_OUTPUT: Output =
    Output::new("standard output", |line| io::stdout().lock().write_all(line));

/// The log's stream.
pub(crate) static STANDARD_ERROR: Output =
    Output::new("standard error", |line| io::stderr().lock().write_all(line));

/// One stream, and what waits to be written to it.
pub(crate) struct Output {
    name: &'static str,
    write: fn(&[u8]) -> io::Result<()>,
    waiting: Mutex<Waiting>,
    changed: Condvar,
}

#[derive(Default)]
struct Waiting {
    text: Vec<u8>,
    /// Texts that found no room since this was told last.
    left_out: u64,
    writer: Writer,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum Writer {
    /// There is no thread yet.
    #[default]
    None,
    /// It waits for text.
    Idle,
    /// It has taken text that is not wholly written.
    Writing,
}

/// Waits until both streams have been read to the end, for a moment at most: to be called before the program ends.
pub(crate) fn finish() {
    let until = Instant::now() + PATIENCE;
    STANDARD_OUTPUT.wait_until_written(until);
    STANDARD_ERROR.wait_until_written(until);
}

impl Output {
    const fn new(name: &'static str, write: fn(&[u8]) -> io::Result<()>) -> Self {
        let waiting = Waiting { text: Vec::new(), left_out: 0, writer: Writer::None };
        Self { name, write, waiting: Mutex::new(waiting), changed: Condvar::new() }
    }

    /// Writes whole lines soon. Those of another thread do not come between them. Never waits for a reader.
    pub(crate) fn put(&'static self, lines: &[u8]) {
        let mut waiting = self.lock();
        if !waiting.take(lines) {
            return;
        }
        if waiting.writer == Writer::None && thread::Builder::new().spawn(|| self.keep_writing()).is_ok() {
            waiting.writer = Writer::Idle;
        }
        let idle = waiting.writer == Writer::Idle;
        drop(waiting);
        // A writer that is at work looks for more before it waits. To wake one is a call of the system, for each line.
        if idle {
            self.changed.notify_all();
        }
    }

    fn keep_writing(&self) {
        loop {
            let (text, left_out) = self.next();
            // A reader that is gone is no reason to end.
            let _ = (self.write)(&text);
            if left_out > 0 {
                warn!(left_out, stream = self.name, "lines were left out: nobody read them in time");
            }
            thread::sleep(GATHERING);
        }
    }

    /// Waits for text, takes it, and how many texts were left out after it.
    fn next(&self) -> (Vec<u8>, u64) {
        let mut waiting = self.lock();
        waiting.writer = Writer::Idle;
        self.changed.notify_all();
        let empty = |waiting: &mut Waiting| waiting.text.is_empty();
        let mut waiting = self.changed.wait_while(waiting, empty).unwrap_or_else(PoisonError::into_inner);
        waiting.writer = Writer::Writing;
        (std::mem::take(&mut waiting.text), std::mem::take(&mut waiting.left_out))
    }

    fn wait_until_written(&self, until: Instant) {
        let patience = until.saturating_duration_since(Instant::now());
        let written = |waiting: &mut Waiting| !waiting.text.is_empty() || waiting.writer == Writer::Writing;
        let _ = self.changed.wait_timeout_while(self.lock(), patience, written);
    }

    /// What waits is whole whatever panicked while it was held.
    fn lock(&self) -> MutexGuard<'_, Waiting> {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Waiting {
    /// Whether there was room for this.
    fn take(&mut self, lines: &[u8]) -> bool {
        let fits = self.text.is_empty() || self.text.len().saturating_add(lines.len()) <= ROOM;
        if fits {
            self.text.extend_from_slice(lines);
        } else {
            self.left_out = self.left_out.saturating_add(1);
        }
        fits
    }
}

/// Writes to a stream as [`Output::put`] does, for those who know [`Write`] alone. Give it whole lines.
pub(crate) struct Lines(pub(crate) &'static Output);

impl Write for Lines {
    fn write(&mut self, lines: &[u8]) -> io::Result<usize> {
        self.0.put(lines);
        Ok(lines.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::mpsc;

    #[test]
    fn what_fits_is_kept_in_order_and_the_rest_is_counted() {
        let mut waiting = Waiting::default();
        assert!(waiting.take(&[b'a'; ROOM - 1]));
        assert!(!waiting.take(b"bb"));
        assert!(waiting.take(b"c"), "to the last byte");
        assert!(!waiting.take(b"d"), "and not one more");
        assert_eq!((waiting.text.len(), waiting.text.last(), waiting.left_out), (ROOM, Some(&b'c'), 2));
    }

    #[test]
    fn a_text_longer_than_the_room_fits_when_it_is_empty() {
        let mut waiting = Waiting::default();
        assert!(waiting.take(&[b'a'; 2 * ROOM]));
        assert!(!waiting.take(b"b"));
    }

    #[test]
    fn a_reader_who_does_not_come_holds_up_nobody_and_gets_all_lines_once_it_comes() {
        static READ: Mutex<Vec<u8>> = Mutex::new(Vec::new());
        static OUTPUT: Output = Output::new("test", |line| READ.lock().unwrap().write_all(line));
        let reader_is_away = READ.lock().unwrap();
        OUTPUT.put(b"one\n");
        OUTPUT.put(b"two\nthree\n");
        // Comes back while the reader is still away.
        OUTPUT.wait_until_written(Instant::now() + Duration::from_millis(1));
        assert_eq!(*reader_is_away, b"");
        drop(reader_is_away);
        OUTPUT.wait_until_written(Instant::now() + Duration::from_secs(60));
        assert_eq!(*READ.lock().unwrap(), b"one\ntwo\nthree\n");
    }

    #[test]
    fn a_reader_who_is_gone_does_not_end_the_writing() {
        static WRITTEN: Mutex<Option<mpsc::Sender<Vec<u8>>>> = Mutex::new(None);
        static OUTPUT: Output = Output::new("test", |line| {
            let _ = WRITTEN.lock().unwrap().as_ref().unwrap().send(line.to_owned());
            Err(io::ErrorKind::BrokenPipe.into())
        });
        let (sender, written) = mpsc::channel();
        *WRITTEN.lock().unwrap() = Some(sender);
        for line in [&b"one\n"[..], b"two\n"] {
            OUTPUT.put(line);
            assert_eq!(written.recv_timeout(Duration::from_secs(60)).unwrap(), line);
        }
    }
}

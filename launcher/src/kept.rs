//! Connections to the launcher that are kept for the next request: under load, opening one costs both ends as much as asking
//! over it.

use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::task::{Context, Waker};
use std::time::Duration;

use http_body_util::Full;
use hyper::body::Bytes;
use hyper::client::conn::http1::{Connection, SendRequest};
use hyperlocal::UnixStream;
use tokio::time::Instant;

use crate::desk::MOST_ALONE;

/// How long a connection is kept for a request that may come: who asks less often gains nothing from one.
const KEPT_FOR: Duration = Duration::from_secs(1);

/// How many are kept at most: as many requests as a desk lets be under way at once, and one for a batch.
const MOST: usize = MOST_ALONE + 1;

/// An open connection of HTTP/1.1. It moves bytes only while it is polled.
pub(crate) struct Open {
    pub(crate) sender: SendRequest<Full<Bytes>>,
    pub(crate) connection: Connection<UnixStream, Full<Bytes>>,
}

/// Those that wait for a request. Clones are the same.
#[derive(Clone, Default)]
pub(crate) struct Kept {
    list: Arc<Mutex<List>>,
}

#[derive(Default)]
struct List {
    idle: Vec<Idle>,
    /// Whether a task looks after it.
    is_watched: bool,
}

struct Idle {
    open: Open,
    until: Instant,
}

impl Open {
    /// Whether it can take a request, as far as this machine has heard: the other end may have closed it a moment ago.
    fn is_ready(&mut self) -> bool {
        let ended = Pin::new(&mut self.connection).poll(&mut Context::from_waker(Waker::noop())).is_ready();
        !ended && self.sender.is_ready()
    }
}

impl Kept {
    /// The one that was used last, if any.
    pub(crate) fn take(&self) -> Option<Open> {
        let mut list = lock(&self.list);
        let now = Instant::now();
        while let Some(Idle { mut open, until }) = list.idle.pop() {
            if until > now && open.is_ready() {
                return Some(open);
            }
        }
        None
    }

    /// Keeps a connection over which an answer has come to its end. Must be called in a runtime.
    pub(crate) fn keep(&self, open: Open) {
        let mut list = lock(&self.list);
        if list.idle.len() >= MOST {
            return;
        }
        list.idle.push(Idle { open, until: Instant::now() + KEPT_FOR });
        if !list.is_watched {
            list.is_watched = true;
            tokio::spawn(close_in_time(Arc::downgrade(&self.list)));
        }
    }
}

/// Closes what nobody has asked for in time; ends when nothing is kept any more.
async fn close_in_time(list: Weak<Mutex<List>>) {
    loop {
        let Some(list_now) = list.upgrade() else { return };
        let next = {
            let mut list = lock(&list_now);
            let now = Instant::now();
            list.idle.retain(|idle| idle.until > now);
            list.is_watched = !list.idle.is_empty();
            list.idle.first().map(|oldest| oldest.until)
        };
        drop(list_now);
        let Some(next) = next else { return };
        tokio::time::sleep_until(next).await;
    }
}

/// The list is whole whatever panicked while it was held.
fn lock(list: &Mutex<List>) -> MutexGuard<'_, List> {
    list.lock().unwrap_or_else(PoisonError::into_inner)
}

//! What balancers and orchestrators ask on the port of the sessions: is it alive, should it get clients?

use hyper::body::Bytes;
use hyper::{Method, StatusCode};

/// Whether the process lives.
const ALIVE_PATH: &str = "/healthz";

/// Whether it should get clients.
const READY_PATH: &str = "/readyz";

/// Whether a server can do for clients what they come for. It is asked on the tasks of connections and must not wait.
pub trait Readiness: Send + Sync + 'static {
    /// Whether it can.
    ///
    /// # Errors
    /// Why not, in one of a few words of ours: anybody who reaches the port may read it.
    fn ready(&self) -> Result<(), &'static str>;
}

/// Ready while it serves.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct WhileServing;

impl Readiness for WhileServing {
    fn ready(&self) -> Result<(), &'static str> {
        Ok(())
    }
}

/// How the server is when it is asked.
#[derive(Clone, Copy)]
pub(super) struct Health<'a> {
    pub(super) readiness: &'a dyn Readiness,
    /// Whether it is shutting down: no more clients, and no reason to start it again.
    pub(super) draining: bool,
}

/// What a check is told.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Checked {
    Answer(StatusCode, Bytes),
    /// The method is neither GET nor HEAD.
    WrongMethod,
}

impl Health<'_> {
    /// The answer to a check; `None`: the path is not that of one.
    pub(super) fn check(&self, method: &Method, path: &str) -> Option<Checked> {
        let well = match path {
            ALIVE_PATH if self.draining => Err("draining"),
            ALIVE_PATH => Ok("alive\n"),
            READY_PATH if self.draining => Err("draining"),
            READY_PATH => self.readiness.ready().map(|()| "ready\n"),
            _ => return None,
        };
        if !matches!(*method, Method::GET | Method::HEAD) {
            return Some(Checked::WrongMethod);
        }
        Some(match well {
            Ok(text) => Checked::Answer(StatusCode::OK, Bytes::from_static(text.as_bytes())),
            Err(why) => {
                Checked::Answer(StatusCode::SERVICE_UNAVAILABLE, format!("not ready: {why}\n").into())
            }
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    struct Says(Result<(), &'static str>);

    impl Readiness for Says {
        fn ready(&self) -> Result<(), &'static str> {
            self.0
        }
    }

    #[test]
    fn alive_is_not_ready_and_a_draining_server_is_neither() {
        let (ready, not_ready) = (Ok(()), Err("quota"));
        let rows = [
            ("/healthz", ready, false, 200, "alive\n"),
            ("/readyz", ready, false, 200, "ready\n"),
            ("/healthz", not_ready, false, 200, "alive\n"),
            ("/readyz", not_ready, false, 503, "not ready: quota\n"),
            ("/healthz", ready, true, 503, "not ready: draining\n"),
            ("/readyz", ready, true, 503, "not ready: draining\n"),
            ("/readyz", not_ready, true, 503, "not ready: draining\n"),
        ];
        for (path, state, draining, status, text) in rows {
            let health = Health { readiness: &Says(state), draining };
            let wanted = Checked::Answer(StatusCode::from_u16(status).unwrap(), text.into());
            for method in [Method::GET, Method::HEAD] {
                assert_eq!(health.check(&method, path).as_ref(), Some(&wanted), "{method} {path} {draining}");
            }
            assert_eq!(health.check(&Method::POST, path), Some(Checked::WrongMethod));
            assert_eq!(health.check(&Method::GET, &format!("{path}/x")), None);
        }
    }
}

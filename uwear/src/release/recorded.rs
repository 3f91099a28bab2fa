//! The audit log of a release: what is written down, and when.

use rustls_pki_types::UnixTime;
use session::client::Approved;

use super::Release;
use crate::audit::{Judgement, Recorder, Seen};
use crate::exit::{Exit, Failure};

impl Release {
    /// Writes down that the data may leave, before it does: without that line on disk it stays here.
    pub(super) fn record_approval(
        &mut self,
        approved: &mut Approved,
        seen: &Seen,
        now: UnixTime,
    ) -> Result<(), Failure> {
        let Some(audit) = &mut self.audit else { return Ok(()) };
        // To many nights there is one at their end, in the receipt.
        let commitment = match self.data.document() {
            None => None,
            Some(phi) => approved
                .commit(phi)
                .map_err(|error| Failure::new(Exit::Unexpected, format!("{error}; nothing was sent"), ""))?,
        };
        let claims = Some(approved.token().claims_json());
        let judgement = Judgement { allowed: true, now, seen, claims, commitment };
        audit.decided(&judgement, &self.report, &self.judge)
    }

    /// Nothing leaves anyway: a refusal that cannot be written down remains one.
    pub(super) fn record_refusal(&mut self, judgement: &Judgement<'_>) {
        let Some(audit) = &mut self.audit else { return };
        if let Err(failure) = audit.decided(judgement, &self.report, &self.judge) {
            self.warn(&failure.what);
        }
    }

    /// Writes down how the session ended, if a decision on it is in the log.
    pub(super) fn record_end(&mut self, ended: Result<Exit, Failure>) -> Result<Exit, Failure> {
        let Some(audit) = &mut self.audit else { return ended };
        match (audit.ended(&ended, self.report.released, self.receipt.take()), ended) {
            (Ok(()), ended) => ended,
            (Err(failure), Ok(_)) => Err(failure),
            (Err(failure), ended) => {
                self.warn(&failure.what);
                ended
            }
        }
    }

    /// Shows the last line that was written, at the end of the report.
    pub(super) fn show_audit(&mut self) {
        self.report.audit = self.audit.as_ref().and_then(Recorder::row);
        if let Some(audit) = &self.report.audit {
            let line = format_args!("audit log {}: line {}, head {}", audit.file, audit.line, audit.head);
            self.printer.line(line);
        }
    }

    fn warn(&mut self, warning: &str) {
        self.printer.line(format_args!("warning: {warning}"));
        self.report.warn(warning);
    }
}

//! The release of many nights: a result for each message as they come, at the end the summary and the receipt for all.

use std::collections::VecDeque;

use session::client::{Answer, Approved, PartResult, ReleaseError, Streaming};
use sleep::{NightResults, Summary};

use super::Release;
use super::failures::{AFTER_RELEASE, before_release, no_result};
use crate::cli::Format;
use crate::exit::{Exit, Failure};
use crate::load::shown;
use crate::nights::{Chunk, NightLines};
use crate::progress::Progress;

/// What has been sent and has no result yet: number of the first night, and how many.
type Unanswered = VecDeque<(u32, usize)>;

impl Release {
    pub(super) async fn release_nights(
        &mut self,
        approved: Approved,
        mut nights: Box<NightLines>,
    ) -> Result<Exit, Failure> {
        self.printer.line("Validated token and claims. Sending sensitive data");
        let Some(Chunk { phi, first, count }) = nights.next()? else {
            return Err(Failure::new(Exit::Unexpected, "there are no nights to send", ""));
        };
        let mut unanswered = Unanswered::from([(first, count)]);
        let mut progress = Progress::of_bytes("sending", nights.length());
        if self.printer_is_busy() {
            progress = progress.hidden();
        }
        progress.advance(phi.expose().len());
        let mut streaming = match approved.release_stream(phi).await {
            Ok(streaming) => streaming,
            Err(ReleaseError::NotBegun(error)) => return Err(before_release(&error)),
            Err(error @ ReleaseError::Interrupted(_)) => {
                self.report.released = true;
                return Err(super::failures::interrupted(&error));
            }
            Err(error) => return Err(Failure::new(Exit::Unexpected, error.to_string(), "")),
        };
        self.report.released = true;
        loop {
            let chunk = match nights.next() {
                Ok(Some(chunk)) => chunk,
                Ok(None) => break,
                Err(failure) => {
                    streaming.close().await;
                    let what = format!(
                        "{}; the nights before it have been sent, and there is no summary",
                        failure.what
                    );
                    return Err(Failure::new(Exit::Refused, what, failure.next));
                }
            };
            let length = chunk.phi.expose().len();
            unanswered.push_back((chunk.first, chunk.count));
            let (next, result) = streaming.send(chunk.phi).await.map_err(|error| no_result(&error))?;
            streaming = self.keep_part(next, &result, &mut unanswered).await?;
            progress.advance(length);
            progress.say(format!("{} nights", chunk.first.saturating_sub(1)));
        }
        let (streamed, last) = streaming.end().await.map_err(|error| no_result(&error))?;
        if let Err(failure) = self.keep_results(&last, &mut unanswered) {
            streamed.close().await;
            return Err(failure);
        }
        drop(progress);
        let answer = streamed.summary().await.map_err(|error| self.not_vouched_for(no_result(&error)))?;
        self.printer.line("Sent payload.");
        // One that cannot be kept must not cost the other.
        let evidence = self.keep_evidence(&answer);
        let exit = self.keep_summary(&answer)?;
        evidence.map(|()| exit)
    }

    /// Results on a terminal are progress enough.
    fn printer_is_busy(&self) -> bool {
        self.print_result || self.format == Format::Json
    }

    /// Closes where they cannot be kept.
    async fn keep_part(
        &mut self,
        streaming: Streaming,
        result: &PartResult,
        unanswered: &mut Unanswered,
    ) -> Result<Streaming, Failure> {
        match self.keep_results(result, unanswered) {
            Ok(()) => Ok(streaming),
            Err(failure) => {
                streaming.close().await;
                Err(failure)
            }
        }
    }

    /// Shows or writes the results of one message, which must be those of the nights that were sent in it.
    fn keep_results(&mut self, result: &PartResult, unanswered: &mut Unanswered) -> Result<(), Failure> {
        let text = result.expose();
        let results = NightResults::parse(text.as_bytes()).map_err(|error| invalid(&error))?;
        let wanted = unanswered.pop_front();
        if wanted != Some((results.first_night(), results.len())) {
            return Err(invalid(&"not the result of the nights that were sent"));
        }
        self.append(text)?;
        if self.print_result {
            self.printer.begin(results.to_text().as_str());
        }
        Ok(())
    }

    fn keep_summary(&mut self, answer: &Answer) -> Result<Exit, Failure> {
        let text = answer.expose();
        let summary = Summary::parse(text.as_bytes()).map_err(|error| invalid(&error))?;
        self.append(text)?;
        let written = match &mut self.result_file {
            Some(file) => {
                file.finish().map_err(|error| not_written(&error))?;
                format!("written to {}", shown(file.path()))
            }
            None => "--print-result shows them, --result FILE keeps them".to_owned(),
        };
        if self.print_result {
            self.printer.line("Result:");
            self.printer.begin(summary.to_text().as_str());
            // Not the message itself: the summary is what has been made safe to show. The results of the nights may be
            // more than one object should hold.
            self.report.result = serde_json::to_value(&summary).ok();
        } else {
            self.printer.line(format_args!(
                "Results of {} nights and their summary received; {written}.",
                summary.nights()
            ));
        }
        Ok(Exit::Done)
    }

    /// One message a line, as they came: with the commitment key the receipt can be checked against them.
    fn append(&mut self, text: &str) -> Result<(), Failure> {
        let Some(file) = &mut self.result_file else { return Ok(()) };
        if text.contains('\n') {
            return Err(invalid(&"of more than one line"));
        }
        file.append(text.as_bytes()).and_then(|()| file.append(b"\n")).map_err(|error| not_written(&error))
    }

    /// What has been written before the receipt came may be anything.
    fn not_vouched_for(&self, failure: Failure) -> Failure {
        match &self.result_file {
            Some(file) => {
                let what = format!(
                    "{}; what is in {} is not to be relied on, no receipt vouches for it",
                    failure.what,
                    shown(file.path())
                );
                Failure { what, ..failure }
            }
            None => failure,
        }
    }
}

fn invalid(error: &dyn std::fmt::Display) -> Failure {
    Failure::new(Exit::Refused, format!("what came after the release is {error}"), AFTER_RELEASE)
}

fn not_written(error: &std::io::Error) -> Failure {
    Failure::new(Exit::Unexpected, format!("writing the results: {error}"), AFTER_RELEASE)
}

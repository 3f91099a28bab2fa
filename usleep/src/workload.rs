//! What USleep does with the PHI it is given: parse strictly, analyse, answer.

use attestation::Phi;
use session::Workload;
use session::server::{About, DocumentStream, PhiInvalid, Reply};
use sleep::{Analysis, Night, Nights, NightsError, RuleSet};
use zeroize::Zeroizing;

/// Analyses one night of sleep, or many of one person.
#[derive(Debug)]
pub struct SleepAnalysis {
    rules: RuleSet,
    #[cfg(feature = "walkthrough")]
    walkthrough: Option<std::sync::Arc<crate::walkthrough::Walkthrough>>,
}

impl SleepAnalysis {
    /// `rules` lead the result, which holds what both say.
    pub fn new(rules: RuleSet) -> Self {
        Self {
            rules,
            #[cfg(feature = "walkthrough")]
            walkthrough: None,
        }
    }

    /// Shows PHI and results on standard output from now on: for made-up data only.
    #[cfg(feature = "walkthrough")]
    #[must_use]
    pub fn showing(self, walkthrough: std::sync::Arc<crate::walkthrough::Walkthrough>) -> Self {
        Self { walkthrough: Some(walkthrough), ..self }
    }
}

impl Workload for SleepAnalysis {
    fn answer(&self, phi: &Phi) -> Result<Reply, PhiInvalid> {
        #[cfg(feature = "walkthrough")]
        if let Some(walkthrough) = &self.walkthrough {
            walkthrough.received(phi);
        }
        let night = Night::parse(phi.expose()).map_err(invalid)?;
        let analysis = Analysis::new(&night, self.rules);
        let reply = reply(analysis.to_json())?;
        #[cfg(feature = "walkthrough")]
        if let Some(walkthrough) = &self.walkthrough {
            walkthrough.analysed(&analysis.to_text());
        }
        Ok(reply)
    }

    fn documents(&self) -> Option<Box<dyn DocumentStream>> {
        Some(Box::new(NightAfterNight {
            nights: Nights::new(self.rules),
            #[cfg(feature = "walkthrough")]
            walkthrough: self.walkthrough.clone(),
        }))
    }

    fn about(&self) -> About {
        About {
            rules: self.rules.to_string(),
            program: concat!("usleep ", env!("CARGO_PKG_VERSION")).to_owned(),
        }
    }
}

/// Many nights of one person, of which it keeps what a summary needs.
struct NightAfterNight {
    nights: Nights,
    #[cfg(feature = "walkthrough")]
    walkthrough: Option<std::sync::Arc<crate::walkthrough::Walkthrough>>,
}

impl DocumentStream for NightAfterNight {
    fn push(&mut self, phi: &Phi) -> Result<Reply, PhiInvalid> {
        #[cfg(feature = "walkthrough")]
        if let Some(walkthrough) = &self.walkthrough {
            walkthrough.received(phi);
        }
        let results = self.nights.push(phi.expose()).map_err(no_night)?;
        #[cfg(feature = "walkthrough")]
        if let Some(walkthrough) = &self.walkthrough {
            walkthrough.analysed(&results.to_text());
        }
        reply(results.to_json())
    }

    fn finish(self: Box<Self>) -> Result<Reply, PhiInvalid> {
        let summary = self.nights.finish().map_err(no_night)?;
        #[cfg(feature = "walkthrough")]
        if let Some(walkthrough) = &self.walkthrough {
            walkthrough.analysed(&summary.to_text());
        }
        reply(summary.to_json())
    }
}

/// Without the number of the line: how many nights there are is the client's own matter, and this goes to the log.
fn no_night(error: NightsError) -> PhiInvalid {
    let text = error.to_string();
    match text.split_once(": ") {
        Some((line, reason)) if line.starts_with("line ") => PhiInvalid(reason.to_owned()),
        _ => PhiInvalid(text),
    }
}

/// The reason is one of our own texts: it goes to the log and names fields, not values.
fn invalid(error: impl std::error::Error) -> PhiInvalid {
    PhiInvalid(error.to_string())
}

fn reply(json: Result<Zeroizing<Vec<u8>>, impl std::error::Error>) -> Result<Reply, PhiInvalid> {
    let json = json.map_err(|_| PhiInvalid("the result cannot be written".to_owned()))?;
    let text = std::str::from_utf8(&json).map_err(|_| PhiInvalid("the result is no text".to_owned()))?;
    Ok(Reply::new(Zeroizing::new(text.to_owned())))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn answer(phi: &[u8]) -> Result<Reply, PhiInvalid> {
        SleepAnalysis::new(RuleSet::Recommended).answer(&Phi::new(Zeroizing::new(phi.to_vec())).unwrap())
    }

    #[test]
    fn a_reason_names_the_field_and_nothing_of_what_was_sent() {
        let rows = [
            (&b"canary"[..], "top level: not JSON or cut off, wanted an object with name, age and sleep"),
            (
                br#"{"name":"canary","age":777,"sleep":{"light":{"minutes":1},"deep":{"minutes":1},"rem":{"minutes":1}}}"#,
                "age: wanted a whole number of years from 0 to 130",
            ),
        ];
        for (phi, wanted) in rows {
            assert_eq!(answer(phi).unwrap_err(), PhiInvalid(wanted.to_owned()));
        }
    }

    #[test]
    fn debug_shows_nothing_of_a_reply() {
        let reply = answer(
            br#"{"name":"Amy","age":29,"sleep":{"light":{"minutes":270},"deep":{"minutes":135},"rem":{"minutes":105}}}"#,
        );
        assert_eq!(format!("{reply:?}"), "Ok(Reply(..))");
    }
}

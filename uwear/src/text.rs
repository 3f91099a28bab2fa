//! The report for people: the answer first, then why, then what to do. Coloured on a terminal, the same text
//! plain when piped; `NO_COLOR` is respected.

use std::fmt;
use std::io::Write;

use anstyle::{AnsiColor, Style};

use crate::cli::Format;
use crate::clock::{date, span};
use crate::load::Judge;
use crate::report::{Facts, Report, Row};

pub(crate) const GOOD: Style = AnsiColor::Green.on_default().bold();
pub(crate) const BAD: Style = AnsiColor::Red.on_default().bold();
pub(crate) const NAME: Style = Style::new().bold();
pub(crate) const QUIET: Style = Style::new().dimmed();

/// Standard output. A reader that went away does not stop a release: what cannot be written is lost.
pub(crate) struct Printer {
    /// None: another format is asked for, and text is not printed.
    out: Option<anstream::Stdout>,
}

impl Printer {
    pub(crate) fn new(format: Format) -> Self {
        Self { out: (format == Format::Text).then(anstream::stdout) }
    }

    pub(crate) fn line(&mut self, text: impl fmt::Display) {
        if let Some(out) = &mut self.out {
            let _ = writeln!(out, "{text}");
        }
    }

    /// The beginning of a line that [`Printer::line`] will end.
    pub(crate) fn begin(&mut self, text: impl fmt::Display) {
        if let Some(out) = &mut self.out {
            let _ = write!(out, "{text}");
            let _ = out.flush();
        }
    }

    /// The codelab's lines on the rules.
    pub(crate) fn rules<'a>(&mut self, rules: impl Iterator<Item = (&'a str, String)>) {
        self.line("OPA policy evaluation completed.");
        self.line("OPA policy result values:");
        for (name, outcome) in rules {
            let style = if outcome == "true" { GOOD } else { BAD };
            self.line(format_args!("[ {name} ]: {style}{outcome}{style:#}"));
        }
    }

    /// That nothing was sent, and every reason.
    pub(crate) fn refused(&mut self, report: &Report, judge: &Judge) {
        let failures = report.failures();
        let of_rules = report.rules.iter().filter(|rule| rule.name != "allow").count();
        let failed_rules =
            report.rules.iter().filter(|rule| rule.name != "allow" && rule.ok == Some(false)).count();
        self.line("");
        self.line(match failed_rules {
            0 => format!("{BAD}REFUSED{BAD:#}: nothing was sent."),
            failed => format!("{BAD}REFUSED{BAD:#}: nothing was sent.  {failed} of {of_rules} rules failed."),
        });
        for row in failures {
            self.failure(row, judge);
        }
        self.held(report);
        self.not_run(report);
        self.sources(report);
    }

    pub(crate) fn failure(&mut self, row: &Row, judge: &Judge) {
        let meaning = row.meaning.as_deref().unwrap_or("");
        self.line("");
        self.line(format_args!("  {NAME}{:<27}{NAME:#} {meaning}", row.name));
        self.line(format_args!("      found    {}", or_nothing(&row.got)));
        self.line(format_args!("      wanted   {}", noted(&or_nothing(&row.wanted), judge)));
        if let Some(next) = &row.next {
            self.line(format_args!("      next     {next}"));
        }
    }

    /// The answer, first.
    pub(crate) fn verdict(&mut self, (verdict, good, note): (&str, bool, &str)) {
        let style = if good { GOOD } else { BAD };
        self.line(format_args!("{style}{verdict}{style:#}{note}"));
    }

    /// How many of the checks and rules that ran hold.
    pub(crate) fn tally(&mut self, report: &Report) {
        let rules: Vec<&Row> = report.rules.iter().filter(|row| row.name != "allow").collect();
        self.count("checks", &report.checks.iter().collect::<Vec<_>>());
        self.count("rules", &rules);
    }

    fn count(&mut self, heading: &str, rows: &[&Row]) {
        let with = |ok: Option<bool>| rows.iter().filter(|row| row.ok == ok).count();
        let (good, bad, not_run) = (with(Some(true)), with(Some(false)), with(None));
        let not_run = if not_run == 0 { String::new() } else { format!(", {not_run} not run") };
        self.line(format_args!("{heading:<10} {good} of {}{not_run}", good + bad));
    }

    /// What stands beside the failures and is not among them: the checks, and the rules, that hold.
    pub(crate) fn held(&mut self, report: &Report) {
        let held = |rows: &[Row]| -> Vec<String> {
            let rows = rows.iter().filter(|row| row.ok == Some(true) && row.name != "allow");
            rows.map(|row| row.name.clone()).collect()
        };
        let names = [held(&report.checks), held(&report.rules)].concat();
        if !names.is_empty() {
            self.line("");
            self.line(format_args!("{QUIET}held: {}{QUIET:#}", names.join(", ")));
        }
    }

    pub(crate) fn not_run(&mut self, report: &Report) {
        let names: Vec<&str> =
            report.checks.iter().filter(|row| row.ok.is_none()).map(|row| row.name.as_str()).collect();
        if names.len() > 1 {
            self.line(format_args!(
                "{QUIET}not run: {}, and no rule of the policy{QUIET:#}",
                names.join(", ")
            ));
        }
    }

    pub(crate) fn sources(&mut self, report: &Report) {
        self.line("");
        self.line(format_args!(
            "{QUIET}policy {} sha256 {}   baseline {} sha256 {}{QUIET:#}",
            report.policy.name,
            short(&report.policy.sha256),
            report.baseline.name,
            short(&report.baseline.sha256),
        ));
        self.notes(report);
    }

    /// What the owner left open, and what will need her attention.
    fn notes(&mut self, report: &Report) {
        for open in &report.open {
            self.line(format_args!("note: {} allows anything: {}", open.key, open.reason));
        }
        for warning in &report.warnings {
            self.line(format_args!("warning: {warning}"));
        }
    }

    /// The aligned facts of `uwear verify`.
    pub(crate) fn facts(
        &mut self,
        report: &Report,
        facts: Option<&Facts>,
        bytes: usize,
        now: u64,
        google: bool,
    ) {
        let sha256 = report.token_sha256.as_deref().unwrap_or("");
        self.line(format_args!("token      {bytes} bytes, sha256 {}", short(sha256)));
        let rows = report.certificates.iter().flatten();
        let widest = rows.map(|row| row.name.chars().count()).max().unwrap_or(0);
        let is_pinned = report.checks.iter().any(|row| row.name == "root_pinned" && row.ok == Some(true));
        for (index, row) in report.certificates.iter().enumerate() {
            let heading = if index == 0 { "chain" } else { "" };
            let Some(row) = row else {
                self.line(format_args!("{heading:<10} (cannot be shown)"));
                continue;
            };
            let left = match row.ends.checked_sub(now) {
                Some(_) if row.begins > now => "not valid yet".to_owned(),
                Some(left) => format!("{} left", span(left)),
                None => "expired".to_owned(),
            };
            let note = match (index, google) {
                (2, _) if !is_pinned => "not trusted".to_owned(),
                (2, true) => "pinned, built in".to_owned(),
                (2, false) => "trusted by --root".to_owned(),
                _ => left,
            };
            self.line(format_args!(
                "{heading:<10} {:<widest$}   {} .. {}   {note}",
                row.name,
                date(row.begins),
                date(row.ends),
            ));
        }
        if let Some(facts) = facts {
            self.line(format_args!("workload   {}", facts.workload));
            self.line(format_args!("where      {}", facts.place));
            self.line(format_args!("who        {}", facts.operator));
        }
    }
}

/// `3f6c91ab...`: enough to compare by eye.
pub(crate) fn short(sha256: &str) -> String {
    match (sha256.get(..8), sha256.len().checked_sub(4).and_then(|at| sha256.get(at..))) {
        (Some(head), Some(tail)) if sha256.len() > 16 => format!("{head}...{tail}"),
        _ => sha256.to_owned(),
    }
}

fn or_nothing(text: &str) -> String {
    if text.is_empty() { "nothing".to_owned() } else { text.to_owned() }
}

/// Adds the owner's notes to digests that she allows.
fn noted(wanted: &str, judge: &Judge) -> String {
    let with_note = |value: &str| match judge.policy.digest_note(value) {
        Some(note) => {
            let parts: Vec<String> = [note.label, note.date].into_iter().flatten().collect();
            format!("{value}  ({})", parts.join(", "))
        }
        None => value.to_owned(),
    };
    wanted.split(", ").map(with_note).collect::<Vec<_>>().join(", ")
}

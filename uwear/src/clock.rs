//! Times as people write and read them.

use std::time::Duration;

use rustls_pki_types::UnixTime;
use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;

/// Parses `2025-09-05T08:17:40Z`.
pub(crate) fn parse(text: &str) -> Result<UnixTime, String> {
    let wanted = "wanted a time of RFC 3339 from 1970 on, such as 2025-09-05T08:17:40Z";
    let time = OffsetDateTime::parse(text, &Rfc3339).map_err(|_| wanted)?;
    let seconds = u64::try_from(time.unix_timestamp()).map_err(|_| wanted)?;
    Ok(UnixTime::since_unix_epoch(Duration::from_secs(seconds)))
}

/// `2025-09-05T08:17:40Z`, or the bare number where it lies beyond the calendar.
pub(crate) fn rfc3339(seconds: u64) -> String {
    calendar(seconds).and_then(|time| time.format(&Rfc3339).ok()).unwrap_or_else(|| seconds.to_string())
}

/// The present as `20250905T081740Z`, which sorts by time and fits into a file's name.
pub(crate) fn compact_now() -> String {
    let now = rfc3339(rustls_pki_types::UnixTime::now().as_secs());
    now.chars().filter(|character| !matches!(character, '-' | ':')).collect()
}

/// `2025-09-05`.
pub(crate) fn date(seconds: u64) -> String {
    calendar(seconds).map_or_else(|| seconds.to_string(), |time| time.date().to_string())
}

fn calendar(seconds: u64) -> Option<OffsetDateTime> {
    OffsetDateTime::from_unix_timestamp(i64::try_from(seconds).ok()?).ok()
}

/// `10 s`, `59 min 50 s`, `3 h 5 min`, `44 days`.
pub(crate) fn span(seconds: u64) -> String {
    match seconds {
        0..=59 => format!("{seconds} s"),
        60..=3599 => match (seconds / 60, seconds % 60) {
            (minutes, 0) => format!("{minutes} min"),
            (minutes, rest) => format!("{minutes} min {rest} s"),
        },
        3600..=86_399 => format!("{} h {} min", seconds / 3600, seconds % 3600 / 60),
        _ => match seconds / 86_400 {
            1 => "1 day".to_owned(),
            days => format!("{days} days"),
        },
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_read_and_written_alike() {
        let time = parse("2025-09-05T08:17:40Z").unwrap();
        assert_eq!(time.as_secs(), 1_757_060_260);
        assert_eq!(rfc3339(time.as_secs()), "2025-09-05T08:17:40Z");
        assert_eq!(date(time.as_secs()), "2025-09-05");
        assert_eq!(parse("2025-09-05T10:17:40+02:00").unwrap(), time);
        assert_eq!(rfc3339(u64::MAX), u64::MAX.to_string());
    }

    #[test]
    fn what_is_no_time_is_refused() {
        for text in ["", "now", "2025-09-05", "1757060260", "1969-12-31T23:59:59Z", "2025-13-01T00:00:00Z"] {
            assert!(parse(text).is_err(), "{text}");
        }
    }

    #[test]
    fn spans_are_short() {
        let rows = [
            (0, "0 s"),
            (59, "59 s"),
            (60, "1 min"),
            (3590, "59 min 50 s"),
            (3600, "1 h 0 min"),
            (86_400, "1 day"),
            (3_801_600, "44 days"),
        ];
        for (seconds, wanted) in rows {
            assert_eq!(span(seconds), wanted);
        }
    }
}

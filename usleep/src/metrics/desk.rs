//! What the token desk counts, read when somebody asks.

use launcher::{Snapshot, TokenDesk};
use prometheus::core::{Collector, Desc};
use prometheus::proto::{Bucket, Counter, Gauge, Histogram, LabelPair, Metric, MetricFamily, MetricType};

/// The desk as a collector.
#[derive(Clone)]
pub(super) struct DeskNumbers {
    desk: TokenDesk,
    descriptions: Vec<Desc>,
}

/// One family of numbers: its name, what it says, its label if it has one, its type, and how it is read.
struct Family {
    name: &'static str,
    help: &'static str,
    label: Option<&'static str>,
    kind: MetricType,
    read: fn(&Snapshot) -> Vec<Metric>,
}

const FAMILIES: [Family; 8] = [
    Family {
        name: "usleep_token_requests_total",
        help: "Requests for tokens that were sent to the launcher, repeated ones included.",
        label: None,
        kind: MetricType::COUNTER,
        read: |desk| vec![counter(desk.asked)],
    },
    Family {
        name: "usleep_tokens_total",
        help: "Tokens that came from the launcher.",
        label: None,
        kind: MetricType::COUNTER,
        read: |desk| vec![counter(desk.given)],
    },
    Family {
        name: "usleep_token_retries_total",
        help: "Failed requests whose sessions wait for another.",
        label: None,
        kind: MetricType::COUNTER,
        read: |desk| vec![counter(desk.retries)],
    },
    Family {
        name: "usleep_launcher_errors_total",
        help: "Requests for tokens that failed, by kind.",
        label: Some("kind"),
        kind: MetricType::COUNTER,
        read: |desk| {
            desk.failed.iter().map(|(kind, count)| labelled("kind", kind.name(), counter(count))).collect()
        },
    },
    Family {
        name: "usleep_batch_size",
        help: "Sessions that share one token.",
        label: None,
        kind: MetricType::HISTOGRAM,
        read: |desk| vec![batch_sizes(desk)],
    },
    Family {
        name: "usleep_tokens_per_second_limit",
        help: "How often the launcher is asked at most: less than configured after a quota error.",
        label: None,
        kind: MetricType::GAUGE,
        read: |desk| vec![gauge(desk.rate)],
    },
    Family {
        name: "usleep_waiting_for_token",
        help: "Sessions that wait for a token, to share it or for one of their own.",
        label: Some("kind"),
        kind: MetricType::GAUGE,
        read: |desk| {
            [("shared", desk.sharing), ("own", desk.alone)]
                .map(|(kind, waiting)| labelled("kind", kind, gauge(waiting as f64)))
                .into()
        },
    },
    Family {
        name: "usleep_last_token_age_seconds",
        help: "Time since the last token; missing while none has come.",
        label: None,
        kind: MetricType::GAUGE,
        read: |desk| desk.since_success.map(|since| gauge(since.as_secs_f64())).into_iter().collect(),
    },
];

impl DeskNumbers {
    pub(super) fn new(desk: TokenDesk) -> Result<Self, prometheus::Error> {
        let describe = |family: &Family| {
            let labels = family.label.map(str::to_owned).into_iter().collect();
            Desc::new(family.name.to_owned(), family.help.to_owned(), labels, Default::default())
        };
        let descriptions = FAMILIES.iter().map(describe).collect::<Result<_, _>>()?;
        Ok(Self { desk, descriptions })
    }
}

impl Collector for DeskNumbers {
    fn desc(&self) -> Vec<&Desc> {
        self.descriptions.iter().collect()
    }

    fn collect(&self) -> Vec<MetricFamily> {
        let desk = self.desk.snapshot();
        let families = FAMILIES.iter().map(|family| {
            let mut numbers = MetricFamily::default();
            numbers.set_name(family.name.to_owned());
            numbers.set_help(family.help.to_owned());
            numbers.set_field_type(family.kind);
            numbers.set_metric((family.read)(&desk));
            numbers
        });
        // The encoder refuses a family without numbers.
        families.filter(|family| !family.get_metric().is_empty()).collect()
    }
}

fn counter(count: u64) -> Metric {
    let mut counter = Counter::default();
    counter.set_value(count as f64);
    let mut metric = Metric::default();
    metric.set_counter(counter);
    metric
}

fn gauge(value: f64) -> Metric {
    let mut gauge = Gauge::default();
    gauge.set_value(value);
    Metric::from_gauge(gauge)
}

fn labelled(name: &str, value: &str, mut metric: Metric) -> Metric {
    let mut label = LabelPair::default();
    label.set_name(name.to_owned());
    label.set_value(value.to_owned());
    metric.set_label(vec![label]);
    metric
}

fn batch_sizes(desk: &Snapshot) -> Metric {
    let mut below = 0;
    let bucket = |(limit, count): (u32, u64)| {
        below += count;
        let mut bucket = Bucket::default();
        bucket.set_upper_bound(f64::from(limit));
        bucket.set_cumulative_count(below);
        bucket
    };
    let mut histogram = Histogram::default();
    histogram.set_bucket(desk.batches.iter().map(bucket).collect());
    histogram.set_sample_count(desk.batches.total());
    histogram.set_sample_sum(desk.batches.sessions() as f64);
    let mut metric = Metric::default();
    metric.set_histogram(histogram);
    metric
}

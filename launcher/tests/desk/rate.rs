//! How often the launcher is asked, whoever causes it.

use launcher::{DeskOptions, Failure};

use crate::script::*;

#[tokio::test(start_paused = true)]
async fn the_rate_is_one_for_all() {
    let script = Script::always(Step::Token(ms(0)));
    let desk = normal(&script);
    let sessions: Vec<_> = (0..8)
        .map(|number| {
            let desk = desk.clone();
            tokio::spawn(async move {
                for round in 0..10 {
                    desk.share(UWEAR, leaf(number * 100 + round)).await.unwrap();
                }
            })
        })
        .collect();
    let requests: Vec<_> = (0..10).map(|number| lone(&desk, number)).collect();
    for session in sessions {
        session.await.unwrap();
    }
    for request in requests {
        request.await.unwrap().unwrap();
    }
    let times = script.times();
    assert_eq!(times.len(), 20, "10 batches of 8, 10 alone");
    for pair in times.windows(2) {
        assert!((249..=252).contains(&(pair[1] - pair[0])), "{times:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_faster_rate_is_kept_too() {
    let script = Script::always(Step::Token(ms(0)));
    let options = DeskOptions { tokens_per_second: 1_000.0, ..DeskOptions::default() };
    let desk = desk(&script, options);
    let requests: Vec<_> = (0..500).map(|number| lone(&desk, number)).collect();
    for request in requests {
        request.await.unwrap().unwrap();
    }
    let last = *script.times().last().unwrap();
    assert!((450..=520).contains(&last), "{last} ms for 500");
}

#[tokio::test(start_paused = true)]
async fn quota_errors_slow_everything_down_and_nothing_is_lost_meanwhile() {
    let refusals = 3;
    let script = Script::new((0..refusals).map(|_| Step::Fail(LATENCY, quota())));
    let desk = normal(&script);
    let session = share(&desk, 1);
    let request = lone(&desk, 1);
    proves(&session.await.unwrap().unwrap(), UWEAR, 1);
    request.await.unwrap().unwrap();
    let snapshot = desk.snapshot();
    assert!((0.5..=2.2).contains(&snapshot.rate), "{}", snapshot.rate);
    assert_eq!(snapshot.failed.of(Failure::Quota), refusals);
    assert_eq!((snapshot.given, snapshot.asked, snapshot.retries), (2, 2 + refusals, refusals));

    pass(60_000).await;
    assert_eq!(desk.snapshot().rate, 4.0);
}

#[tokio::test(start_paused = true)]
async fn requests_that_hit_the_quota_together_halve_the_rate_once() {
    let script = Script::new((0..2).map(|_| Step::Fail(LATENCY, quota())));
    let desk = fast(&script);
    let _waiting = (share(&desk, 0), lone(&desk, 0));
    pass(350).await;
    assert_eq!(script.times(), [0, 0]);
    let rate = desk.snapshot().rate;
    assert!((5_000.0..5_010.0).contains(&rate), "{rate}");
}

#[tokio::test(start_paused = true)]
async fn after_a_long_pause_there_is_no_burst() {
    let script = Script::always(Step::Token(ms(0)));
    let desk = normal(&script);
    desk.token(lone_request(0)).await.unwrap();
    pass(3_600_000).await;
    let requests: Vec<_> = (1..=8).map(|number| lone(&desk, number)).collect();
    for request in requests {
        request.await.unwrap().unwrap();
    }
    let times = script.times();
    for pair in times[1..].windows(2) {
        assert!(pair[1] - pair[0] >= 249, "{times:?}");
    }
}

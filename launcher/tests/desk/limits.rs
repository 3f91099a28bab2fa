//! What is bounded: batches, those who wait, and how long.

use attestation::v1::MAX_BATCH;
use launcher::{DeskError, DeskOptions};
use tokio::time::Instant;

use crate::script::*;

#[tokio::test(start_paused = true)]
async fn a_batch_has_4096_sessions_at_most_and_the_rest_forms_the_next() {
    let script = Script::new([]);
    let desk = normal(&script);
    let first = share(&desk, 0);
    pass(10).await;
    let sessions: Vec<_> = (1..=MAX_BATCH + 1).map(|number| (number, share(&desk, number))).collect();
    proves(&first.await.unwrap().unwrap(), UWEAR, 0);
    for (number, session) in sessions {
        let size = if number <= MAX_BATCH { MAX_BATCH } else { 1 };
        assert_eq!(proves(&session.await.unwrap().unwrap(), UWEAR, number), size);
    }
    assert_eq!(script.calls().len(), 3);
    let batches = desk.snapshot().batches;
    let counted: Vec<_> = batches.iter().filter(|(_, count)| *count > 0).collect();
    assert_eq!(counted, [(1, 2), (4096, 1)]);
    assert_eq!(batches.sessions(), u64::from(MAX_BATCH) + 2);
}

#[tokio::test(start_paused = true)]
async fn as_many_may_wait_as_were_allowed_and_not_one_more() {
    let script = Script::always(Step::Hang);
    let desk = desk(&script, DeskOptions { waiting: 3, ..DeskOptions::default() });
    let sessions: Vec<_> = (0..3).map(|number| share(&desk, number)).collect();
    let requests: Vec<_> = (0..3).map(|number| lone(&desk, number)).collect();
    pass(100).await;
    assert_eq!(desk.share(UWEAR, leaf(3)).await.unwrap_err(), DeskError::Full { max: 3 });
    assert_eq!(desk.token(lone_request(3)).await.unwrap_err(), DeskError::Full { max: 3 });
    let snapshot = desk.snapshot();
    assert_eq!((snapshot.sharing, snapshot.alone), (3, 3));

    // Whoever leaves makes room at once, waiting or already being asked for.
    for (left, task) in sessions.iter().map(|session| session.abort_handle()).enumerate() {
        task.abort();
        pass(1).await;
        assert_eq!(desk.snapshot().sharing, 2);
        let _other = share(&desk, u32::try_from(left).unwrap() + 10);
        pass(1).await;
        assert_eq!(desk.snapshot().sharing, 3);
    }
    requests[1].abort();
    pass(1).await;
    assert_eq!(desk.snapshot().alone, 2);
}

#[tokio::test(start_paused = true)]
async fn the_default_bound_holds_four_batches() {
    let script = Script::always(Step::Hang);
    let desk = normal(&script);
    let sessions: Vec<_> = (0..4 * MAX_BATCH).map(|number| share(&desk, number)).collect();
    pass(100).await;
    assert_eq!(desk.share(UWEAR, leaf(0)).await.unwrap_err(), DeskError::Full { max: 16_384 });
    sessions.iter().for_each(|session| session.abort());
    pass(1).await;
    assert_eq!(desk.snapshot().sharing, 0);
}

#[tokio::test(start_paused = true)]
async fn a_launcher_that_hangs_costs_a_session_its_deadline_and_no_more() {
    let script = Script::always(Step::Hang);
    let desk = normal(&script);
    let began = Instant::now();
    let [first, second] = [0, 1].map(|number| share(&desk, number));
    let request = lone(&desk, 0);
    let wanted = DeskError::Deadline { within: ms(12_000), last: None };
    assert_eq!(first.await.unwrap().unwrap_err(), wanted);
    assert_eq!(began.elapsed(), ms(12_000));
    assert_eq!(second.await.unwrap().unwrap_err(), wanted);
    assert_eq!(request.await.unwrap().unwrap_err(), wanted);
    let snapshot = desk.snapshot();
    assert_eq!((snapshot.sharing, snapshot.alone, snapshot.since_success), (0, 0, None));
}

#[tokio::test(start_paused = true)]
async fn a_deadline_without_end_is_an_hour() {
    let script = Script::always(Step::Hang);
    let desk = desk(&script, DeskOptions { deadline: std::time::Duration::MAX, ..DeskOptions::default() });
    let error = desk.share(UWEAR, leaf(0)).await.unwrap_err();
    assert_eq!(error, DeskError::Deadline { within: ms(3_600_000), last: None });
}

#[tokio::test(start_paused = true)]
async fn the_time_since_the_last_token_is_known() {
    let script = Script::new([]);
    let desk = normal(&script);
    assert_eq!(desk.snapshot().since_success, None);
    desk.token(lone_request(0)).await.unwrap();
    pass(61_000).await;
    assert_eq!(desk.snapshot().since_success, Some(ms(61_000)));
    desk.share(UWEAR, leaf(0)).await.unwrap();
    assert_eq!(desk.snapshot().since_success, Some(ms(0)));
}

#[tokio::test(flavor = "multi_thread")]
async fn threads_that_come_and_leave_at_once_lose_and_leave_nothing() {
    let script = Script::always(Step::Token(ms(0)));
    let desk = fast(&script);
    for _ in 0..20 {
        let sessions: Vec<_> = (0..200).map(|number| (number, share(&desk, number))).collect();
        for (_, leaving) in sessions.iter().skip(1).step_by(3) {
            leaving.abort();
        }
        for (number, session) in sessions {
            match session.await {
                Ok(got) => drop(proves(&got.unwrap(), UWEAR, number)),
                Err(left) => assert!(left.is_cancelled() && number % 3 == 1),
            }
        }
        let snapshot = desk.snapshot();
        assert_eq!((snapshot.sharing, snapshot.failed.total()), (0, 0));
    }
}

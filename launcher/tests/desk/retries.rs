//! What is asked again, when, and for whom.

use std::io;

use launcher::{DeskError, Failure, LauncherError, Progress};
use tokio::time::Instant;

use crate::script::*;

fn unavailable() -> LauncherError {
    status(500, "failed to retrieve custom attestation service token: googleapi: Error 503: unavailable")
}

#[tokio::test(start_paused = true)]
async fn each_failure_is_or_is_not_asked_again_after() {
    let socket = socket();
    let rows = [
        (unavailable(), true),
        (status(503, ""), true),
        (quota(), true),
        (status(429, ""), true),
        (LauncherError::SocketMissing { socket: socket.clone() }, true),
        (LauncherError::ConnectionRefused { socket: socket.clone() }, true),
        (LauncherError::Connect { socket: socket.clone(), kind: io::ErrorKind::WouldBlock }, true),
        (LauncherError::ConnectionLost { socket: socket.clone(), got: Progress::PartOfBody(9) }, true),
        (LauncherError::Timeout { socket: socket.clone(), after: ms(3_000) }, true),
        (status(400, "use GET request for the default identity token"), false),
        (status(403, ""), false),
        (LauncherError::PermissionDenied { socket: socket.clone() }, false),
        (LauncherError::SocketPath { socket: socket.clone(), max: 107, got: 0 }, false),
        (LauncherError::NotHttp { socket: socket.clone() }, false),
        (LauncherError::TooLarge { socket: socket.clone() }, false),
        (LauncherError::NotJwt { socket: socket.clone(), bytes: 1, segments: 1 }, false),
        (LauncherError::NoCertificateChain { socket }, false),
    ];
    for (error, again) in rows {
        let script = Script::new([Step::Fail(ms(20), error.clone()), Step::Fail(ms(20), error.clone())]);
        let desk = fast(&script);
        let shared = desk.share(UWEAR, leaf(0)).await;
        let own = desk.token(lone_request(0)).await;
        if again {
            proves(&shared.unwrap(), UWEAR, 0);
            own.unwrap();
            assert_eq!(script.calls().len(), 4, "{error}");
            assert_eq!(desk.snapshot().retries, 2, "{error}");
        } else {
            assert_eq!(shared.unwrap_err(), DeskError::Launcher(error.clone()));
            assert_eq!(own.unwrap_err(), DeskError::Launcher(error.clone()));
            assert_eq!((script.calls().len(), desk.snapshot().retries), (2, 0), "{error}");
        }
        assert_eq!(desk.snapshot().failed.of(Failure::of(&error)), 2, "{error}");
    }
}

#[tokio::test(start_paused = true)]
async fn pauses_grow_and_are_spread_and_the_sessions_deadline_ends_them() {
    let script = Script::always(Step::Fail(ms(0), unavailable()));
    let desk = normal(&script);
    let began = Instant::now();
    assert_eq!(desk.share(UWEAR, leaf(0)).await.unwrap_err(), DeskError::Launcher(unavailable()));
    assert!((ms(10_000)..ms(12_000)).contains(&began.elapsed()), "told when no other try fits");
    let times = script.times();
    assert!((7..=13).contains(&times.len()), "{times:?}");
    assert!((500..=1_001).contains(&(times[1] - times[0])), "{times:?}");
    for pair in times[1..].windows(2) {
        assert!((1_000..=2_001).contains(&(pair[1] - pair[0])), "{times:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn those_who_come_during_the_pause_are_in_the_next_try() {
    let script = Script::new([Step::Fail(LATENCY, unavailable())]);
    let desk = normal(&script);
    let first = share(&desk, 0);
    pass(400).await;
    let second = share(&desk, 1);
    assert_eq!(proves(&first.await.unwrap().unwrap(), UWEAR, 0), 2);
    assert_eq!(proves(&second.await.unwrap().unwrap(), UWEAR, 1), 2);
    assert_eq!(script.calls().len(), 2);
}

#[tokio::test(start_paused = true)]
async fn those_who_leave_during_the_pause_are_not_in_the_next_try_nor_is_one_made_for_nobody() {
    let script = Script::new([Step::Fail(LATENCY, unavailable())]);
    let desk = normal(&script);
    let [stays, leaves] = [0, 1].map(|number| share(&desk, number));
    pass(400).await;
    leaves.abort();
    assert_eq!(proves(&stays.await.unwrap().unwrap(), UWEAR, 0), 1);

    let script = Script::new([Step::Fail(LATENCY, unavailable()), Step::Fail(LATENCY, unavailable())]);
    let desk = normal(&script);
    let (session, request) = (share(&desk, 0), lone(&desk, 0));
    pass(700).await;
    assert_eq!(script.calls().len(), 2);
    session.abort();
    request.abort();
    pass(20_000).await;
    assert_eq!(script.calls().len(), 2);
    assert_eq!(desk.snapshot().retries, 2);
}

#[tokio::test(start_paused = true)]
async fn those_who_leave_while_the_request_fails_are_not_asked_for_again() {
    let script = Script::always(Step::Fail(LATENCY, unavailable()));
    let desk = normal(&script);
    let (session, request) = (share(&desk, 0), lone(&desk, 0));
    pass(300).await;
    session.abort();
    request.abort();
    pass(20_000).await;
    assert_eq!((script.calls().len(), desk.snapshot().retries), (2, 0));
}

#[tokio::test(start_paused = true)]
async fn a_request_alone_is_repeated_with_its_own_nonce_and_keeps_its_place() {
    let script = Script::new([Step::Fail(ms(0), unavailable()), Step::Fail(ms(0), unavailable())]);
    let desk = normal(&script);
    let requests: Vec<_> = (0..3).map(|number| lone(&desk, number)).collect();
    for request in requests {
        request.await.unwrap().unwrap();
    }
    let nonces: Vec<_> = script.calls().into_iter().map(|call| call.nonce).collect();
    let [first, second, third] = [0, 1, 2].map(|number| lone_request(number).nonce().to_owned());
    assert_eq!(nonces, [&*first, &*first, &*first, &*second, &*third]);
}

#[tokio::test(start_paused = true)]
async fn a_quota_that_stays_used_up_is_said_to_be() {
    let script = Script::always(Step::Fail(ms(0), quota()));
    let desk = normal(&script);
    let error = desk.share(UWEAR, leaf(0)).await.unwrap_err();
    assert_eq!(error, DeskError::Quota(quota()));
    assert!(error.hint().contains("--tokens-per-second"));
    let rate = desk.snapshot().rate;
    assert!((0.25..1.25).contains(&rate), "{rate}");
    assert!(script.calls().len() <= 8, "{:?}", script.times());
}

#[tokio::test(start_paused = true)]
async fn a_deadline_names_the_last_failure() {
    let script = Script::new([Step::Fail(ms(100), unavailable()), Step::Hang]);
    let desk = normal(&script);
    let error = desk.share(UWEAR, leaf(0)).await.unwrap_err();
    assert_eq!(error, DeskError::Deadline { within: ms(12_000), last: Some(unavailable()) });
}

#[tokio::test(start_paused = true)]
async fn a_failure_before_the_last_token_is_not_named() {
    let script = Script::new([Step::Fail(ms(100), unavailable()), Step::Token(LATENCY), Step::Hang]);
    let desk = normal(&script);
    desk.share(UWEAR, leaf(0)).await.unwrap();
    let error = desk.share(UWEAR, leaf(1)).await.unwrap_err();
    assert_eq!(error, DeskError::Deadline { within: ms(12_000), last: None });
}

#[tokio::test(start_paused = true)]
async fn servers_that_fail_together_do_not_come_back_together() {
    let mut pauses = Vec::new();
    for _ in 0..16 {
        let script = Script::new([Step::Fail(ms(0), unavailable())]);
        normal(&script).share(UWEAR, leaf(0)).await.unwrap();
        pauses.push(script.times()[1]);
    }
    assert!(pauses.iter().any(|pause| *pause != pauses[0]), "{pauses:?}");
}

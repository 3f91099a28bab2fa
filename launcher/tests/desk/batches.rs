//! Who shares a token with whom.

use launcher::{DeskError, RequestError};

use crate::script::*;

#[tokio::test(start_paused = true)]
async fn a_lone_session_leaves_at_once_in_a_batch_of_one() {
    let script = Script::new([]);
    let desk = normal(&script);
    let got = desk.share(UWEAR, leaf(7)).await.unwrap();
    assert_eq!(script.times(), [0]);
    assert_eq!(proves(&got, UWEAR, 7), 1);
    assert_eq!((got.proof.index(), got.proof.path().len()), (0, 0));
}

#[tokio::test(start_paused = true)]
async fn sessions_that_come_while_a_request_is_under_way_form_the_next_batch() {
    let script = Script::new([]);
    let desk = fast(&script);
    let first = share(&desk, 0);
    pass(10).await;
    let mut others = Vec::new();
    for number in 1..=5 {
        others.push(share(&desk, number));
        pass(50).await;
    }
    assert_eq!(proves(&first.await.unwrap().unwrap(), UWEAR, 0), 1);
    for (index, other) in others.into_iter().enumerate() {
        let got = other.await.unwrap().unwrap();
        assert_eq!(proves(&got, UWEAR, u32::try_from(index).unwrap() + 1), 5);
        assert_eq!(got.proof.index() as usize, index, "in the order of arrival");
    }
    assert_eq!(script.times(), [0, 340]);
    assert_eq!(desk.snapshot().batches.iter().filter(|(_, count)| *count > 0).count(), 2);
}

#[tokio::test(start_paused = true)]
async fn at_most_one_batch_is_under_way() {
    let script = Script::new([]);
    let desk = fast(&script);
    let sessions: Vec<_> = (0..100).map(|number| (number, share(&desk, number))).collect();
    pass(5).await;
    let more: Vec<_> = (100..200).map(|number| (number, share(&desk, number))).collect();
    for (number, session) in sessions.into_iter().chain(more) {
        proves(&session.await.unwrap().unwrap(), UWEAR, number);
    }
    assert_eq!((script.times(), script.most_under_way()), (vec![0, 340], 1));
}

#[tokio::test(start_paused = true)]
async fn those_who_left_before_the_tree_is_sealed_are_not_in_it() {
    let script = Script::new([]);
    let desk = fast(&script);
    let _first = share(&desk, 0);
    pass(10).await;
    let sessions: Vec<_> = (1..=10).map(|number| (number, share(&desk, number))).collect();
    pass(10).await;
    for (_, leaving) in sessions.iter().filter(|(number, _)| number % 3 == 0) {
        leaving.abort();
    }
    for (number, session) in sessions {
        match session.await {
            Ok(got) => assert_eq!(proves(&got.unwrap(), UWEAR, number), 7),
            Err(left) => assert!(left.is_cancelled() && number % 3 == 0),
        }
    }
}

#[tokio::test(start_paused = true)]
async fn those_who_leave_after_the_tree_is_sealed_do_not_harm_the_others() {
    let script = Script::new([]);
    let desk = fast(&script);
    let _first = share(&desk, 0);
    pass(10).await;
    let [stays, leaves] = [1, 2].map(|number| share(&desk, number));
    pass(400).await;
    leaves.abort();
    assert_eq!(proves(&stays.await.unwrap().unwrap(), UWEAR, 1), 2);
    assert_eq!(desk.snapshot().sharing, 0);
}

#[tokio::test(start_paused = true)]
async fn nothing_is_asked_for_nobody() {
    let script = Script::new([]);
    let desk = fast(&script);
    let _first = share(&desk, 0);
    pass(10).await;
    for number in 1..=3 {
        let session = share(&desk, number);
        let request = lone(&desk, number);
        pass(10).await;
        session.abort();
        request.abort();
    }
    pass(5_000).await;
    let asked: Vec<_> = script.calls().iter().map(|call| call.audience.clone()).collect();
    assert_eq!(asked, [UWEAR, LONE], "the first lone request had left already");
}

#[tokio::test(start_paused = true)]
async fn a_request_that_has_left_is_waited_for_although_nobody_wants_it_any_more() {
    let script = Script::new([Step::Token(ms(2_000))]);
    let desk = fast(&script);
    let gone = share(&desk, 0);
    pass(10).await;
    gone.abort();
    let next = share(&desk, 1);
    proves(&next.await.unwrap().unwrap(), UWEAR, 1);
    assert_eq!(script.times(), [0, 2_000], "what a launcher has to do does not pile up");
}

#[tokio::test(start_paused = true)]
async fn sessions_of_different_audiences_are_never_in_one_batch() {
    let script = Script::new([]);
    let desk = fast(&script);
    let _first = share(&desk, 0);
    pass(10).await;
    let audiences = ["uwear", "other", "uwear", "third", "other", "uwear"];
    let sessions: Vec<_> = audiences
        .into_iter()
        .zip(1..)
        .map(|(audience, number)| (audience, number, share_for(&desk, audience, number)))
        .collect();
    let mut sizes = Vec::new();
    for (audience, number, session) in sessions {
        sizes.push(proves(&session.await.unwrap().unwrap(), audience, number));
    }
    assert_eq!(sizes, [3, 2, 3, 1, 2, 3]);
    let asked: Vec<_> = script.calls().iter().map(|call| call.audience.clone()).collect();
    assert_eq!(asked, ["uwear", "uwear", "other", "third"]);
}

#[tokio::test(start_paused = true)]
async fn a_batch_that_fails_for_good_fails_its_own_sessions_only() {
    let refused = status(400, "token_type is a required parameter");
    let script = Script::new([Step::Token(LATENCY), Step::Fail(LATENCY, refused.clone())]);
    let desk = fast(&script);
    let first = share(&desk, 0);
    pass(10).await;
    let second: Vec<_> = (1..=3).map(|number| share(&desk, number)).collect();
    pass(400).await;
    let third = share(&desk, 4);
    assert_eq!(proves(&first.await.unwrap().unwrap(), UWEAR, 0), 1);
    for session in second {
        assert_eq!(session.await.unwrap().unwrap_err(), DeskError::Launcher(refused.clone()));
    }
    assert_eq!(proves(&third.await.unwrap().unwrap(), UWEAR, 4), 1);
    assert_eq!(script.times(), [0, 340, 680]);
}

#[tokio::test(start_paused = true)]
async fn a_source_that_panics_fails_its_own_sessions_only() {
    let script = Script::new([Step::Panic]);
    let desk = fast(&script);
    assert_eq!(desk.share(UWEAR, leaf(0)).await.unwrap_err(), DeskError::Closed);
    proves(&desk.share(UWEAR, leaf(1)).await.unwrap(), UWEAR, 1);
    assert_eq!(desk.snapshot().failed.of(launcher::Failure::Panicked), 1);
}

#[tokio::test(start_paused = true)]
async fn an_audience_that_the_service_refuses_is_refused_before_anything_is_asked() {
    let script = Script::new([]);
    let desk = fast(&script);
    for (audience, got) in [(String::new(), 0), ("a".repeat(513), 513)] {
        let wanted = DeskError::Request(RequestError::AudienceLength { got });
        assert_eq!(desk.share(&audience, leaf(0)).await.unwrap_err(), wanted);
    }
    desk.share(&"a".repeat(512), leaf(0)).await.unwrap();
    assert_eq!(script.calls().len(), 1);
}

#[test]
fn when_the_runtime_ends_whoever_waits_is_told() {
    let runtime =
        || tokio::runtime::Builder::new_current_thread().enable_time().start_paused(true).build().unwrap();
    let (serving, waiting) = (runtime(), runtime());
    let script = Script::always(Step::Hang);
    let desk = {
        let _entered = serving.enter();
        fast(&script)
    };
    let mut sessions = Vec::new();
    waiting.block_on(async {
        sessions.extend([0, 1].map(|number| share(&desk, number)));
        pass(10).await;
    });
    serving.block_on(pass(10));
    waiting.block_on(async {
        sessions.push(share(&desk, 2));
        pass(10).await;
    });
    assert_eq!(script.calls().len(), 1, "one batch is under way, one session waits");
    drop(serving);
    for session in sessions {
        assert_eq!(waiting.block_on(session).unwrap().unwrap_err(), DeskError::Closed);
    }
    assert_eq!(waiting.block_on(desk.share(UWEAR, leaf(3))).unwrap_err(), DeskError::Closed);
}

//! What holds whatever comes, leaves and fails, and whenever.

use std::time::Duration;

use launcher::DeskError;
use proptest::prelude::*;
use tokio::runtime;

use crate::script::*;

/// Somebody who comes to the desk.
#[derive(Clone, Debug)]
struct Visitor {
    /// How long after the one before, in milliseconds.
    after: u64,
    /// The audience it wants to share a token for; none wants one of its own.
    shares_for: Option<&'static str>,
    /// After how long it leaves, if it does not stay.
    leaves: Option<u64>,
}

fn visitor() -> impl Strategy<Value = Visitor> {
    let audience = prop_oneof![3 => Just(Some(UWEAR)), 1 => Just(Some("other")), 1 => Just(None)];
    let leaves = prop_oneof![3 => Just(None), 1 => (0..2_000_u64).prop_map(Some)];
    let after = prop_oneof![2 => Just(0), 2 => 0..50_u64, 1 => 0..3_000_u64];
    (after, audience, leaves).prop_map(|(after, shares_for, leaves)| Visitor { after, shares_for, leaves })
}

fn step() -> impl Strategy<Value = Step> {
    let latency = (0..2_000_u64).prop_map(ms);
    prop_oneof![
        4 => latency.clone().prop_map(Step::Token),
        1 => latency.clone().prop_map(|after| Step::Fail(after, status(500, "unavailable"))),
        1 => latency.clone().prop_map(|after| Step::Fail(after, quota())),
        1 => latency.prop_map(|after| Step::Fail(after, status(400, "no"))),
        1 => Just(Step::Fail(ms(12_000), launcher::LauncherError::Timeout { socket: socket(), after: ms(12_000) })),
    ]
}

/// Plays it to its end and checks what always holds.
async fn play(visitors: Vec<Visitor>, steps: Vec<Step>) {
    let script = Script::new(steps);
    let desk = normal(&script);
    let mut visits = Vec::new();
    for (number, visitor) in (0..).zip(visitors) {
        pass(visitor.after).await;
        let desk = desk.clone();
        let visit = async move {
            let stay = Duration::from_millis(visitor.leaves.unwrap_or(3_600_000));
            tokio::time::timeout(stay, ask(&desk, visitor.shares_for, number)).await.is_ok_and(|given| given)
        };
        visits.push(tokio::spawn(visit));
    }
    for visit in visits {
        visit.await.unwrap();
    }
    pass(60_000).await;

    let snapshot = desk.snapshot();
    assert_eq!((snapshot.sharing, snapshot.alone), (0, 0), "nobody is forgotten");
    assert_eq!(snapshot.asked, snapshot.given + snapshot.failed.total());
    let calls = script.calls();
    assert_eq!(snapshot.asked as usize, calls.len());
    assert!(script.most_under_way() <= 3);
    for (index, first) in calls.iter().enumerate() {
        let in_a_second = calls[index..].iter().take_while(|call| call.at < first.at + 1_000).count();
        assert!(in_a_second <= 5, "{:?}", script.times());
    }
}

/// Whether a token was given; it is checked.
async fn ask(desk: &launcher::TokenDesk, shares_for: Option<&'static str>, number: u32) -> bool {
    let began = tokio::time::Instant::now();
    let error = match shares_for {
        Some(audience) => match desk.share(audience, leaf(number)).await {
            Ok(share) => {
                proves(&share, audience, number);
                return true;
            }
            Err(error) => error,
        },
        None => match desk.token(lone_request(number)).await {
            Ok(token) => {
                assert!(token.as_str().ends_with(lone_request(number).nonce()));
                return true;
            }
            Err(error) => error,
        },
    };
    assert!(began.elapsed() <= ms(12_002));
    assert!(!matches!(error, DeskError::Closed | DeskError::Full { .. }), "{error}");
    false
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 256, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn everybody_who_stays_is_answered_in_time_and_the_launcher_is_spared(
        visitors in prop::collection::vec(visitor(), 0..40),
        steps in prop::collection::vec(step(), 0..20),
    ) {
        let runtime = runtime::Builder::new_current_thread().enable_time().start_paused(true).build().unwrap();
        runtime.block_on(play(visitors, steps));
    }
}

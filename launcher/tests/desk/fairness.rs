//! Sessions that share and requests that do not, side by side.

use crate::script::*;

/// The requests in their order: `B` a batch, `a` one that is alone.
fn order(script: &Script) -> String {
    script.calls().iter().map(|call| if call.audience == LONE { 'a' } else { 'B' }).collect()
}

#[tokio::test(start_paused = true)]
async fn at_most_one_lone_request_leaves_between_two_batches_while_sessions_wait() {
    let script = Script::new([]);
    let desk = normal(&script);
    let flood: Vec<_> = (0..100).map(|number| lone(&desk, number)).collect();
    // Someone always waits to share.
    let sessions: Vec<_> = (0..100)
        .map(|number| {
            let desk = desk.clone();
            tokio::spawn(async move {
                pass(u64::from(number) * 50).await;
                let got = desk.share(UWEAR, leaf(number)).await.unwrap();
                proves(&got, UWEAR, number);
            })
        })
        .collect();
    pass(5_000).await;
    let order = order(&script);
    assert!(!order.contains("aa"), "{order}");
    assert!(order.matches('B').count() >= 9, "{order}");
    assert!(order.matches('a').count() >= 9, "the lone ones get their turn: {order}");
    for session in sessions {
        session.await.unwrap();
    }
    flood.iter().for_each(|request| request.abort());
}

#[tokio::test(start_paused = true)]
async fn while_a_batch_is_under_way_one_lone_request_leaves_and_no_more() {
    let script = Script::always(Step::Token(ms(2_000)));
    let desk = fast(&script);
    let session = share(&desk, 0);
    pass(10).await;
    let flood: Vec<_> = (0..10).map(|number| lone(&desk, number)).collect();
    pass(1_500).await;
    assert_eq!(order(&script), "Ba");
    proves(&session.await.unwrap().unwrap(), UWEAR, 0);
    pass(10).await;
    assert_eq!(order(&script), "Baa", "nobody shares any more");
    flood.iter().for_each(|request| request.abort());
}

#[tokio::test(start_paused = true)]
async fn a_flood_of_lone_requests_costs_a_session_less_than_a_second() {
    let script = Script::new([]);
    let desk = normal(&script);
    let _flood: Vec<_> = (0..1_000).map(|number| lone(&desk, number)).collect();
    for number in 0..8 {
        pass(1_130).await;
        let began = tokio::time::Instant::now();
        proves(&desk.share(UWEAR, leaf(number)).await.unwrap(), UWEAR, number);
        let took = began.elapsed();
        assert!(took < ms(1_000), "{took:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn sessions_do_not_starve_lone_requests_even_with_an_instant_launcher() {
    let script = Script::always(Step::Token(ms(0)));
    let desk = normal(&script);
    let _sharing: Vec<_> = (0..40)
        .map(|number| {
            let desk = desk.clone();
            tokio::spawn(async move {
                for round in 0..20 {
                    desk.share(UWEAR, leaf(number * 100 + round)).await.unwrap();
                }
            })
        })
        .collect();
    let alone: Vec<_> = (0..4).map(|number| lone(&desk, number)).collect();
    for request in alone {
        request.await.unwrap().unwrap();
    }
    assert_eq!(order(&script), "BaBaBaBa");
}

#[tokio::test(start_paused = true)]
async fn lone_requests_by_themselves_go_in_order_two_at_a_time() {
    let script = Script::new([]);
    let desk = fast(&script);
    let requests: Vec<_> = (0..5).map(|number| lone(&desk, number)).collect();
    for (request, number) in requests.into_iter().zip(0..) {
        let token = request.await.unwrap().unwrap();
        assert_eq!(token.as_str(), format!("{LONE}|{}", lone_request(number).nonce()));
    }
    assert_eq!((script.times(), script.most_under_way()), (vec![0, 0, 340, 340, 680], 2));
}

#[tokio::test(start_paused = true)]
async fn lone_requests_under_way_do_not_hold_a_session_up() {
    let script = Script::new([]);
    let desk = fast(&script);
    let _requests: Vec<_> = (0..5).map(|number| lone(&desk, number)).collect();
    pass(10).await;
    proves(&desk.share(UWEAR, leaf(0)).await.unwrap(), UWEAR, 0);
    assert_eq!(script.calls()[2].at, 10);
    assert_eq!(script.most_under_way(), 3);
}

//! The soak's scenes, once each and with few sessions; `scripts/soak.sh MINUTES` plays them for long, with the real programs.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use mock_launcher::Fault;
use soak::account::Account;
use soak::programs::Programs;
use soak::scenes::{Scene, launcher_fault};
use soak::stand::{Scale, Stand};

async fn stand() -> Stand {
    let seed = fastrand::u64(..);
    println!("seed {seed}");
    Stand::new(Programs::of_tests(env!("CARGO_BIN_EXE_soak")), Scale::QUICK, seed).await
}

fn holds(account: &Account) {
    println!("{account}");
    assert!(account.sessions() > 0);
    assert_eq!(account.faults(), Vec::<String>::new());
}

async fn plays(scenes: &[Scene]) {
    let mut stand = stand().await;
    for scene in scenes {
        holds(&scene.play(&mut stand).await);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn no_data_goes_to_a_usleep_whose_token_proves_nothing_nor_to_a_relay() {
    plays(&[Scene::BadTokens, Scene::Relay]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn no_client_is_served_whose_proof_is_wrong_and_none_is_refused_whose_proof_is_right() {
    plays(&[Scene::Forgers]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn sessions_outlast_a_launcher_that_fails_for_a_moment_or_are_told() {
    let mut stand = stand().await;
    for fault in [Fault::Http500, Fault::CutBody] {
        holds(&launcher_fault(&mut stand, fault).await);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_launcher_that_is_killed_and_comes_back_is_used_again() {
    plays(&[Scene::LauncherKilled]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_network_that_delays_stalls_and_cuts_loses_sessions_and_shows_nothing() {
    plays(&[Scene::Network]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn slow_peers_keep_nobody_from_an_answer() {
    plays(&[Scene::SlowPeers]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_usleep_without_descriptors_serves_again_once_it_has_some() {
    plays(&[Scene::Descriptors]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_usleep_that_is_killed_comes_back_at_the_same_address() {
    plays(&[Scene::UsleepKilled, Scene::UsleepKilled]).await;
}

//! One kind of bad day each. Every scene ends with the sessions of a calm moment, which must all be answered: whatever
//! happened is over when it is over.

use std::sync::Arc;
use std::time::Duration;

use mock_launcher::Fault;
use tokio::task::JoinSet;
use tokio::time::sleep;

use crate::account::{Account, End, KILLED};
use crate::network::{Network, Weather};
use crate::owners::{END_NOT_WRITTEN, NOT_WRITTEN, Uwear};
use crate::peers::Peers;
use crate::proofs::Wrong;
use crate::relay::Relay;
use crate::sessions::{Kind, crowd, crowd_of};
use crate::stand::{ANYWHERE, Stand};
use crate::usleep::Said;

/// Faults of the token: no owner may send anything.
const TOKEN_FAULTS: [Fault; 7] = [
    Fault::Expired,
    Fault::NotYetValid,
    Fault::WrongNonce,
    Fault::WrongKey,
    Fault::ExtraCertificate,
    Fault::ForeignRoot,
    Fault::DebugImage,
];

/// Faults of the launcher: USleep has no token to show, or gets one later.
const LAUNCHER_FAULTS: [Fault; 5] = [Fault::Http500, Fault::Quota, Fault::CutBody, Fault::NoX5c, Fault::Hang];

/// The kind of session that a `uwear` of its own has.
const UWEAR: &str = "program uwear";

/// A kind of bad day.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Scene {
    /// Nothing happens.
    Calm,
    /// Every fault that a token can have.
    BadTokens,
    /// The launcher does not do its work for a moment.
    LauncherFault,
    /// The launcher is killed and comes back.
    LauncherKilled,
    /// The network delays, stalls and cuts.
    Network,
    /// Somebody ends TLS in between.
    Relay,
    /// Clients whose proofs are wrong.
    Forgers,
    /// Peers that take their time, beside those who do not.
    SlowPeers,
    /// USleep runs out of file descriptors.
    Descriptors,
    /// USleep is killed, or ended, and comes back.
    UsleepKilled,
    /// `uwear` is killed.
    UwearKilled,
    /// The disk of the audit log is full.
    DiskFull,
}

impl Scene {
    /// All of them.
    pub const ALL: [Self; 12] = [
        Self::Calm,
        Self::BadTokens,
        Self::LauncherFault,
        Self::LauncherKilled,
        Self::Network,
        Self::Relay,
        Self::Forgers,
        Self::SlowPeers,
        Self::Descriptors,
        Self::UsleepKilled,
        Self::UwearKilled,
        Self::DiskFull,
    ];

    /// For people.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Calm => "calm",
            Self::BadTokens => "bad tokens",
            Self::LauncherFault => "launcher at fault",
            Self::LauncherKilled => "launcher killed",
            Self::Network => "network cut and slow",
            Self::Relay => "relay in between",
            Self::Forgers => "forged clients",
            Self::SlowPeers => "slow peers",
            Self::Descriptors => "no descriptors left",
            Self::UsleepKilled => "usleep killed",
            Self::UwearKilled => "uwear killed",
            Self::DiskFull => "disk full",
        }
    }

    /// Plays it, then a calm moment. Every session is in the account.
    pub async fn play(self, stand: &mut Stand) -> Account {
        let mut account = Account::default();
        let played = match self {
            Self::Calm => calm(stand, stand.scale.sessions).await,
            Self::BadTokens => bad_tokens(stand).await,
            Self::LauncherFault => {
                let fault = stand.rng.choice(LAUNCHER_FAULTS).unwrap_or(Fault::Http500);
                launcher_fault(stand, fault).await
            }
            Self::LauncherKilled => launcher_killed(stand).await,
            Self::Network => network(stand).await,
            Self::Relay => relay(stand).await,
            Self::Forgers => forgers(stand).await,
            Self::SlowPeers => slow_peers(stand, stand.scale.slow_peers).await,
            Self::Descriptors => descriptors(stand).await,
            Self::UsleepKilled => usleep_killed(stand).await,
            Self::UwearKilled => uwear_killed(stand).await,
            Self::DiskFull => disk_full(stand).await,
        };
        account.add(self.name(), played);
        account.add(&format!("after {}", self.name()), calm(stand, 4).await);
        account
    }
}

/// So many sessions while nothing happens.
pub async fn calm(stand: &Stand, sessions: usize) -> Account {
    let mut account = crowd(&stand.owners, stand.usleep.address, sessions, stand.scale.at_once).await;
    account.only("answered", |end| *end == End::Answered);
    account
}

async fn bad_tokens(stand: &mut Stand) -> Account {
    let mut all = Account::default();
    // One that has nothing else to answer for: whatever it answers, it should not have been sent.
    let witness = stand.another_usleep(ANYWHERE).await;
    for fault in TOKEN_FAULTS {
        stand.launcher.fault(Some(fault)).await;
        for usleep in [stand.usleep.address, witness.address] {
            let kinds = Kind::HONEST.len();
            let mut account = crowd(&stand.owners, usleep, kinds, kinds).await;
            account.only(
                "refused by their owners",
                |end| matches!(end, End::Refused(reason) if reason.starts_with("its token is ")),
            );
            all.add(fault.name(), account);
        }
    }
    stand.launcher.fault(None).await;
    let said = stand.ledger.end(witness, &mut all).await;
    all.check(
        none_but(&said, "refused"),
        format_args!("data went to a usleep that had proven nothing: {:?}", said.outcomes),
    );
    all
}

/// Whether every session ended like this, and none came as far as health data.
fn none_but(said: &Said, outcome: &str) -> bool {
    said.outcomes.keys().all(|got| got == outcome)
}

/// Every wrong proof beside honest owners, who must not suffer from it.
async fn forgers(stand: &mut Stand) -> Account {
    let mut all = Account::default();
    let witness = stand.another_usleep(ANYWHERE).await;
    for wrong in Wrong::ALL {
        let kinds = [Kind::Forger(wrong)];
        let (alone, forged, mut honest) = tokio::join!(
            crowd_of(&kinds, &stand.owners, witness.address, 4, 4),
            crowd_of(&kinds, &stand.owners, stand.usleep.address, 4, 4),
            crowd_of(&[Kind::Mutual], &stand.owners, stand.usleep.address, 4, 4),
        );
        for mut account in [alone, forged] {
            account.only(
                "refused by usleep",
                |end| matches!(end, End::Refused(reason) if reason.contains("client-refused")),
            );
            all.add(&format!("{wrong:?}"), account);
        }
        honest.only("answered", |end| *end == End::Answered);
        all.add(&format!("beside {wrong:?}"), honest);
    }
    let said = stand.ledger.end(witness, &mut all).await;
    all.check(
        none_but(&said, "client-refused"),
        format_args!("a client was served that had proven nothing: {:?}", said.outcomes),
    );
    all
}

/// The fault passes. Sessions outlast it, or are told that there is no token.
pub async fn launcher_fault(stand: &mut Stand, fault: Fault) -> Account {
    stand.launcher.fault(Some(fault)).await;
    let sessions = tokio::spawn({
        let (owners, address, scale) = (Arc::clone(&stand.owners), stand.usleep.address, stand.scale);
        async move { crowd(&owners, address, scale.at_once, scale.at_once).await }
    });
    sleep(Duration::from_millis(stand.rng.u64(50..400))).await;
    stand.launcher.fault(None).await;
    let mut account = Account::default();
    account.add(fault.name(), sessions.await.unwrap());
    account.only("answered or without a token", |end| match end {
        End::Answered => true,
        End::Lost(reason) => reason.contains("1011 attestation-unavailable"),
        End::Refused(_) => false,
    });
    account
}

async fn launcher_killed(stand: &mut Stand) -> Account {
    let sessions = tokio::spawn({
        let (owners, address, scale) = (Arc::clone(&stand.owners), stand.usleep.address, stand.scale);
        async move { crowd(&owners, address, scale.sessions, scale.at_once).await }
    });
    sleep(Duration::from_millis(stand.rng.u64(0..60))).await;
    stand.launcher.kill().await;
    sleep(Duration::from_millis(stand.rng.u64(0..300))).await;
    stand.launcher.start_again().await;
    let mut account = sessions.await.unwrap();
    account.only("answered or without a token", |end| match end {
        End::Answered => true,
        End::Lost(reason) => reason.contains("1011 attestation-unavailable") || reason.contains("busy"),
        End::Refused(_) => false,
    });
    account
}

async fn network(stand: &mut Stand) -> Account {
    let mut chance = stand.rng.fork();
    let weather = move || Weather::any(&mut chance);
    let network = Network::start(stand.usleep.address, stand.owners.canary(), weather).await;
    let mut account = crowd(&stand.owners, network.address, stand.scale.sessions, stand.scale.sessions).await;
    account.only("answered or lost", |end| !matches!(end, End::Refused(_)));
    account.check(network.bytes() > 0, "no byte has passed the network");
    account.check(network.leaks() == 0, "health data could be read on the network");
    account
}

async fn relay(stand: &mut Stand) -> Account {
    let witness = stand.another_usleep(ANYWHERE).await;
    let relay = Relay::start(witness.address).await;
    let mut account = crowd(&stand.owners, relay.address, 8, 4).await;
    account.only("refused by their owners", |end| *end == End::refused("its token is not acceptable"));
    let said = stand.ledger.end(witness, &mut account).await;
    account.check(none_but(&said, "refused"), format_args!("data came through a relay: {:?}", said.outcomes));
    let (received, wanted) = (relay.ended().await, account.sessions());
    account.check(
        received.websockets == wanted,
        format_args!("the relay took part in {received:?} of {wanted}"),
    );
    account.check(received.binary == 0, "data was sent to a relay");
    account
}

/// More at the same time than ever later, so that what the allocator then keeps for good is there before anything is
/// compared: what grows after it grows from round to round.
pub async fn high_tide(stand: &mut Stand) -> Account {
    slow_peers(stand, stand.scale.slow_peers * 3 / 2).await
}

async fn slow_peers(stand: &mut Stand, count: usize) -> Account {
    let peers = Peers::come(stand.usleep.address, count).await;
    let scale = stand.scale;
    let mut account = crowd(&stand.owners, stand.usleep.address, scale.beside_them, scale.at_once).await;
    account.only("answered", |end| *end == End::Answered);
    // Those who have a token may take 30 s; the others have less.
    let least = count / 8;
    account.check(peers.there() >= least, format_args!("only {} slow peers were there", peers.there()));
    peers.leave().await;
    account
}

async fn descriptors(stand: &mut Stand) -> Account {
    let Some(open) = stand.usleep.descriptors() else {
        return Account::default();
    };
    // The limit is on the number of a descriptor, which is the lowest that is free.
    let left = stand.rng.u64(0..8);
    stand.usleep.limit_descriptors(Some(open as u64 + left));
    let sessions = tokio::spawn({
        let (owners, address, scale) = (Arc::clone(&stand.owners), stand.usleep.address, stand.scale);
        async move { crowd(&owners, address, scale.sessions, scale.sessions).await }
    });
    sleep(Duration::from_millis(stand.rng.u64(200..600))).await;
    stand.usleep.limit_descriptors(None);
    let mut account = sessions.await.unwrap();
    account.only("answered or lost", |end| !matches!(end, End::Refused(_)));
    account
}

async fn usleep_killed(stand: &mut Stand) -> Account {
    let mortal = match stand.mortal.take() {
        Some(mortal) => mortal,
        None => stand.another_usleep(ANYWHERE).await,
    };
    let address = mortal.address;
    let sessions = tokio::spawn({
        let (owners, scale) = (Arc::clone(&stand.owners), stand.scale);
        async move { crowd(&owners, address, scale.sessions, scale.at_once).await }
    });
    sleep(Duration::from_millis(stand.rng.u64(0..120))).await;
    let mut account = Account::default();
    if stand.rng.bool() {
        let said = stand.ledger.end(mortal, &mut account).await;
        account.add("drained", sessions.await.unwrap());
        account.check(said.count("draining") == 0, "usleep cut off sessions that had 10 s left");
        let cut = account.count(End::may_have_been_answered);
        account.check(cut == 0, format_args!("{cut} sessions lost their answer to SIGTERM"));
    } else {
        stand.ledger.kill(mortal, &mut account).await;
        account.add("killed", sessions.await.unwrap());
    }
    account.only("answered or lost", |end| !matches!(end, End::Refused(_)));
    let mortal = stand.another_usleep(address).await;
    let mut back = crowd(&stand.owners, mortal.address, 4, 4).await;
    back.only("answered", |end| *end == End::Answered);
    account.add("usleep is back", back);
    stand.mortal = Some(mortal);
    account
}

async fn uwear_killed(stand: &mut Stand) -> Account {
    let mut account = Account::default();
    let Some(uwear) = stand.uwear.clone() else { return account };
    let mut programs = JoinSet::new();
    for number in 0..stand.scale.programs {
        account.ask(UWEAR);
        let (uwear, night, usleep) = (uwear.clone(), stand.owners.night().0, stand.usleep.address);
        let kill_after = (number % 2 == 0).then(|| Duration::from_millis(stand.rng.u64(0..150)));
        programs.spawn(async move { (kill_after.is_some(), uwear.release(usleep, night, kill_after).await) });
    }
    while let Some(ended) = programs.join_next().await {
        let (marked, end) = ended.unwrap();
        let right = end == End::Answered || (marked && end == End::lost(KILLED));
        account.check(right, format_args!("wanted an answer, got {end}"));
        account.ended(UWEAR, end);
    }
    audit(&uwear, &mut account).await;
    account
}

async fn disk_full(stand: &mut Stand) -> Account {
    let mut account = Account::default();
    let Some(uwear) = stand.uwear.clone() else { return account };
    let witness = stand.another_usleep(ANYWHERE).await;
    for _ in 0..3 {
        account.ask(UWEAR);
        let blocks = stand.rng.u64(0..12);
        let night = stand.owners.night().0;
        account.ended(UWEAR, uwear.release_on_full_disk(witness.address, night, blocks).await);
    }
    // The line of the end may be the one that does not fit: the answer then came all the same.
    let answered = |end: &End| *end == End::Answered || *end == End::lost(END_NOT_WRITTEN);
    let kept = |end: &End| *end == End::refused(NOT_WRITTEN);
    account.only("answered, or not begun since the log cannot be written", |end| answered(end) || kept(end));
    let wanted = account.count(answered);
    let got = stand.ledger.end(witness, &mut account).await.count("answered");
    account.check(
        got == wanted,
        format_args!("releases with a line in the log: {wanted}, answered by usleep: {got}"),
    );
    audit(&uwear, &mut account).await;
    account
}

async fn audit(uwear: &Uwear, account: &mut Account) {
    if let Err(said) = uwear.verify_audit_log().await {
        account.wrong(format_args!("the audit log is not whole: {said}"));
    }
}

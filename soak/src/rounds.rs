//! Every scene, again and again, and what must hold after each round.

use std::fmt;
use std::time::Duration;

use tokio::time::Instant;

use crate::account::{Account, End};
use crate::scenes::{self, Scene};
use crate::stand::Stand;

/// Rounds that there are at least: what is left behind shows only after a while.
pub const AT_LEAST: u32 = 10;

/// The round whose memory and descriptors the later ones are compared with: the first warms up.
const COMPARED_WITH: u32 = 2;

/// Looks at the memory beside the first, each after some sessions.
const LOOKS: usize = 3;

/// How much more memory there may be.
const GROWTH: f64 = 1.10;

/// Longest that USleep may hold a connection whose peer is gone: what its deadlines give to the slowest.
const PATIENCE: Duration = Duration::from_secs(40);

/// What a round left behind in the USleep that lives through everything.
#[derive(Clone, Copy, Debug)]
struct Left {
    resident: u64,
    descriptors: Option<usize>,
}

/// How a soak ended.
pub struct Ended {
    /// What should not have happened.
    pub faults: Vec<String>,
    account: Account,
    rounds: u32,
    compared: Vec<Left>,
}

/// Plays rounds until the time is over, and [`AT_LEAST`] so many; then ends everything and settles the account. Each round
/// has its line.
pub async fn play(mut stand: Stand, time: Duration) -> Ended {
    let until = Instant::now() + time;
    let mut account = Account::default();
    let mut compared: Vec<Left> = Vec::new();
    account.add("high tide", scenes::high_tide(&mut stand).await);
    let mut rounds = 0;
    let mut shown = 0;
    while rounds < AT_LEAST || Instant::now() < until {
        rounds += 1;
        let begun = Instant::now();
        let mut of_round = Account::default();
        let mut scenes = Scene::ALL;
        stand.rng.shuffle(&mut scenes);
        for scene in scenes {
            of_round.add(&format!("round {rounds}"), scene.play(&mut stand).await);
        }
        let most = compared.first().and_then(|first| first.descriptors);
        let mut left = what_is_left(&stand, most).await;
        // The allocator gives back what is free at its end when it is next used: the least of some looks is what is held.
        for _ in 0..LOOKS {
            of_round.add("", scenes::calm(&stand, stand.scale.at_once).await);
            left.resident = left.resident.min(what_is_left(&stand, most).await.resident);
        }
        println!("round {rounds:>3}  {:>5.1} s  {of_round}  {left}", begun.elapsed().as_secs_f64());
        account.add("", of_round);
        shown = show(&account, shown);
        if rounds >= COMPARED_WITH {
            compared.push(left);
        }
    }
    compare(&compared, &mut account);
    settle(stand, &mut account).await;
    show(&account, shown);
    Ended { faults: account.faults(), account, rounds, compared }
}

/// Prints the faults that are not shown yet; how many there are by now.
fn show(account: &Account, shown: usize) -> usize {
    let faults = account.faults();
    for fault in faults.iter().skip(shown) {
        println!("WRONG  {fault}");
    }
    faults.len()
}

/// Looks once all connections are gone.
async fn what_is_left(stand: &Stand, most: Option<usize>) -> Left {
    // Without a figure to come down to, what two looks in a row agree on.
    let mut descriptors = stand.usleep.descriptors();
    match most {
        Some(most) => descriptors = stand.usleep.descriptors_down_to(most, PATIENCE).await,
        None => {
            let until = Instant::now() + PATIENCE;
            while let Some(before) = descriptors.filter(|_| Instant::now() < until) {
                tokio::time::sleep(Duration::from_millis(500)).await;
                descriptors = stand.usleep.descriptors();
                if descriptors == Some(before) {
                    break;
                }
            }
        }
    }
    Left { resident: stand.usleep.resident_bytes(), descriptors }
}

fn compare(compared: &[Left], account: &mut Account) {
    let (Some(first), Some(tenth)) = (compared.first(), compared.get((AT_LEAST - COMPARED_WITH) as usize))
    else {
        return account.wrong("too few rounds to compare");
    };
    let grown = tenth.resident as f64 / first.resident as f64;
    account.check(
        grown <= GROWTH,
        format_args!(
            "resident memory: wanted at most {GROWTH} times that of round {COMPARED_WITH}, got {grown:.3}"
        ),
    );
    for left in compared {
        account.check(
            left.descriptors <= first.descriptors,
            format_args!(
                "descriptors: wanted at most those of round {COMPARED_WITH}, got {left} after {first}"
            ),
        );
    }
}

/// Ends every USleep, and compares their accounts with that of the owners.
async fn settle(stand: Stand, account: &mut Account) {
    let Stand { usleep, mortal, mut ledger, uwear, scale, .. } = stand;
    if let Some(mortal) = mortal {
        ledger.end(mortal, account).await;
    }
    let said = ledger.end(usleep, account).await;
    println!("usleep's own account: {:?}", said.outcomes);

    let owners = account.count(|end| *end == End::Answered);
    let open = account.count(End::may_have_been_answered);
    let unwritten = ledger.killed * scale.at_once as u64;
    let explained = owners.saturating_sub(unwritten)..=owners + open;
    account.check(
        explained.contains(&ledger.answered),
        format_args!("usleeps say they answered {} sessions, owners {explained:?}", ledger.answered),
    );
    if let Some(uwear) = uwear {
        match uwear.verify_audit_log().await {
            Ok(said) => {
                let lines: Vec<_> = said.lines().filter(|line| !line.is_empty()).take(2).collect();
                println!("audit log: {}", lines.join("; "));
            }
            Err(said) => account.wrong(format_args!("the audit log is not whole: {said}")),
        }
    }
}

impl fmt::Display for Left {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:.1} MiB", self.resident as f64 / f64::from(1 << 20))?;
        match self.descriptors {
            Some(descriptors) => write!(f, ", {descriptors} descriptors"),
            None => f.write_str(", descriptors not to be seen by this user"),
        }
    }
}

impl Ended {
    /// Every end but the best with its count.
    pub fn by_name(&self) -> impl Iterator<Item = String> {
        self.account.by_name()
    }
}

impl fmt::Display for Ended {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let verdict = if self.faults.is_empty() { "all held" } else { "NOT all held" };
        write!(f, "{verdict}: {} rounds, {}", self.rounds, self.account)?;
        if let (Some(first), Some(last)) = (self.compared.first(), self.compared.last()) {
            write!(f, "; usleep after round {COMPARED_WITH}: {first}, at the end: {last}")?;
        }
        Ok(())
    }
}

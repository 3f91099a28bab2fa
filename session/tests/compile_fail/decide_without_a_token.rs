// A decision is about a verified token: a connection without one cannot be decided on.

fn decide(connected: session::client::Connected, policy: &policy::Policy, now: rustls::pki_types::UnixTime) {
    let _ = connected.decide(policy, "uwear", now);
}

fn main() {}

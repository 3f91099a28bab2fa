// An evaluation of claims that may be anybody's never becomes an allowance.

use policy::{Allowance, Evaluation};

fn from_reading(evaluation: Evaluation) -> Option<Allowance> {
    evaluation.into_allowance().ok()
}

fn main() {}

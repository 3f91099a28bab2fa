//! USleep, the workload: analyses health data inside a Confidential Space VM.

pub mod analyze;

//! What the fuzz targets check, a file for each target.
//!
//! Every file has `check`, which takes any bytes and asserts what must hold of them, not just that nothing
//! panics, and `seeds`, which gives inputs to start from. The property tests of the crates include the same
//! files by `#[path]` and call them with structured inputs, so each invariant is written once.
#![forbid(unsafe_code)]

pub mod claims;
pub mod evidence;
pub mod forge;
pub mod inclusion;
pub mod launcher_answers;
pub mod policy_input;
pub mod session_messages;
pub mod shown;
pub mod sleep_input;
pub mod token;
pub mod wire1_messages;
pub mod x5c;

/// A name and the bytes.
pub type Seed = (String, Vec<u8>);

/// The seeds of each target.
pub fn seeds() -> [(&'static str, Vec<Seed>); 10] {
    [
        ("token", token::seeds()),
        ("x5c", x5c::seeds()),
        ("claims", claims::seeds()),
        ("policy_input", policy_input::seeds()),
        ("session_messages", session_messages::seeds()),
        ("launcher_answers", launcher_answers::seeds()),
        ("sleep_input", sleep_input::seeds()),
        ("wire1_messages", wire1_messages::seeds()),
        ("inclusion", inclusion::seeds()),
        ("evidence", evidence::seeds()),
    ]
}

//! Google's real tokens and root, which are not part of this project.
//!
//! They are read from the folder that `CONFIDENTIAL_SPACE_VECTORS` names, else from `../shared/vectors`
//! beside the project where that exists. Otherwise the tests that need them say aloud that they were left out.

use std::path::{Path, PathBuf};

/// The file's bytes, or `None` where there is no folder of vectors at all.
pub(crate) fn read(name: &str) -> Option<Vec<u8>> {
    let Some(folder) = folder() else {
        eprintln!("LEFT OUT: no folder of vectors (set CONFIDENTIAL_SPACE_VECTORS): {name} was not tested");
        return None;
    };
    let path = folder.join(name);
    Some(std::fs::read(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display())))
}

fn folder() -> Option<PathBuf> {
    // A folder that was named must be there: silence would look like success.
    if let Some(named) = std::env::var_os("CONFIDENTIAL_SPACE_VECTORS") {
        return Some(PathBuf::from(named));
    }
    let beside = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../shared/vectors");
    beside.is_dir().then_some(beside)
}

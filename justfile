# Daily chores; `just` alone lists them. Each line also works when typed by hand.

_list:
    @just --list

# Play the whole scene on this machine
run *ARGUMENTS:
    scripts/run_local.sh {{ARGUMENTS}}

# All tests
test:
    cargo test --workspace

# What a reviewer would ask for
check:
    cargo fmt --all --check
    cargo clippy --workspace --all-targets -- -D warnings
    RUSTDOCFLAGS='-D warnings' cargo doc --workspace --no-deps --document-private-items
    git ls-files -z '*.sh' .ci/run | xargs -0 shellcheck

# Verification against the bare RSA operations in it; the token desk; start-up and a whole run
bench:
    cargo bench --package policy --bench verification
    cargo bench --package launcher --bench desk
    cargo bench --package uwear --bench startup
    cargo bench --package bench --bench load

# Both container images, twice, with the same digests
images:
    scripts/build_images.sh --check --sizes

# The tests of the Google Cloud scripts, without a cloud
cloud:
    scripts/tests/run.sh

# Everything that must hold before a change lands
ci:
    .ci/run

# List the recipes.
default:
    @just --list --unsorted

# The one gate, the same as in CI: format, lints, dependencies, every test with real servers.
check:
    .ci/run

# Format, and fix what clippy can.
fix:
    cargo fmt && cargo clippy --all-targets --fix --allow-dirty --allow-staged

# Tests that need nothing but Rust and a C compiler; real servers are used where they are installed.
test *filter:
    cargo test {{filter}}

# Install the servers of the tests into ~/.cache/driftd-servers, then run with all of them.
broker-test *filter:
    DRIFTD_TEST_REQUIRE=all cargo test {{filter}}

# Benchmarks of one stage of the path, or all, beside their peers (in virtual environments); one table at the end.
bench *stage:
    benches/run.sh {{stage}}

# False retrains and delays on synthetic and real streams, beside peers; tables at the end. `--quick` for a look.
detection *options:
    benches/detection/run.sh {{options}}

# Every fuzz target for that many seconds, where a nightly toolchain and cargo-fuzz are installed.
fuzz seconds="60":
    fuzz/run.sh {{seconds}}

# The tests of faults with the large numbers of rounds; takes an hour or two.
faults:
    DRIFTD_TEST_STATE_MUTATIONS=1000000 DRIFTD_TEST_PARQUET_FILES=50000 DRIFTD_TEST_INCIDENTS=10000 \
    DRIFTD_TEST_CARDINALITY=3300000 DRIFTD_TEST_RECORDS=10000000 \
    DRIFTD_TEST_KILLS=1000 DRIFTD_TEST_KILL_RECORDS=1000000 \
    cargo test --release --test it -- --nocapture faults:: daemon::flood daemon::kills

# The protocol of replicas under a million random schedules; takes about half an hour of two cores.
simulate schedules="1000000" seed="0":
    DRIFTD_SIM_SCHEDULES={{schedules}} DRIFTD_SIM_SEED={{seed}} cargo test --lib simulator::whatever -- --nocapture

# One schedule again, by the seed that a failure has told.
simulate-again seed:
    DRIFTD_SIM_SCHEDULES=1 DRIFTD_SIM_SEED={{seed}} cargo test --lib simulator::whatever -- --nocapture

# See it work: an embedded Kafka, a drifting feature, one webhook.
demo:
    cargo run --release -- demo

# Licences, sources and bans of the dependencies.
deny:
    cargo deny check bans licenses sources

# What is inside the binary, as CycloneDX: every crate with its version, licence and checksum.
sbom file="sbom.json":
    .ci/sbom.py > {{file}}

# The documentation of the crate, with warnings denied.
doc:
    RUSTDOCFLAGS="-D warnings" cargo doc --no-deps --document-private-items

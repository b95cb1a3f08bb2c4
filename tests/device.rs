//! The two binaries end to end: real processes, a real disk, a real clock. Nothing here asserts how long anything took;
//! waiting is for a condition, with a deadline that only a broken agent meets.
#![expect(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::print_stderr,
    reason = "a test that panics says what is wrong"
)]

mod device {
    mod alerts;
    mod command_line;
    mod crowd;
    mod files;
    mod gates;
    mod import;
    mod kills;
    mod limits;
    mod logs;
    mod manager;
    mod rig;
    mod store;
    mod witness;
    mod zones;
}

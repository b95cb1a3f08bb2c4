//! A device behind a leaf node of a hub: real servers, real binaries, a line that fails. What the centre says is put by
//! a stock client at the hub; what comes back is read there.
#![expect(
    deprecated,
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::print_stderr,
    reason = "a test that panics says what is wrong"
)]

mod fleet {
    mod apply;
    mod chaos;
    mod commands;
    mod confined;
    mod crowd;
    mod definitions;
    #[path = "../device/rig.rs"]
    #[expect(dead_code, reason = "shared with the tests of the device alone")]
    mod device;
    mod hub;
    mod identity;
    mod many;
    mod patience;
    mod permit;
    mod problems;
    mod results;
    mod rig;
    #[path = "../servers/mod.rs"]
    mod servers;
    mod thief;
    mod topologies;
    mod trouble;
    mod trust;
    mod volume;
}

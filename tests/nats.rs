//! The transport against real servers.
#![expect(
    deprecated,
    clippy::unwrap_used,
    clippy::indexing_slicing,
    reason = "a test that panics says what is wrong"
)]

mod transport {
    mod reaching;
    mod reading;
    #[path = "../servers/mod.rs"]
    #[expect(dead_code, reason = "shared with the tests of the whole fleet")]
    mod servers;
}

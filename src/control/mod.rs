//! ASK: the local socket. Framing, peer credentials and who may ask what; of leafcron's decisions it knows none.
//!
//! ```text
//!  leafcron ── Client ──▶ run_dir/control.sock ──▶ Listener ── Connection ──▶ the agent
//!              one line of JSON a request: {"verb":"status"}\n
//!              one line of JSON a reply:   {"status":{…}}\n      (`run` with `wait`: two)
//! ```
//! The socket is the lock: its directory lets in its owner and its group, the kernel says who asks (SO_PEERCRED,
//! unix(7)), and [`Peer::may`] says what. A client can cost no more than one of [`limits::CONNECTIONS`] places, one
//! request line and one reply, each within [`Patience`].
//!
//! [`limits::CONNECTIONS`]: crate::job::limits::CONNECTIONS

mod client;
mod line;
mod peer;
mod place;
mod server;

pub use client::{Client, ClientError};
pub use peer::Peer;
pub use place::{BindError, GROUP, let_group_in, socket_path};
pub use server::{Connection, Listener, Patience};

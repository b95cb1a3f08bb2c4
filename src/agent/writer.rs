//! The thread that owns the journal: an fsync on an SD card can take seconds, and the loop must not wait for it. One
//! batch is under way at a time; what the disk does not take comes back whole, to be carried into the next batch.

use std::sync::{Arc, Mutex, PoisonError};
use std::thread;

use smol::channel::{Receiver, Sender, bounded};

use crate::job::{Entry, JournalStatus};
use crate::store::{Durability, Journal, RealDisk, Renewal, Renewed};

use super::{Happening, chain};

/// Stack of the writer thread: it encodes one entry at a time.
const STACK_BYTES: usize = 128 * 1024;

/// One turn's entries.
pub(super) struct Batch {
    pub(super) entries: Vec<Entry>,
    pub(super) durability: Durability,
}

/// What the writer is to do.
pub(super) enum Order {
    /// To commit.
    Write(Batch),
    /// To go on in a new epoch.
    Renew(Box<Renewal>),
}

/// What became of a batch.
pub(super) struct Written {
    /// The entries, as they were handed in.
    pub(super) entries: Vec<Entry>,
    /// The number of the first record or event among them, or what the disk said.
    pub(super) outcome: Result<u64, String>,
}

/// The loop's end of the writer.
pub(super) struct Writer {
    orders: Option<Sender<Order>>,
    thread: Option<thread::JoinHandle<()>>,
    status: Arc<Mutex<JournalStatus>>,
}

impl Writer {
    pub(super) fn start(journal: Journal<RealDisk>, inbox: Sender<Happening>) -> std::io::Result<Self> {
        let (orders, received) = bounded(1);
        let status = Arc::new(Mutex::new(journal.status()));
        let shared = Arc::clone(&status);
        let thread = thread::Builder::new()
            .name("journal".to_owned())
            .stack_size(STACK_BYTES)
            .spawn(move || write_all(journal, &received, &inbox, &shared))?;
        Ok(Self { orders: Some(orders), thread: Some(thread), status })
    }

    /// Hands a batch over; the answer comes as [`Happening::Written`]. The loop keeps one batch under way, so there is
    /// room.
    pub(super) fn write(&self, batch: Batch) -> Result<(), Batch> {
        let refused = match &self.orders {
            Some(orders) => match orders.try_send(Order::Write(batch)) {
                Ok(()) => return Ok(()),
                Err(error) => error.into_inner(),
            },
            None => return Err(batch),
        };
        match refused {
            Order::Write(batch) => Err(batch),
            Order::Renew(_) => Ok(()),
        }
    }

    /// Asks for a new epoch, while no batch is under way; the answer comes as [`Happening::Renewed`]. Whether it was asked.
    pub(super) fn renew(&self, renewal: Renewal) -> bool {
        let order = Order::Renew(Box::new(renewal));
        self.orders.as_ref().is_some_and(|orders| orders.try_send(order).is_ok())
    }

    pub(super) fn status(&self) -> JournalStatus {
        self.status.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Lets what is under way end, and the thread with it.
    pub(super) fn finish(&mut self) {
        self.orders = None;
        if let Some(thread) = self.thread.take()
            && thread.join().is_err()
        {
            log::error!("the journal's thread panicked");
        }
    }
}

fn write_all(
    mut journal: Journal<RealDisk>,
    orders: &Receiver<Order>,
    inbox: &Sender<Happening>,
    status: &Mutex<JournalStatus>,
) {
    while let Ok(order) = orders.recv_blocking() {
        let happening = match order {
            Order::Write(Batch { entries, durability }) => {
                let committed = journal.commit(&entries, durability);
                let outcome = committed.map(|committed| committed.first_seq).map_err(|error| chain(&error));
                Happening::Written(Written { entries, outcome })
            }
            Order::Renew(renewal) => {
                let renewed: Result<Renewed, _> = journal.renew(*renewal);
                Happening::Renewed(renewed.map(Box::new).map_err(|error| chain(&error)))
            }
        };
        *status.lock().unwrap_or_else(PoisonError::into_inner) = journal.status();
        if inbox.send_blocking(happening).is_err() {
            return;
        }
        // Once the turn is answered there is time for housekeeping.
        if let Err(error) = journal.tidy() {
            log::warn!("the journal could not be compacted: {}", chain(&error));
        }
        let notes = journal.take_notes();
        if !notes.is_empty() && inbox.send_blocking(Happening::Noted(notes)).is_err() {
            return;
        }
    }
}

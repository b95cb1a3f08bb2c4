//! A disk behind a volatile cache that loses power: an NBD server on a Unix socket. What was not flushed when the plug is
//! pulled is there or not, sector by sector, as chance has it.
//!
//! Source: proto.md of the NBD project: fixed newstyle handshake, simple replies.

use std::collections::BTreeMap;
use std::fs;
use std::io::{self, Read, Write};
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::Path;
use std::sync::{Arc, Mutex};
use std::thread;

use super::dice::Dice;

const SECTOR: usize = 512;

const MAGIC: u64 = 0x4e42_444d_4147_4943;
const OPTION: u64 = 0x4948_4156_454f_5054;
const OPTION_REPLY: u64 = 0x0003_e889_0455_65a9;
const REQUEST: u32 = 0x2560_9513;
const REPLY: u32 = 0x6744_6698;

const EXPORT_NAME: u32 = 1;
const ABORT: u32 = 2;
const INFO: u32 = 6;
const GO: u32 = 7;

const REP_ACK: u32 = 1;
const REP_INFO: u32 = 3;
const REP_UNSUPPORTED: u32 = 0x8000_0001;

/// Flags are there; flush is served.
const SERVES: u16 = 1 | 4;

const READ: u16 = 0;
const WRITE: u16 = 1;
const DISCONNECT: u16 = 2;
const FLUSH: u16 = 3;

const INVALID: u32 = 22;

struct Content {
    /// As whoever reads it finds it.
    now: Vec<u8>,
    /// Sectors as they lie on the medium, where that is another.
    before: BTreeMap<usize, Vec<u8>>,
    flushes: u64,
    /// So many writes later the power is gone.
    fuse: Option<u64>,
}

impl Content {
    fn is_dead(&self) -> bool {
        self.fuse == Some(0)
    }
}

/// The disk.
#[derive(Clone)]
pub(super) struct Block {
    content: Arc<Mutex<Content>>,
}

/// What a cut did.
#[derive(Debug, Default)]
pub(super) struct Loss {
    /// Sectors that had not been flushed,
    pub(super) open: usize,
    /// and of them those that are gone.
    pub(super) lost: usize,
}

impl Block {
    /// A disk with this content, served at this socket until the program ends.
    pub(super) fn serve(content: Vec<u8>, socket: &Path) -> Self {
        assert_eq!(content.len() % SECTOR, 0);
        let content = Content { now: content, before: BTreeMap::new(), flushes: 0, fuse: None };
        let block = Self { content: Arc::new(Mutex::new(content)) };
        let listener = UnixListener::bind(socket).unwrap();
        let theirs = block.clone();
        thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                let theirs = theirs.clone();
                // Its end is the machine's own.
                thread::spawn(move || theirs.client(stream).ok());
            }
        });
        block
    }

    /// The power will be gone behind the write of that number, before anything that follows it: nothing is answered any more.
    pub(super) fn dies_after(&self, writes: u64) {
        self.content.lock().unwrap().fuse = Some(writes);
    }

    pub(super) fn is_dead(&self) -> bool {
        self.content.lock().unwrap().is_dead()
    }

    /// The plug was pulled: of what was not flushed some is gone.
    pub(super) fn cut(&self, dice: &mut Dice) -> Loss {
        let mut content = self.content.lock().unwrap();
        content.fuse = None;
        let before = std::mem::take(&mut content.before);
        let mut loss = Loss { open: before.len(), lost: 0 };
        for (sector, bytes) in before {
            if dice.below(2) == 0 {
                content.now[sector * SECTOR..(sector + 1) * SECTOR].copy_from_slice(&bytes);
                loss.lost += 1;
            }
        }
        loss
    }

    pub(super) fn flushes(&self) -> u64 {
        self.content.lock().unwrap().flushes
    }

    pub(super) fn save(&self, to: &Path) {
        fs::write(to, &self.content.lock().unwrap().now).unwrap();
    }

    fn client(&self, mut stream: UnixStream) -> io::Result<()> {
        let size = self.content.lock().unwrap().now.len() as u64;
        let mut hello = MAGIC.to_be_bytes().to_vec();
        hello.extend(OPTION.to_be_bytes());
        // Fixed newstyle, no zeroes.
        hello.extend(3_u16.to_be_bytes());
        stream.write_all(&hello)?;
        let [.., _] = read::<4>(&mut stream)?;
        loop {
            if u64::from_be_bytes(read(&mut stream)?) != OPTION {
                return Err(io::Error::other("no option"));
            }
            let option = u32::from_be_bytes(read(&mut stream)?);
            let length = u32::from_be_bytes(read(&mut stream)?);
            let mut data = vec![0; usize::try_from(length).unwrap().min(4_096)];
            stream.read_exact(&mut data)?;
            let mut reply = |kind: u32, data: &[u8]| {
                let mut bytes = OPTION_REPLY.to_be_bytes().to_vec();
                bytes.extend(option.to_be_bytes());
                bytes.extend(kind.to_be_bytes());
                bytes.extend(u32::try_from(data.len()).unwrap().to_be_bytes());
                bytes.extend(data);
                stream.write_all(&bytes)
            };
            match option {
                INFO | GO => {
                    let mut info = 0_u16.to_be_bytes().to_vec();
                    info.extend(size.to_be_bytes());
                    info.extend(SERVES.to_be_bytes());
                    reply(REP_INFO, &info)?;
                    reply(REP_ACK, &[])?;
                    if option == GO {
                        return self.transmit(stream);
                    }
                }
                EXPORT_NAME => {
                    stream.write_all(&size.to_be_bytes())?;
                    stream.write_all(&SERVES.to_be_bytes())?;
                    return self.transmit(stream);
                }
                ABORT => return reply(REP_ACK, &[]),
                _ => reply(REP_UNSUPPORTED, &[])?,
            }
        }
    }

    fn transmit(&self, mut stream: UnixStream) -> io::Result<()> {
        loop {
            if u32::from_be_bytes(read(&mut stream)?) != REQUEST {
                return Err(io::Error::other("no request"));
            }
            let _flags = u16::from_be_bytes(read(&mut stream)?);
            let kind = u16::from_be_bytes(read(&mut stream)?);
            let handle: [u8; 8] = read(&mut stream)?;
            let offset = usize::try_from(u64::from_be_bytes(read(&mut stream)?)).unwrap();
            let length = usize::try_from(u32::from_be_bytes(read(&mut stream)?)).unwrap();
            let mut written = Vec::new();
            if kind == WRITE {
                written = vec![0; length];
                stream.read_exact(&mut written)?;
            }
            let mut content = self.content.lock().unwrap();
            if content.is_dead() {
                drop(content);
                // Until the machine is off, too.
                return io::copy(&mut stream, &mut io::sink()).map(drop);
            }
            let (mut error, mut found) = (0, Vec::new());
            match kind {
                DISCONNECT => return Ok(()),
                FLUSH => {
                    content.before.clear();
                    content.flushes += 1;
                }
                READ | WRITE if offset.checked_add(length).is_none_or(|end| end > content.now.len()) => {
                    error = INVALID;
                }
                READ => found.extend_from_slice(&content.now[offset..offset + length]),
                WRITE => {
                    content.write(offset, &written);
                    content.fuse = content.fuse.map(|left| left.saturating_sub(1));
                }
                _ => error = INVALID,
            }
            drop(content);
            let mut reply = REPLY.to_be_bytes().to_vec();
            reply.extend(error.to_be_bytes());
            reply.extend(handle);
            reply.extend(found);
            stream.write_all(&reply)?;
        }
    }
}

impl Content {
    fn write(&mut self, offset: usize, bytes: &[u8]) {
        let Self { now, before, .. } = self;
        if bytes.is_empty() {
            return;
        }
        for sector in offset / SECTOR..=(offset + bytes.len() - 1) / SECTOR {
            before.entry(sector).or_insert_with(|| now[sector * SECTOR..(sector + 1) * SECTOR].to_vec());
        }
        now[offset..offset + bytes.len()].copy_from_slice(bytes);
    }
}

fn read<const N: usize>(stream: &mut UnixStream) -> io::Result<[u8; N]> {
    let mut bytes = [0; N];
    stream.read_exact(&mut bytes)?;
    Ok(bytes)
}

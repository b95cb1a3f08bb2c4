//! Changed bytes, many times: a segment whose frames are broken, and bodies that are broken behind good checksums. The
//! corpus is what format 1 has in `tests/golden`. The same cases in every run; `FUZZ=1000000 SEED=7 cargo test --release
//! --test store fuzz` looks further.

use leafcron::job::{Entry, EventJson, Id128, Image, RecordJson};
use leafcron::store::{Durability, Journal, MemDisk, Outbox, Survey, events, history};

use crate::sample::{ALL, EPOCH, event, options};

const CORPUS: [&[u8]; 4] = [
    include_bytes!("../golden/journal-1"),
    include_bytes!("../golden/journal-2"),
    include_bytes!("../golden/journal-linked"),
    include_bytes!("../golden/journal-bound"),
];
const HEADER: usize = 160;

/// SplitMix64.
struct Dice(u64);

impl Dice {
    fn roll(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    fn below(&mut self, n: usize) -> usize {
        usize::try_from(self.roll() % (n.max(1) as u64)).unwrap()
    }
}

fn number(name: &str, default: u64) -> u64 {
    std::env::var(name).ok().map_or(default, |text| text.parse().unwrap())
}

/// One change as a disk, a cable or a mean person makes it.
fn change(bytes: &mut Vec<u8>, from: usize, other: &[u8], dice: &mut Dice) {
    if bytes.len() <= from {
        return bytes.push(0);
    }
    let at = from + dice.below(bytes.len() - from);
    let len = dice.below(bytes.len() - at).min(1 << dice.below(12));
    match dice.below(9) {
        0 => bytes[at] ^= 1 << dice.below(8),
        1 => bytes[at] = [0, 1, 0x7f, 0x80, 0xff][dice.below(5)],
        2 => bytes[at..at + len].fill(0),
        3 => drop(bytes.drain(at..at + len)),
        4 => bytes.truncate(at),
        5 => {
            let part = bytes[at..at + len].to_vec();
            bytes.splice(at..at, part);
        }
        6 => {
            let begin = dice.below(other.len());
            let part = other[begin..(begin + len).min(other.len())].to_vec();
            bytes.splice(at..at, part);
        }
        7 => bytes[at] = bytes[at].wrapping_add(1),
        _ => bytes[at] = u8::try_from(dice.below(256)).unwrap(),
    }
}

/// Whatever a journal holds, it is read without a panic, twice alike, and goes on.
fn survives(segment: &[u8], number: u64) {
    let name = format!("journal-{number}");
    let disk = MemDisk::new();
    disk.put(&name, segment);
    let records = history(&disk, None, ALL).unwrap();
    let told = events(&disk, ALL).unwrap();
    for (seq, record) in records {
        serde_json::to_vec(&RecordJson::new(seq, EPOCH, "pi".parse().unwrap(), record)).unwrap();
    }
    for (seq, event) in told {
        serde_json::to_vec(&EventJson::new(seq, EPOCH, "pi".parse().unwrap(), event)).unwrap();
    }
    let (_, first) = Journal::open(disk.clone(), options()).unwrap();
    let (mut journal, again) = Journal::open(disk.clone(), options()).unwrap();
    assert_eq!((&first.image, first.next_seq, &first.notes), (&again.image, again.next_seq, &again.notes));
    // Numbers near the end of u64 are no agent's.
    if again.next_seq < u64::MAX - 9 {
        assert_eq!(journal.commit(&[event(1)], Durability::Synced).unwrap().first_seq, again.next_seq);
        journal.compact().unwrap();
        drop(journal);
        let (_, after) = Journal::open(disk.clone(), options()).unwrap();
        assert_eq!((after.next_seq, after.notes.len()), (again.next_seq + 1, 0));
    }
    let mut outbox = Outbox::new(disk, again.epoch);
    outbox.read(0, again.next_seq, 100, 1 << 20).unwrap();
    let _: Option<Survey> = outbox.survey(0, again.next_seq.min(1 << 20)).unwrap();
}

#[test]
fn broken_segments_are_read_as_far_as_they_go() {
    let mut dice = Dice(number("SEED", 6));
    for _ in 0..number("FUZZ", 3_000) {
        let which = dice.below(CORPUS.len());
        let mut segment = CORPUS[which].to_vec();
        let other = CORPUS[dice.below(CORPUS.len())];
        // Mostly behind the header, without which nothing is read at all.
        let from = if dice.below(8) == 0 { 0 } else { HEADER };
        for _ in 0..=dice.below(4) {
            change(&mut segment, from, other, &mut dice);
        }
        survives(&segment, if which == 1 || which == 3 { 2 } else { 1 });
    }
}

/// The bodies of a segment's frames.
fn bodies(segment: &[u8]) -> Vec<Vec<u8>> {
    let (mut at, mut bodies) = (HEADER, Vec::new());
    while let Some(len) = segment.get(at..at + 4) {
        let len = usize::try_from(u32::from_le_bytes(len.try_into().unwrap())).unwrap();
        bodies.push(segment[at + 8..at + 8 + len].to_vec());
        at += 8 + len;
    }
    bodies
}

/// A segment of any bodies, with good checksums.
fn segment_of(header: &[u8], bodies: &[Vec<u8>]) -> Vec<u8> {
    let mut segment = header[..HEADER].to_vec();
    let seed = crc32c::crc32c(&header[..HEADER / 2]);
    for body in bodies {
        let (offset, len) = (segment.len() as u64, u32::try_from(body.len()).unwrap());
        let mut crc = seed;
        for part in [&offset.to_le_bytes()[..], &len.to_le_bytes(), body] {
            crc = crc32c::crc32c_append(crc, part);
        }
        segment.extend(len.to_le_bytes());
        segment.extend(crc.to_le_bytes());
        segment.extend(body);
    }
    segment
}

#[test]
fn the_corpus_is_put_together_again_as_it_was() {
    for segment in CORPUS {
        assert_eq!(segment_of(segment, &bodies(segment)), segment);
    }
}

#[test]
fn broken_bodies_behind_good_checksums_are_read_as_far_as_they_go() {
    let mut dice = Dice(number("SEED", 6) ^ 0xb0d1e5);
    for _ in 0..number("FUZZ", 3_000) {
        let which = dice.below(CORPUS.len());
        let mut broken = bodies(CORPUS[which]);
        let other = CORPUS[dice.below(CORPUS.len())];
        for _ in 0..=dice.below(3) {
            let at = dice.below(broken.len());
            match dice.below(6) {
                // The frame itself goes, comes twice, or elsewhere.
                0 => drop(broken.remove(at)),
                1 => broken.push(broken[at].clone()),
                _ => change(&mut broken[at], 0, other, &mut dice),
            }
            if broken.is_empty() {
                break;
            }
        }
        survives(&segment_of(CORPUS[which], &broken), if which == 1 || which == 3 { 2 } else { 1 });
    }
}

/// Records alone: whatever can be read as an entry can be applied, printed and written again.
#[test]
fn entries_made_of_any_bytes_are_harmless() {
    let mut dice = Dice(number("SEED", 6) ^ 0xe17e5);
    let corpus: Vec<Vec<u8>> = CORPUS.iter().flat_map(|segment| bodies(segment)).collect();
    let mut read = 0;
    for _ in 0..number("FUZZ", 60_000) {
        let mut bytes = corpus[dice.below(corpus.len())].clone();
        // From anywhere inside: an entry begins at many places.
        bytes.drain(..dice.below(bytes.len()));
        let other = corpus[dice.below(corpus.len())].clone();
        change(&mut bytes, 0, &other, &mut dice);
        let Ok((entry, _)) = postcard::take_from_bytes::<Entry>(&bytes) else { continue };
        read += 1;
        let mut image = Image::default();
        image.apply(&entry);
        let written = postcard::to_stdvec(&entry).unwrap();
        assert_eq!(postcard::to_stdvec(&postcard::from_bytes::<Entry>(&written).unwrap()).unwrap(), written);
        if let Entry::Record(record) = entry {
            let json =
                serde_json::to_vec(&RecordJson::new(1, Id128([1; 16]), "pi".parse().unwrap(), *record));
            serde_json::from_slice::<serde_json::Value>(&json.unwrap()).unwrap();
        } else if let Entry::Event(event) = entry {
            serde_json::to_vec(&EventJson::new(1, Id128([1; 16]), "pi".parse().unwrap(), event)).unwrap();
        }
    }
    assert!(read > 1_000, "{read} were entries");
}

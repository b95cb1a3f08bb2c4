//! The first and the last bytes of what a command writes, in memory that does not grow with what it writes.
//!
//! ```text
//!   |<-- first -->|   … dropped, only counted …   |<-- last -->|
//! ```
//! A cut never parts a character, what is not UTF-8 becomes U+FFFD, and `bytes = head + tail + dropped` holds in the
//! bytes that were written.

use std::collections::VecDeque;

use super::tail;
use crate::job::Output;

/// Head and tail of one stream.
#[derive(Debug)]
pub(super) struct Capture {
    first: Vec<u8>,
    last: VecDeque<u8>,
    first_max: usize,
    last_max: usize,
    bytes: u64,
    /// For those who follow it.
    tail: Option<tail::Writer>,
}

impl Capture {
    /// Keeps `max` bytes altogether, half of them the last.
    pub(super) fn new(max: u32) -> Self {
        let max = usize::try_from(max).unwrap_or(usize::MAX);
        Self {
            first: Vec::new(),
            last: VecDeque::new(),
            first_max: max - max / 2,
            last_max: max / 2,
            bytes: 0,
            tail: None,
        }
    }

    /// Hands on what it is given.
    pub(super) fn with_tail(self, tail: Option<tail::Writer>) -> Self {
        Self { tail, ..self }
    }

    /// All bytes so far.
    pub(super) fn bytes(&self) -> u64 {
        self.bytes
    }

    pub(super) fn push(&mut self, chunk: &[u8]) {
        self.bytes = self.bytes.saturating_add(length(chunk.len()));
        if let Some(tail) = &mut self.tail {
            tail.push(chunk);
        }
        let room = (self.first_max - self.first.len()).min(chunk.len());
        let (first, rest) = chunk.split_at(room);
        self.first.extend_from_slice(first);
        let rest = rest.split_at(rest.len().saturating_sub(self.last_max)).1;
        let surplus = (self.last.len() + rest.len()).saturating_sub(self.last_max);
        self.last.drain(..surplus);
        self.last.extend(rest);
    }

    /// Makes text of what was kept, within the same bound.
    pub(super) fn finish(mut self) -> Output {
        let max = self.first_max + self.last_max;
        let last = self.last.make_contiguous();
        if length(self.first.len() + last.len()) == self.bytes {
            self.first.extend_from_slice(last);
            let whole = String::from_utf8_lossy(&self.first);
            if whole.len() <= max {
                return Output {
                    head: whole.into_owned(),
                    tail: String::new(),
                    bytes: self.bytes,
                    dropped: 0,
                };
            }
            // Too long only by its replacement characters: cut it like any other.
            let (head, taken) = front(&self.first, self.first_max);
            let (tail, kept) = back(self.first.split_at(taken).1, self.last_max);
            return self.output(head, tail, taken + kept);
        }
        let (head, taken) = front(&self.first, self.first_max);
        let (tail, kept) = back(last, self.last_max);
        self.output(head, tail, taken + kept)
    }

    fn output(&self, head: String, tail: String, kept: usize) -> Output {
        Output { head, tail, bytes: self.bytes, dropped: self.bytes.saturating_sub(length(kept)) }
    }
}

fn length(n: usize) -> u64 {
    u64::try_from(n).unwrap_or(u64::MAX)
}

/// The characters of a text, each with the bytes it was made of; a broken sequence is one U+FFFD.
fn pieces(bytes: &[u8]) -> impl Iterator<Item = (char, usize)> {
    bytes.utf8_chunks().flat_map(|chunk| {
        let broken = chunk.invalid().len();
        let broken = (broken > 0).then_some((char::REPLACEMENT_CHARACTER, broken));
        chunk.valid().chars().map(|c| (c, c.len_utf8())).chain(broken)
    })
}

/// As much text of the front as fits, and the bytes it was made of. A character that the cut parted is left out.
fn front(bytes: &[u8], max: usize) -> (String, usize) {
    let mut text = String::new();
    let mut taken = 0;
    for (c, raw) in pieces(whole_characters(bytes)) {
        if text.len() + c.len_utf8() > max {
            break;
        }
        text.push(c);
        taken += raw;
    }
    (text, taken)
}

/// As much text of the back as fits, and the bytes it was made of.
fn back(bytes: &[u8], max: usize) -> (String, usize) {
    // At most three continuation bytes belong to a character that the cut parted.
    let parted = bytes.iter().take(3).take_while(|b| **b & 0xc0 == 0x80).count();
    let bytes = bytes.split_at(parted).1;
    let mut surplus: usize = pieces(bytes).map(|(c, _)| c.len_utf8()).sum::<usize>().saturating_sub(max);
    let mut text = String::new();
    let mut kept = 0;
    for (c, raw) in pieces(bytes) {
        if surplus > 0 {
            surplus = surplus.saturating_sub(c.len_utf8());
        } else {
            text.push(c);
            kept += raw;
        }
    }
    (text, kept)
}

/// Without the beginning of a character at the end.
pub(super) fn whole_characters(bytes: &[u8]) -> &[u8] {
    match core::str::from_utf8(bytes) {
        Err(error) if error.error_len().is_none() => bytes.split_at(error.valid_up_to()).0,
        _ => bytes.utf8_chunks().last().map_or(bytes, |chunk| {
            let broken = chunk.invalid();
            let unfinished = core::str::from_utf8(broken).is_err_and(|e| e.error_len().is_none());
            bytes.split_at(bytes.len() - if unfinished { broken.len() } else { 0 }).0
        }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn capture(max: u32, chunks: &[&[u8]]) -> Output {
        let mut capture = Capture::new(max);
        chunks.iter().for_each(|chunk| capture.push(chunk));
        capture.finish()
    }

    #[test]
    fn what_fits_is_all_head() {
        let output = capture(8, &[b"abc", b"", b"defgh"]);
        assert_eq!((output.head.as_str(), output.tail.as_str()), ("abcdefgh", ""));
        assert_eq!((output.bytes, output.dropped), (8, 0));
    }

    #[test]
    fn what_does_not_fit_is_counted() {
        let output = capture(8, &[b"0123456789", b"ab", b"cdefghijklmnop"]);
        assert_eq!((output.head.as_str(), output.tail.as_str()), ("0123", "mnop"));
        assert_eq!((output.bytes, output.dropped), (26, 18));
        assert_eq!(capture(0, &[b"abc"]), Output { bytes: 3, dropped: 3, ..Output::default() });
    }

    #[test]
    fn a_cut_parts_no_character() {
        // Each umlaut is two bytes; both cuts fall into one.
        let output = capture(6, &["äöüäöü".as_bytes()]);
        assert_eq!((output.head.as_str(), output.tail.as_str(), output.dropped), ("ä", "ü", 8));
    }

    #[test]
    fn bytes_that_are_no_text_stay_within_the_bound() {
        let output = capture(12, &[&[0xff; 12]]);
        assert_eq!(output.head, "\u{fffd}\u{fffd}");
        assert_eq!(output.tail, "\u{fffd}\u{fffd}");
        assert_eq!(output.dropped, 8);
        assert_eq!(capture(12, &[b"a\xffb"]).head, "a\u{fffd}b");
    }

    proptest! {
        #[test]
        fn the_bound_and_the_count_hold_for_any_bytes(
            max in 0u32..40,
            chunks in proptest::collection::vec(proptest::collection::vec(any::<u8>(), 0..30), 0..6),
        ) {
            let total: usize = chunks.iter().map(Vec::len).sum();
            let chunks: Vec<&[u8]> = chunks.iter().map(Vec::as_slice).collect();
            let output = capture(max, &chunks);
            prop_assert_eq!(output.bytes, length(total));
            prop_assert!(output.dropped <= output.bytes);
            prop_assert!(length(output.head.len() + output.tail.len()) <= u64::from(max));
        }

        #[test]
        fn of_plain_text_head_and_tail_are_its_ends(max in 0u32..40, text in "[a-zäöü]{0,60}", cut in 1usize..9) {
            let chunks: Vec<&[u8]> = text.as_bytes().chunks(cut).collect();
            let output = capture(max, &chunks);
            prop_assert!(text.starts_with(&output.head) && text.ends_with(&output.tail));
            prop_assert_eq!(length(output.head.len() + output.tail.len()) + output.dropped, output.bytes);
        }
    }
}

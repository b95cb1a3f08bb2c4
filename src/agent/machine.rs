//! What names this machine, so that a journal is known to be another's: the serial number of its board, which no clone of
//! a card has, and where there is none its machine-id(5).

use std::path::Path;

use sha2::{Digest, Sha256};

use crate::job::{Epoch, Id128};

/// The best first. DMI shows its serial to root alone.
const NAMES: &[(&str, &str)] = &[
    ("serial", "proc/device-tree/serial-number"),
    ("serial", "sys/class/dmi/id/board_serial"),
    ("machine-id", "etc/machine-id"),
];
/// The least that tells machines apart, in characters.
const NAME_CHARS: usize = 6;

/// Digests of all names that this machine has.
pub(super) fn names() -> Vec<Id128> {
    names_below(&root())
}

/// A new epoch of this machine. At a first boot, in 1970 and without a seed, two cards of one image may draw the same bits.
pub(super) fn epoch(bits: [u8; 16], names: &[Id128]) -> Epoch {
    let mut hasher = Sha256::new();
    hasher.update(bits);
    names.iter().for_each(|name| hasher.update(name.0));
    id(hasher)
}

fn id(hasher: Sha256) -> Id128 {
    let mut id = Id128::default();
    id.0.iter_mut().zip(hasher.finalize()).for_each(|(to, from)| *to = from);
    id
}

fn names_below(root: &Path) -> Vec<Id128> {
    NAMES.iter().filter_map(|(kind, file)| name(kind, &root.join(file))).collect()
}

fn name(kind: &str, file: &Path) -> Option<Id128> {
    let text = std::fs::read(file).ok()?;
    let text = String::from_utf8_lossy(&text);
    let text = text.trim_matches(|c: char| c.is_whitespace() || c == '\0');
    if !is_name(text) {
        return None;
    }
    let mut hasher = Sha256::new();
    hasher.update(kind.as_bytes());
    hasher.update([0]);
    hasher.update(text.as_bytes());
    Some(id(hasher))
}

/// Firmware writes `None`, `Default string`, `To be filled by O.E.M.`, `0123456789` or zeros for want of a number.
fn is_name(text: &str) -> bool {
    let plain: String = text.chars().filter(char::is_ascii_alphanumeric).collect::<String>().to_lowercase();
    let counts_up = "01234567890123456789".contains(&plain);
    let one_digit = plain.chars().all(|c| plain.starts_with(c));
    let has_number = plain.bytes().any(|byte| byte.is_ascii_digit());
    plain.len() >= NAME_CHARS && has_number && !counts_up && !one_digit
}

/// Below here the names are read. A test plays another machine: `LEAFCRON_MACHINE=DIR` in a debug build.
fn root() -> std::path::PathBuf {
    #[cfg(debug_assertions)]
    if let Some(root) = std::env::var_os("LEAFCRON_MACHINE") {
        return root.into();
    }
    "/".into()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn machine(files: &[(&str, &str)]) -> Vec<Id128> {
        let dir = tempfile::tempdir().unwrap();
        for (name, text) in files {
            let path = dir.path().join(name);
            std::fs::create_dir_all(path.parent().unwrap()).unwrap();
            std::fs::write(path, text).unwrap();
        }
        names_below(dir.path())
    }

    const PI: (&str, &str) = ("proc/device-tree/serial-number", "10000000d2a1f4c7\0");
    const ID: (&str, &str) = ("etc/machine-id", "8f1d2c3b4a5968778695a4b3c2d1e0f0\n");

    #[test]
    fn the_boards_serial_comes_first_and_the_machine_id_is_a_name_too() {
        let both = machine(&[PI, ID]);
        assert_eq!(both.len(), 2);
        assert_eq!(both, [machine(&[PI]), machine(&[ID])].concat());
        assert_ne!(machine(&[PI]), machine(&[("proc/device-tree/serial-number", "10000000d2a1f4c8\0")]));
        assert_eq!(machine(&[]), []);
    }

    #[test]
    fn an_epoch_is_new_where_the_bits_or_the_machine_are() {
        let bits = [7; 16];
        let of = |bits, files: &[(&str, &str)]| epoch(bits, &machine(files));
        assert_eq!(of(bits, &[PI]), of(bits, &[PI]));
        assert_ne!(of(bits, &[PI]), of(bits, &[("proc/device-tree/serial-number", "10000000d2a1f4c8\0")]));
        assert_ne!(of(bits, &[PI]), of([8; 16], &[PI]));
        assert_ne!(of(bits, &[]), of([8; 16], &[]));
    }

    #[test]
    fn what_firmware_writes_for_want_of_a_number_is_no_name() {
        for text in [
            "",
            "None",
            "Default string",
            "To be filled by O.E.M.",
            "0123456789",
            "0000000000000000",
            "Board",
        ] {
            assert_eq!(machine(&[("sys/class/dmi/id/board_serial", text)]), [], "{text}");
        }
        assert_eq!(machine(&[("sys/class/dmi/id/board_serial", "PGPPU001J9ABCD\n")]).len(), 1);
    }
}

//! The shape of the house, held against its sources: which room may use which, which rooms are pure, and where `unsafe`
//! may stand. One table says it; the rest of this file reads the sources and compares.
//!
//! What it cannot see: paths that a macro makes up, and what a permitted room hands on under its own name.

use std::fmt::Write as _;
use std::path::{Path, PathBuf};

#[path = "house/source.rs"]
mod source;

use source::{Mention, Place, mentions};

/// A room of the house, and what it may know.
struct Room {
    name: &'static str,
    /// The rooms that it may use, besides itself.
    uses: &'static [&'static str],
    kind: Kind,
}

/// Whether a room may touch the machine.
enum Kind {
    /// Decides only: no file, no process, no clock.
    Pure,
    /// Pure but for these modules, which a room that uses the pure half may not name.
    PureBut(&'static [&'static str]),
    /// Owns one outside thing.
    Shell,
}

/// The table: from the ground up, so that imports point down only. It may name rooms that are not built yet.
const HOUSE: &[Room] = &[
    Room { name: "job", uses: &[], kind: Kind::Pure },
    Room { name: "schedule", uses: &["job"], kind: Kind::Pure },
    Room { name: "gate", uses: &["job"], kind: Kind::PureBut(&["probe"]) },
    Room { name: "runtime", uses: &["job"], kind: Kind::Shell },
    Room { name: "store", uses: &["job"], kind: Kind::Shell },
    Room { name: "nats", uses: &["job"], kind: Kind::Shell },
    Room { name: "control", uses: &["job"], kind: Kind::Shell },
    Room { name: "config", uses: &["job"], kind: Kind::Shell },
    Room { name: "catalog", uses: &["job", "schedule", "gate"], kind: Kind::Pure },
    Room { name: "scheduler", uses: &["job", "schedule", "gate"], kind: Kind::Pure },
    Room { name: "link", uses: &["job", "nats"], kind: Kind::Shell },
    Room {
        name: "agent",
        uses: &[
            "job",
            "schedule",
            "gate",
            "runtime",
            "store",
            "nats",
            "control",
            "config",
            "catalog",
            "scheduler",
            "link",
        ],
        kind: Kind::Shell,
    },
];

/// The one room with `unsafe`.
const UNSAFE_ROOM: &str = "runtime";

/// What a pure room may not name, as the beginning of a path. `schedule` reads zones through `jiff` all the same.
const OUTSIDE: &[&[&str]] = &[
    &["std", "fs"],
    &["std", "net"],
    &["std", "process"],
    &["std", "thread"],
    &["std", "env"],
    &["std", "os"],
    &["rustix"],
    &["nix"],
    &["libc"],
    &["smol"],
    &["signal_hook"],
];

/// The one module of a pure room that looks outside: which of the tz database's zones is the device's is said by `TZ`
/// and `/etc/localtime`, and `schedule` owns the reading of zones.
const TZ_READER: &[&str] = &["schedule", "zone"];
/// Just what it may name.
const TZ_READS: &[&[&str]] = &[&["std", "env", "var_os"], &["std", "fs", "read_link"]];

/// Words that mean a clock, wherever they stand in a path; of jiff's types the constructors that read one.
const CLOCKS: &[&[&str]] =
    &[&["SystemTime"], &["Instant"], &["Timestamp", "now"], &["Zoned", "now"], &["TimeZone", "system"]];

/// A source file: its path below `src/`, and its text.
struct File {
    path: String,
    text: String,
}

#[test]
fn every_import_is_in_the_table() {
    let house = sources();
    assert!(house.len() > 3, "found only {} sources", house.len());
    let broken = violations(&house);
    assert!(broken.is_empty(), "the house is broken:\n{}", broken.join("\n"));
}

#[test]
fn imports_point_down_only() {
    for (at, room) in HOUSE.iter().enumerate() {
        for used in room.uses {
            let below = HOUSE.iter().take(at).any(|lower| lower.name == *used);
            assert!(below, "{} uses {used}, which does not stand below it in the table", room.name);
        }
    }
}

/// Everything in `files` that the table does not allow, one line each.
fn violations(files: &[File]) -> Vec<String> {
    let rooms = rooms_of_the_map(files);
    let hidden = names_of_impure_halves(files);
    let mut broken = Vec::new();
    for entry in hidden.iter().filter(|entry| entry.name == "*") {
        broken.push(format!("{}: what it hands on of its impure half must be named one by one", entry.room));
    }
    for name in &rooms {
        if !HOUSE.iter().any(|room| room.name == name) {
            broken.push(format!("lib.rs: room {name} is not in the table of tests/house.rs"));
        }
    }
    for file in files {
        let module = module_of(&file.path);
        let module: Vec<&str> = module.iter().map(String::as_str).collect();
        let room = HOUSE.iter().find(|room| module.first() == Some(&room.name));
        for mention in mentions(&file.text, &module) {
            let wrong = match room {
                Some(room) => wrong_in_room(room, &module, &mention, &hidden),
                None => wrong_outside(file, &mention),
            };
            let wrong = wrong.or_else(|| wrong_unsafe(&module, &mention));
            if let Some(wrong) = wrong {
                let mut line = String::new();
                write!(line, "src/{}:{}: {wrong}", file.path, mention.line).expect("a String takes all");
                broken.push(line);
            }
        }
        if file.text.contains("#[path") {
            broken.push(format!("src/{}: #[path] hides where a module lies", file.path));
        }
    }
    broken
}

fn wrong_in_room(room: &Room, module: &[&str], mention: &Mention, hidden: &[Hidden]) -> Option<String> {
    let path: Vec<&str> = mention.path.iter().map(String::as_str).collect();
    match path.as_slice() {
        ["crate"] | ["crate", "*"] if mention.place == Place::Use => {
            return Some("imports the root whole; name the room".to_owned());
        }
        ["crate", target, ..] if *target != room.name && !room.uses.contains(target) => {
            return Some(format!("{} may not use {target}: {}", room.name, path.join("::")));
        }
        ["crate", target, name, ..] if is_hidden(hidden, target, name, room, module) => {
            return Some(format!("{name} is of the impure half of {target}: {}", path.join("::")));
        }
        _ => {}
    }
    if !is_pure(room, module) {
        return None;
    }
    let outside = OUTSIDE.iter().find(|banned| path.starts_with(banned));
    let clock = CLOCKS.iter().find(|banned| path.windows(banned.len()).any(|part| part == **banned));
    let outside = outside.filter(|_| module != TZ_READER || !TZ_READS.iter().any(|allowed| path == *allowed));
    let whole = ["std::*", "std::self"].contains(&path.join("::").as_str()) && mention.place == Place::Use;
    (outside.is_some() || clock.is_some() || whole)
        .then(|| format!("{} is pure and may not name {}", module.join("::"), path.join("::")))
}

/// Outside the rooms: the map holds nothing but modules, a program may use any room.
fn wrong_outside(file: &File, mention: &Mention) -> Option<String> {
    if file.path == "lib.rs" {
        return (mention.place == Place::Use).then(|| "the map imports or exports nothing".to_owned());
    }
    if !file.path.starts_with("bin/") {
        return Some("belongs to no room of the table".to_owned());
    }
    (mention.path == ["crate", "*"]).then(|| "imports the root whole; name the room".to_owned())
}

fn wrong_unsafe(module: &[&str], mention: &Mention) -> Option<String> {
    let word = mention.path.last().map(String::as_str);
    let stands = matches!(word, Some("unsafe" | "unsafe_code"));
    (stands && module.first() != Some(&UNSAFE_ROOM))
        .then(|| format!("`unsafe` stands only in {UNSAFE_ROOM}, with its safety stated"))
}

fn is_pure(room: &Room, module: &[&str]) -> bool {
    match room.kind {
        Kind::Pure => true,
        Kind::PureBut(impure) => !module.get(1).is_some_and(|part| impure.contains(part)),
        Kind::Shell => false,
    }
}

/// A name that leads into the impure half of a room: the module, or what its `mod.rs` hands on from there.
struct Hidden {
    room: &'static str,
    name: String,
}

fn is_hidden(hidden: &[Hidden], target: &str, name: &str, room: &Room, module: &[&str]) -> bool {
    // The top of a room joins its halves; the shells above may use both.
    let joins = room.name == target && module.len() < 2;
    let may_use_both = matches!(room.kind, Kind::Shell) || !is_pure(room, module);
    !joins && !may_use_both && hidden.iter().any(|entry| entry.room == target && entry.name == name)
}

fn names_of_impure_halves(files: &[File]) -> Vec<Hidden> {
    let mut hidden = Vec::new();
    for room in HOUSE {
        let Kind::PureBut(impure) = room.kind else { continue };
        hidden.extend(impure.iter().map(|name| Hidden { room: room.name, name: (*name).to_owned() }));
        let top = [format!("{}.rs", room.name), format!("{}/mod.rs", room.name)];
        for file in files.iter().filter(|file| top.contains(&file.path)) {
            for mention in mentions(&file.text, &[room.name]) {
                let path: Vec<&str> = mention.path.iter().map(String::as_str).collect();
                let inner = path.strip_prefix(&["crate", room.name]).unwrap_or(&path);
                if let ([half, .., name], Place::Use) = (inner, mention.place)
                    && impure.contains(half)
                {
                    let name = mention.alias.as_deref().unwrap_or(name);
                    hidden.push(Hidden { room: room.name, name: name.to_owned() });
                }
            }
        }
    }
    hidden
}

/// The modules that `lib.rs` declares.
fn rooms_of_the_map(files: &[File]) -> Vec<String> {
    let map = files.iter().find(|file| file.path == "lib.rs").expect("src/lib.rs is there");
    let words = mentions(&map.text, &[]);
    let mut rooms = Vec::new();
    for pair in words.windows(2) {
        if let [before, name] = pair
            && before.path == ["mod"]
        {
            rooms.extend(name.path.first().cloned());
        }
    }
    rooms
}

/// `schedule/zone.rs` is `schedule::zone`, `schedule/mod.rs` and `config.rs` are the top of their room.
fn module_of(path: &str) -> Vec<String> {
    let stem = path.strip_suffix(".rs").unwrap_or(path);
    let mut parts: Vec<String> = stem.split('/').map(str::to_owned).collect();
    parts.pop_if(|last| last == "mod" || last == "lib");
    parts
}

fn sources() -> Vec<File> {
    let top = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let mut files = Vec::new();
    let mut open = vec![top.clone()];
    while let Some(directory) = open.pop() {
        let entries = std::fs::read_dir(&directory).expect("the sources can be listed");
        let mut paths: Vec<PathBuf> = entries.map(|entry| entry.expect("an entry").path()).collect();
        paths.sort();
        for path in paths {
            if path.is_dir() {
                open.push(path);
            } else if path.extension().is_some_and(|end| end == "rs") {
                let below = path.strip_prefix(&top).expect("below src").to_string_lossy().into_owned();
                files.push(File { path: below, text: std::fs::read_to_string(&path).expect("UTF-8") });
            }
        }
    }
    files
}

/// What the table says of one file of a small house, without the file's name and line.
#[cfg(test)]
fn said_of(path: &str, text: &str) -> Vec<String> {
    let map =
        "pub mod job; pub mod schedule; pub mod gate; pub mod runtime; pub mod scheduler; pub mod agent;";
    // The gate of this small house.
    let gate = "mod probe; mod verdict; pub use probe::{Machine, ReadError as E}; pub use verdict::Verdict;";
    let file = |path: &str, text: &str| File { path: path.to_owned(), text: text.to_owned() };
    violations(&[file("lib.rs", map), file("gate/mod.rs", gate), file(path, text)])
}

#[test]
fn a_forbidden_edge_is_found_in_each_of_its_forms() {
    for text in [
        "use crate::schedule::Calendar;",
        "use crate::{job::Record, schedule::Calendar};",
        "use crate::{job::{self, Record}, schedule};",
        "use super::super::schedule;",
        "use super::super::{job, schedule as when};",
        "fn f() { crate::schedule::parse() }",
        "fn f() -> super::super::schedule::Calendar { todo!() }",
        "mod tests { use super::super::super::schedule::Calendar; }",
        "mod a { mod b { fn f() {} } } use super::super::schedule;",
        "pub use crate::agent::Loop;",
        "use crate::*;",
        "use crate as house;",
        "use crate::r#schedule::Calendar;",
        "#[cfg(test)] mod tests { use crate::agent::Loop; }",
        "macro_rules! m { () => { $crate::schedule::parse() } }",
    ] {
        assert_eq!(said_of("gate/probe.rs", text).len(), 1, "{text}");
    }
}

#[test]
fn what_is_allowed_passes() {
    for text in [
        "use crate::job::{Record, units::Bytes}; use std::fs::File;",
        "use crate::gate::Verdict; use super::verdict; use super::super::job::Record;",
        "// use crate::schedule::Calendar;\n/* crate::agent /* nested */ crate::agent */",
        "const S: &str = \"crate::schedule \\\" crate::agent\"; const R: &str = r#\"crate::agent \" \"#;",
        "fn f<'a>(x: &'a str) -> char { let q = '\"'; let e = '\\''; q }",
        "pub(crate) fn f() -> impl Sized + use<'_> { self::g() }",
        "mod tests { use super::*; }",
    ] {
        assert_eq!(said_of("gate/probe.rs", text), Vec::<String>::new(), "{text}");
    }
}

#[test]
fn a_pure_room_touches_nothing_outside() {
    for text in [
        "use std::fs;",
        "use std::{collections::BTreeMap, fs::File};",
        "fn f() { ::std::process::exit(1) }",
        "use std::time::{Duration, Instant};",
        "fn f() { std::time::SystemTime::now() }",
        "fn f() { rustix::process::getpid() }",
        "use nix::unistd;",
        "use smol;",
        "fn f() { jiff::Timestamp::now() }",
        "use std::*;",
    ] {
        assert_eq!(said_of("scheduler/core.rs", text).len(), 1, "{text}");
        assert_eq!(said_of("gate/verdict.rs", text).len(), 1, "{text}");
        assert_eq!(said_of("runtime/child.rs", text), Vec::<String>::new(), "{text}");
    }
}

#[test]
fn the_impure_half_of_the_gate_is_closed_to_the_pure() {
    for text in ["use crate::gate::Machine;", "use crate::gate::probe::load;", "fn f(e: crate::gate::E) {}"] {
        assert_eq!(said_of("scheduler/core.rs", text).len(), 1, "{text}");
        assert_eq!(said_of("agent/turn.rs", text), Vec::<String>::new(), "{text}");
    }
    assert_eq!(said_of("gate/verdict.rs", "use super::probe::Machine;").len(), 1);
    assert_eq!(said_of("scheduler/core.rs", "use crate::gate::Verdict;"), Vec::<String>::new());
}

#[test]
fn unsafe_and_strays_are_found() {
    assert_eq!(said_of("store/file.rs", "fn f() { unsafe { g() } }").len(), 1);
    assert_eq!(said_of("store/file.rs", "#![expect(unsafe_code, reason = \"speed\")]").len(), 1);
    assert_eq!(said_of("bin/leafcrond.rs", "fn main() { unsafe { g() } }").len(), 1);
    assert_eq!(said_of("runtime/child.rs", "fn f() { unsafe { g() } }"), Vec::<String>::new());
    assert_eq!(said_of("bin/leafcrond.rs", "use leafcron::*;").len(), 1);
    assert_eq!(said_of("bin/leafcron/main.rs", "use leafcron::agent::Loop;"), Vec::<String>::new());
    assert!(!said_of("shed.rs", "fn f() {}").is_empty());
    assert_eq!(said_of("job/mod.rs", "#[path = \"x.rs\"] mod x;").len(), 1);
}

#[test]
fn a_room_that_the_table_does_not_know_is_found() {
    let map = File { path: "lib.rs".to_owned(), text: "//! The map.\npub mod job;\nmod attic;".to_owned() };
    assert_eq!(violations(&[map]), ["lib.rs: room attic is not in the table of tests/house.rs"]);
}

#[test]
fn a_finding_names_its_file_and_line() {
    let said = said_of("gate/probe.rs", "//! Doc.\nuse crate::{\n    job,\n    schedule::Calendar,\n};\n");
    assert_eq!(said, ["src/gate/probe.rs:4: gate may not use schedule: crate::schedule::Calendar"]);
}

#[test]
fn an_impure_half_is_not_handed_on_wholesale() {
    let map = File { path: "lib.rs".to_owned(), text: "pub mod gate;".to_owned() };
    let gate =
        File { path: "gate/mod.rs".to_owned(), text: "mod probe;\npub use self::probe::*;".to_owned() };
    assert_eq!(violations(&[map, gate]).len(), 1);
}

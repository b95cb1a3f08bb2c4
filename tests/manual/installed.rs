//! Units, users, directories and the package, against the code and against one another.

use std::collections::BTreeSet;
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::Command;

use leafcron::agent::LINK_USER;
use leafcron::config::{Config, SYSTEM_FILE};
use leafcron::control::GROUP;

use super::super::{host, pages, read};

fn tree() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

/// Every file below a directory of the tree.
pub(super) fn files(below: &str) -> Vec<String> {
    let mut found = Vec::new();
    let mut dirs = vec![PathBuf::from(below)];
    while let Some(dir) = dirs.pop() {
        for entry in fs::read_dir(tree().join(&dir)).unwrap() {
            let entry = entry.unwrap();
            let path = dir.join(entry.file_name());
            if entry.file_type().unwrap().is_dir() {
                dirs.push(path);
            } else {
                found.push(path.to_str().unwrap().to_owned());
            }
        }
    }
    found.sort();
    found
}

#[test]
fn the_units_name_the_users_and_files_that_the_code_knows() {
    let users = read("systemd/leafcron.sysusers");
    let nats = Config::parse("[nats]\nservers = [\"tls://a\"]", None, &host()).unwrap().nats.unwrap();
    let of_the_code: BTreeSet<&str> =
        nats.users.iter().map(String::as_str).chain([LINK_USER, GROUP]).collect();
    let made: BTreeSet<&str> = users
        .lines()
        .filter(|line| line.starts_with("u ") || line.starts_with("g "))
        .filter_map(|line| line.split_whitespace().nth(1))
        .collect();
    assert_eq!(made, of_the_code);
    assert!(users.contains(&format!("\ng {GROUP} ")));

    let config = Config::parse("", None, &host()).unwrap();
    let unit = read("systemd/leafcrond.service");
    let etc = Path::new(SYSTEM_FILE).parent().unwrap();
    for (directory, parent, path) in [
        ("StateDirectory", "/var/lib", config.state_dir.as_path()),
        ("RuntimeDirectory", "/run", config.run_dir.as_path()),
        ("ConfigurationDirectory", "/etc", etc),
    ] {
        let name = path.strip_prefix(parent).unwrap().to_str().unwrap();
        assert!(unit.contains(&format!("\n{directory}={name}\n")), "{directory}");
    }
    let run = config.run_dir.display();
    assert!(read("systemd/leafcron.tmpfiles").contains(&format!("\nd {run} 0750 root {GROUP} -")));
    for unit in ["systemd/leafcrond.service", "systemd/user/leafcrond.service"] {
        assert!(read(unit).contains("\nExecStart=/usr/sbin/leafcrond\n"), "{unit}");
    }

    let page = read("docs/man/leafcrond.8");
    let (_, listed) = page.split_once("\n.SH FILES\n").unwrap();
    let jobs = format!("{}/*.toml", config.jobs_dir.display());
    let (state, run) = (config.state_dir.to_str().unwrap(), config.run_dir.to_str().unwrap());
    for file in [SYSTEM_FILE, &jobs, state, run] {
        assert!(listed.contains(&format!(".I {file}\n")), "leafcrond(8) does not list {file}");
    }
    let removed = format!("rm -rf {state} {run}\n");
    assert!(read("cross/debian/leafcron.postrm").contains(&removed), "purge leaves something of {removed}");
}

#[test]
fn the_package_has_every_binary_unit_page_and_completion() {
    let installed = read("cross/debian/leafcron.install");
    let named = installed.clone() + &read("cross/debian/leafcron.examples") + &read("cross/deb");
    for binary in fs::read_dir(tree().join("src/bin")).unwrap() {
        let name = binary.unwrap().path().file_stem().unwrap().to_str().unwrap().to_owned();
        assert!(installed.contains(&format!("built/{name} usr/")), "{name}");
        assert!(read("cross/build").contains(&name), "cross/build does not make {name}");
    }
    let rules = read("cross/debian/rules");
    for file in files("systemd") {
        let (dir, name) = file.rsplit_once('/').unwrap();
        let whole = dir != "systemd" && named.contains(&format!("{dir}\n"));
        assert!(whole || named.contains(&file), "{file} is not in the package");
        assert!(!name.ends_with(".service") || rules.contains(name), "{file}: debian/rules does not know it");
    }
    for file in files("examples/jobs").into_iter().chain(files("examples/nats")) {
        let (dir, _) = file.rsplit_once('/').unwrap();
        assert!(read("cross/debian/leafcron.examples").contains(&format!("{dir}\n")), "{file}");
    }
    let made = tempfile::tempdir().unwrap();
    pages::write(made.path()).unwrap();
    for completion in fs::read_dir(made.path().join("completions")).unwrap() {
        let file = completion.unwrap().file_name().into_string().unwrap();
        // Bash looks for it under the command's own name.
        let name = file.strip_suffix(".bash").unwrap_or(&file);
        assert!(installed.contains(&format!("built/completions/{name} usr/")), "{file}");
    }
    assert_eq!(read("cross/debian/leafcron.manpages"), "built/man/*\n");
}

/// Nothing of what systemd knows is misspelt. It reads a small tree of its own: neither this machine's units nor a running
/// systemd are needed.
#[test]
fn systemd_finds_no_fault_with_the_units() {
    let root = tempfile::tempdir().unwrap();
    let put = |path: &str, text: &str, mode: u32| {
        let path = root.path().join(path);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(&path, text).unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(mode)).unwrap();
        path
    };
    for program in ["usr/sbin/leafcrond", "usr/bin/leafcron", "bin/sh", "bin/true"] {
        put(program, "", 0o755);
    }
    put(
        "etc/systemd/system/leafcrond.service.d/confined.conf",
        &read("systemd/leafcrond.service.d/confined.conf"),
        0o644,
    );
    // What every unit is ordered by.
    for target in ["sysinit", "basic", "shutdown", "multi-user", "default"] {
        put(&format!("usr/lib/systemd/system/{target}.target"), "[Unit]\nDescription=target\n", 0o644);
    }
    let units = ["leafcrond-shutdown.service", "leafcrond.service", "user/leafcrond.service"];
    // A tree of its own is for the system's units only: the user's is read as one of them.
    let paths = units.map(|unit| {
        let path = format!("usr/lib/systemd/system/{}", unit.replace('/', "-"));
        put(&path, &read(&format!("systemd/{unit}")), 0o644)
    });
    for path in paths {
        let said = Command::new("systemd-analyze")
            .args(["verify", "--man=no"])
            .arg(format!("--root={}", root.path().display()))
            .arg(&path)
            .output()
            .unwrap_or_else(|error| panic!("systemd-analyze ({error}): `.ci/setup test` installs it"));
        let words = String::from_utf8_lossy(&said.stderr);
        assert!(said.status.success() && words.is_empty(), "{}: {words}", path.display());
    }
}

//! The jobs directory: only files that nobody but root or the agent's user can have written are read.

#![expect(clippy::unwrap_used, reason = "the helpers of tests may panic as the tests do")]

use std::ffi::OsStr;
use std::fs::{self, Permissions};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{PermissionsExt, chown, symlink};
use std::os::unix::net::UnixListener;
use std::path::Path;

use leafcron::config::JobsDir;
use leafcron::job::{JobsFile, limits};

fn directory() -> tempfile::TempDir {
    let dir = tempfile::tempdir().unwrap();
    mode(dir.path(), 0o755);
    dir
}

fn mode(path: &Path, mode: u32) {
    fs::set_permissions(path, Permissions::from_mode(mode)).unwrap();
}

fn write(path: &Path, text: impl AsRef<[u8]>) {
    fs::write(path, text).unwrap();
    mode(path, 0o644);
}

fn read(dir: &Path) -> Vec<(String, Result<String, String>)> {
    JobsDir::open(dir).unwrap().map(|JobsFile { name, text }| (name, text)).collect()
}

fn refusal(dir: &Path) -> String {
    let [(_, text)] = read(dir).try_into().unwrap();
    text.unwrap_err()
}

/// Who the agent would be if it were not root; `None`: these tests are not root's.
fn stranger() -> Option<u32> {
    nix::unistd::geteuid().is_root().then_some(12_345)
}

#[test]
fn files_come_in_byte_order_and_the_rest_is_passed_over() {
    let dir = directory();
    for name in ["b.toml", "a.toml", "B.toml", "a-1.toml", ".hidden.toml", "a.toml~", "a.toml.bak", "README"]
    {
        write(&dir.path().join(name), name);
    }
    let names: Vec<_> =
        read(dir.path()).into_iter().map(|(name, text)| (text.unwrap() == name, name)).collect();
    let names: Vec<_> = names.iter().map(|(same, name)| (*same, name.as_str())).collect();
    assert_eq!(names, [(true, "B.toml"), (true, "a-1.toml"), (true, "a.toml"), (true, "b.toml")]);
}

#[test]
fn a_missing_directory_holds_no_files_and_says_so() {
    let dir = directory();
    let mut missing = JobsDir::open(&dir.path().join("none")).unwrap();
    assert!(missing.is_missing() && missing.next().is_none());
    let mut empty = JobsDir::open(dir.path()).unwrap();
    assert!(!empty.is_missing() && empty.next().is_none());
}

#[test]
fn what_others_can_write_is_refused_with_the_command_that_mends_it() {
    let dir = directory();
    let file = dir.path().join("a b.toml");
    write(&file, "x");
    for bits in [0o664, 0o646, 0o666] {
        mode(&file, bits);
        let wanted = format!("can be written by others; mend it with: chmod go-w '{}'", file.display());
        assert_eq!(refusal(dir.path()), wanted);
    }
    mode(&file, 0o600);
    assert_eq!(read(dir.path())[0].1.as_deref(), Ok("x"));

    for bits in [0o775, 0o757, 0o1777] {
        mode(dir.path(), bits);
        let error = JobsDir::open(dir.path()).unwrap_err();
        let wanted = format!("can be written by others; mend it with: chmod go-w {}", dir.path().display());
        assert_eq!(error.reason(), wanted);
        assert_eq!(error.to_string(), format!("{}: {wanted}", dir.path().display()));
    }
}

#[test]
fn what_somebody_else_owns_is_refused() {
    let Some(stranger) = stranger() else { return };
    let dir = directory();
    let file = dir.path().join("a.toml");
    write(&file, "x");
    chown(&file, Some(stranger), None).unwrap();
    let wanted = format!("belongs to uid 12345, not to root; mend it with: chown root {}", file.display());
    assert_eq!(refusal(dir.path()), wanted);
    chown(&file, Some(0), Some(stranger)).unwrap();
    assert_eq!(read(dir.path())[0].1.as_deref(), Ok("x"), "its group cannot write it");
    chown(dir.path(), Some(stranger), None).unwrap();
    assert!(JobsDir::open(dir.path()).unwrap_err().reason().starts_with("belongs to uid 12345"));
}

#[test]
fn a_link_is_as_good_as_what_it_leads_to() {
    let (dir, elsewhere) = (directory(), directory());
    let file = elsewhere.path().join("real");
    write(&file, "x");
    symlink(&file, dir.path().join("a.toml")).unwrap();
    assert_eq!(read(dir.path())[0].1.as_deref(), Ok("x"));
    mode(&file, 0o666);
    assert!(refusal(dir.path()).starts_with("can be written by others"));
    fs::remove_file(&file).unwrap();
    assert_eq!(refusal(dir.path()), "there is no such file");
    symlink("a.toml", &file).unwrap();
    fs::remove_file(dir.path().join("a.toml")).unwrap();
    symlink("a.toml", dir.path().join("a.toml")).unwrap();
    assert!(refusal(dir.path()).starts_with("cannot be read: "), "a link to itself");
    fs::remove_file(dir.path().join("a.toml")).unwrap();
    symlink("/dev/zero", dir.path().join("a.toml")).unwrap();
    assert_eq!(refusal(dir.path()), "is not a regular file");
}

#[test]
fn what_is_not_a_file_is_refused_and_nobody_waits_for_it() {
    let dir = directory();
    let path = dir.path().join("a.toml");
    fs::create_dir(&path).unwrap();
    assert_eq!(refusal(dir.path()), "is not a regular file");
    fs::remove_dir(&path).unwrap();
    nix::unistd::mkfifo(&path, nix::sys::stat::Mode::S_IRWXU).unwrap();
    assert_eq!(refusal(dir.path()), "is not a regular file");
    fs::remove_file(&path).unwrap();
    let _listener = UnixListener::bind(&path).unwrap();
    assert_eq!(refusal(dir.path()), "is not a regular file");

    let error = JobsDir::open(&path).unwrap_err();
    assert_eq!(error.reason(), "is not a directory");
}

#[test]
fn what_is_too_large_or_not_text_is_refused() {
    let dir = directory();
    let path = dir.path().join("a.toml");
    let most = usize::try_from(limits::JOBS_FILE_BYTES).unwrap();
    write(&path, "#".repeat(most));
    assert_eq!(read(dir.path())[0].1.as_ref().map(String::len), Ok(most));
    write(&path, "#".repeat(most + 1));
    assert_eq!(refusal(dir.path()), "is larger than 1MiB");
    write(&path, b"# one\n# two\n# \xe4\n");
    assert_eq!(refusal(dir.path()), "line 3 is not UTF-8");
    fs::remove_file(&path).unwrap();
    write(&dir.path().join(OsStr::from_bytes(b"\xe4.toml")), "");
    assert_eq!(refusal(dir.path()), "has a name that is not UTF-8; rename it");
}

#[test]
fn a_flooded_directory_is_read_up_to_its_bound() {
    let dir = directory();
    for number in 0..=limits::JOBS_FILES {
        write(&dir.path().join(format!("{number:05}.toml")), "");
    }
    let files = read(dir.path());
    let (name, last) = files.last().unwrap();
    assert_eq!((files.len(), name.as_str()), (limits::JOBS_FILES + 1, "01024.toml"));
    assert!(last.as_ref().unwrap_err().starts_with("is not read: 1024 jobs files come before it"));
    assert_eq!(files.iter().filter(|(_, text)| text.is_err()).count(), 1);
}

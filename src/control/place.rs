//! Where the socket lies and who can reach it: `run_dir` (0750) and `control.sock` (0660), both of group `leafcron`
//! where root runs the agent and that group exists. Modes are right from the first moment on: the socket is made
//! under a umask, never changed afterwards.

use core::fmt;
use std::fs::{DirBuilder, File, Metadata, Permissions};
use std::io;
use std::os::unix::fs::{DirBuilderExt, FileTypeExt, MetadataExt, PermissionsExt, fchown, lchown};
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::{Path, PathBuf};

use rustix::fs::Mode;

/// The group whose members may ask.
pub const GROUP: &str = "leafcron";
/// Nobody but owner and group gets in.
const DIRECTORY_MODE: u32 = 0o750;
/// What bind(2) must not give: only reading and writing, for owner and group, is left.
const SOCKET_UMASK: u32 = 0o117;

/// The socket of the agent whose `run_dir` this is.
#[must_use]
pub fn socket_path(run_dir: &Path) -> PathBuf {
    run_dir.join("control.sock")
}

/// Why there is no socket.
#[derive(Debug)]
pub enum BindError {
    /// Another process listens there.
    InUse(PathBuf),
    /// Something lies there that is not ours to replace, or lets in whom it should not; with what to do.
    Refused(PathBuf, String),
    /// A system call failed: what was done, where, and why not.
    Io(&'static str, PathBuf, io::Error),
}

impl fmt::Display for BindError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::InUse(path) => write!(
                f,
                "{}: another agent answers there; stop it, or give this one its own run_dir",
                path.display()
            ),
            Self::Refused(path, reason) => write!(f, "{}: {reason}", path.display()),
            Self::Io(what, path, _) => write!(f, "{what} {}", path.display()),
        }
    }
}

impl std::error::Error for BindError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            Self::Io(_, _, error) => Some(error),
            Self::InUse(_) | Self::Refused(..) => None,
        }
    }
}

/// A bound socket that is removed with this value, unless something else lies there by then.
pub(super) struct Place {
    path: PathBuf,
    identity: (u64, u64),
}

impl Place {
    /// Prepares `run_dir` and binds.
    pub(super) fn bind(run_dir: &Path) -> Result<(UnixListener, Self), BindError> {
        let group = group();
        prepare(run_dir, group)?;
        let path = socket_path(run_dir);
        remove_stale(&path)?;
        let listener = bind_under_umask(&path).map_err(|error| BindError::Io("bind", path.clone(), error))?;
        let made = path.symlink_metadata().map_err(|error| BindError::Io("look at", path.clone(), error))?;
        let place = Self { path, identity: identity(&made) };
        // Until here root alone could connect: this only widens, as far as the mode says.
        share(&place.path, group)?;
        Ok((listener, place))
    }

    pub(super) fn path(&self) -> &Path {
        &self.path
    }
}

/// Gives `run_dir` and the socket in it to the group again. systemd takes both away from it, back to root's, each time
/// that it starts a process of the unit, `ExecReload=` too: systemd.exec(5), `RuntimeDirectory=`.
///
/// # Errors
/// What could not be changed, or looked at.
pub fn let_group_in(run_dir: &Path) -> Result<(), BindError> {
    give(run_dir, group())
}

fn give(run_dir: &Path, group: Option<u32>) -> Result<(), BindError> {
    prepare(run_dir, group)?;
    share(&socket_path(run_dir), group)
}

fn share(socket: &Path, group: Option<u32>) -> Result<(), BindError> {
    let failed = |what| move |error| BindError::Io(what, socket.to_owned(), error);
    let found = socket.symlink_metadata().map_err(failed("look at"))?;
    if group.is_some_and(|group| group != found.gid()) {
        lchown(socket, None, group).map_err(failed("change the group of"))?;
    }
    Ok(())
}

impl Drop for Place {
    fn drop(&mut self) {
        let ours = self.path.symlink_metadata().is_ok_and(|found| identity(&found) == self.identity);
        if ours && let Err(error) = std::fs::remove_file(&self.path) {
            log::warn!("remove {}: {error}", self.path.display());
        }
    }
}

fn identity(metadata: &Metadata) -> (u64, u64) {
    (metadata.dev(), metadata.ino())
}

/// The group that gets in beside the agent's user: only root can give it anything.
fn group() -> Option<u32> {
    if !rustix::process::geteuid().is_root() {
        return None;
    }
    group_of(&std::fs::read_to_string("/etc/group").ok()?, GROUP)
}

/// The id of a group by group(5). A system group lies in that file; asking the name services for it would load their
/// libraries into the agent for good.
fn group_of(file: &str, name: &str) -> Option<u32> {
    let fields = |line: &str| {
        let mut fields = line.split(':');
        (fields.next() == Some(name)).then(|| fields.nth(1)?.parse().ok())?
    };
    file.lines().find_map(fields)
}

/// Makes the directory, or judges the one that is there. One that lets others read (`/run` itself, say) is somebody
/// else's and stays as it is; the socket's own mode holds there.
fn prepare(run_dir: &Path, group: Option<u32>) -> Result<(), BindError> {
    let failed = |what| move |error| BindError::Io(what, run_dir.to_owned(), error);
    let refuse = |reason| Err(BindError::Refused(run_dir.to_owned(), reason));
    DirBuilder::new()
        .recursive(true)
        .mode(DIRECTORY_MODE)
        .create(run_dir)
        .map_err(failed("make the directory"))?;
    let directory = File::open(run_dir).map_err(failed("open the directory"))?;
    let found = directory.metadata().map_err(failed("look at the directory"))?;
    let own = rustix::process::geteuid().as_raw();
    if found.uid() != own && found.uid() != 0 {
        return refuse(format!(
            "run_dir belongs to uid {}, and the agent is uid {own}: give it a directory of its own",
            found.uid()
        ));
    }
    if found.mode() & 0o022 != 0 {
        return refuse(format!(
            "run_dir is writable by others (mode {:04o}): make it 0750, or name another one",
            found.mode() & 0o7777
        ));
    }
    let Some(group) = group.filter(|_| found.mode() & 0o007 == 0 && found.uid() == own) else {
        return Ok(());
    };
    if found.gid() != group {
        fchown(&directory, None, Some(group)).map_err(failed("change the group of"))?;
    }
    if found.mode() & 0o777 != DIRECTORY_MODE {
        directory
            .set_permissions(Permissions::from_mode(DIRECTORY_MODE))
            .map_err(failed("set the mode of"))?;
    }
    Ok(())
}

/// Removes the socket of an agent that is gone.
fn remove_stale(path: &Path) -> Result<(), BindError> {
    let found = match path.symlink_metadata() {
        Ok(found) => found,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
        Err(error) => return Err(BindError::Io("look at", path.to_owned(), error)),
    };
    if !found.file_type().is_socket() {
        let reason = "is there and is not a socket: remove it, or name another run_dir".to_owned();
        return Err(BindError::Refused(path.to_owned(), reason));
    }
    match UnixStream::connect(path) {
        Ok(_) => Err(BindError::InUse(path.to_owned())),
        Err(error) if error.kind() == io::ErrorKind::ConnectionRefused => std::fs::remove_file(path)
            .map_err(|error| BindError::Io("remove the stale socket", path.to_owned(), error)),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        Err(error) => Err(BindError::Io("connect to", path.to_owned(), error)),
    }
}

/// Binds on a thread that has its umask for itself (unshare(2)), so that no other thread makes a file under ours.
/// Where a container forbids that call, the umask is the process's for the moment of bind(2).
fn bind_under_umask(path: &Path) -> io::Result<UnixListener> {
    let bind = || {
        if let Err(error) = nix::sched::unshare(nix::sched::CloneFlags::CLONE_FS) {
            log::debug!("unshare the umask: {error}");
        }
        let before = rustix::process::umask(Mode::from_bits_truncate(SOCKET_UMASK));
        let listener = UnixListener::bind(path);
        rustix::process::umask(before);
        listener
    };
    std::thread::scope(|scope| scope.spawn(bind).join())
        .unwrap_or_else(|_| Err(io::Error::other("the thread that binds panicked")))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn mode(path: &Path) -> u32 {
        path.symlink_metadata().unwrap().mode() & 0o777
    }

    #[test]
    fn the_directory_and_the_socket_let_in_owner_and_group_only() {
        let parent = tempfile::tempdir().unwrap();
        let run_dir = parent.path().join("a/b");
        let (_listener, place) = Place::bind(&run_dir).unwrap();
        assert_eq!((mode(&run_dir), mode(place.path())), (0o750, 0o660));
    }

    #[test]
    fn a_stale_socket_is_replaced_and_one_that_answers_is_not() {
        let run_dir = tempfile::tempdir().unwrap();
        let path = socket_path(run_dir.path());
        drop(UnixListener::bind(&path).unwrap());
        assert!(path.exists(), "nobody removed it: it is stale");
        let (listener, place) = Place::bind(run_dir.path()).unwrap();
        assert!(matches!(Place::bind(run_dir.path()), Err(BindError::InUse(_))));
        assert!(UnixStream::connect(&path).is_ok(), "the first is as it was");
        drop((listener, place));
        assert!(!path.exists(), "it is removed with its agent");
    }

    #[test]
    fn the_socket_of_a_successor_is_left_alone() {
        let run_dir = tempfile::tempdir().unwrap();
        let (_listener, place) = Place::bind(run_dir.path()).unwrap();
        let successor = run_dir.path().join("successor");
        let _other = UnixListener::bind(&successor).unwrap();
        std::fs::rename(&successor, place.path()).unwrap();
        let path = place.path().to_owned();
        drop(place);
        assert!(path.exists());
    }

    #[test]
    fn what_is_not_ours_is_neither_used_nor_removed() {
        let run_dir = tempfile::tempdir().unwrap();
        let path = socket_path(run_dir.path());
        std::fs::write(&path, "precious").unwrap();
        assert!(matches!(Place::bind(run_dir.path()), Err(BindError::Refused(..))));
        assert_eq!(std::fs::read(&path).unwrap(), b"precious");
    }

    #[test]
    fn a_directory_that_others_can_write_is_refused() {
        for mode in [0o770, 0o1777, 0o702] {
            let run_dir = tempfile::tempdir().unwrap();
            std::fs::set_permissions(run_dir.path(), Permissions::from_mode(mode)).unwrap();
            assert!(matches!(Place::bind(run_dir.path()), Err(BindError::Refused(..))), "{mode:o}");
            assert!(!socket_path(run_dir.path()).exists());
        }
    }

    #[test]
    fn a_directory_that_others_read_keeps_its_mode() {
        let run_dir = tempfile::tempdir().unwrap();
        std::fs::set_permissions(run_dir.path(), Permissions::from_mode(0o755)).unwrap();
        let (_listener, place) = Place::bind(run_dir.path()).unwrap();
        assert_eq!((mode(run_dir.path()), mode(place.path())), (0o755, 0o660));
    }

    #[test]
    fn the_group_is_found_in_the_file() {
        let file = "root:x:0:\n#leafcron:x:1:\nleafcron:x:987:ann,bob\nleafcron2:x:5:\n";
        assert_eq!(group_of(file, "leafcron"), Some(987));
        assert_eq!(group_of("leafcron:x:nonsense:\n", "leafcron"), None);
        assert_eq!(group_of("", "leafcron"), None);
    }

    #[test]
    fn what_was_taken_from_the_group_is_given_back() {
        // Only root can give a file to a group that it is not in.
        let own = rustix::process::getegid().as_raw();
        let theirs = if rustix::process::geteuid().is_root() { 2 } else { own };
        let parent = tempfile::tempdir().unwrap();
        let run_dir = parent.path().join("run");
        let (_listener, place) = Place::bind(&run_dir).unwrap();
        let groups = || [&run_dir, &place.path].map(|path| path.symlink_metadata().unwrap().gid());
        for taken in [own, theirs, own] {
            lchown(&run_dir, None, Some(taken)).unwrap();
            lchown(&place.path, None, Some(taken)).unwrap();
            give(&run_dir, Some(theirs)).unwrap();
            assert_eq!((groups(), mode(&run_dir), mode(&place.path)), ([theirs; 2], 0o750, 0o660));
        }
    }

    #[test]
    fn a_path_too_long_for_a_socket_is_an_error() {
        let parent = tempfile::tempdir().unwrap();
        let error = Place::bind(&parent.path().join("x".repeat(120))).map(|_| ()).unwrap_err();
        assert!(matches!(error, BindError::Io("bind", ..)), "{error}");
    }
}

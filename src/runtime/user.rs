//! Whom a command runs as. A `user` is looked up in the user database at each start, so that a changed group counts
//! from the next Run on. Sources: `getpwnam_r(3)`, `getgrouplist(3)`, `setresuid(2)`.

use std::ffi::CString;
use std::os::fd::OwnedFd;
use std::sync::OnceLock;

use nix::errno::Errno;
use nix::sys::prctl::set_dumpable;
use nix::unistd::{
    Gid, Uid, User, getegid, geteuid, getgrouplist, getgroups, setegid, seteuid, setgroups, setresgid,
    setresuid,
};

use super::error::{reason, reason_of};

/// The identity of a command.
#[derive(Debug)]
pub(super) struct Identity {
    /// Login name, or the uid's digits where it has none.
    pub(super) name: String,
    /// Home directory.
    pub(super) home: String,
    /// What the child must become; `None`: it stays what the runner is.
    pub(super) drop: Option<Ids>,
}

/// What the kernel knows of a user.
#[derive(Clone, Debug)]
pub(super) struct Ids {
    pub(super) uid: Uid,
    pub(super) gid: Gid,
    pub(super) groups: Vec<Gid>,
}

impl Ids {
    /// Becomes that user, for good.
    pub(super) fn assume(&self) -> Result<(), Errno> {
        setgroups(&self.groups)?;
        setresgid(self.gid, self.gid, self.gid)?;
        setresuid(self.uid, self.uid, self.uid)?;
        // Whose memory this is: a runner's that is root's, until the command is executed. The kernel sees to it by itself
        // (proc(5), fs.suid_dumpable), but for a machine that is set up to debug what changes its user.
        set_dumpable(false)
    }
}

impl Identity {
    /// The identity for a `user` field.
    pub(super) fn of(user: Option<&str>) -> Result<Self, String> {
        match user {
            None => Ok(Self::own()),
            Some(name) => Self::named(name),
        }
    }

    /// The agent's own user: looked up once per process, hence once per nursery and not in every runner of it.
    pub(super) fn own() -> Self {
        static OWN: OnceLock<(String, String)> = OnceLock::new();
        let (name, home) = OWN.get_or_init(|| match User::from_uid(geteuid()) {
            Ok(Some(user)) => (user.name, user.dir.to_string_lossy().into_owned()),
            // A container's uid without a name still runs its jobs.
            Ok(None) | Err(_) => (geteuid().to_string(), "/".to_owned()),
        });
        Self { name: name.clone(), home: home.clone(), drop: None }
    }

    /// Whose processes the command's are.
    pub(super) fn uid(&self) -> u32 {
        self.drop.as_ref().map_or_else(geteuid, |ids| ids.uid).as_raw()
    }

    fn named(name: &str) -> Result<Self, String> {
        let user = User::from_name(name)
            .map_err(|errno| format!("user {name}: {}", reason(errno)))?
            .ok_or_else(|| format!("user {name}: there is no such user"))?;
        let home = user.dir.to_string_lossy().into_owned();
        if !geteuid().is_root() {
            if user.uid == geteuid() {
                return Ok(Self { name: user.name, home, drop: None });
            }
            return Err(format!("user {name}: an agent that is not root runs jobs as its own user only"));
        }
        let login = CString::new(user.name.clone()).map_err(|_| format!("user {name}: a name with NUL"))?;
        let groups = getgrouplist(&login, user.gid)
            .map_err(|errno| format!("groups of user {name}: {}", reason(errno)))?;
        Ok(Self { name: user.name, home, drop: Some(Ids { uid: user.uid, gid: user.gid, groups }) })
    }

    /// Opens a file with this identity's rights. The process is single-threaded, its real and saved ids stay root's,
    /// so nobody but root can send it signals or look into it meanwhile.
    pub(super) fn open(&self, open: impl FnOnce() -> std::io::Result<OwnedFd>) -> Result<OwnedFd, String> {
        let Some(ids) = &self.drop else {
            return open().map_err(|error| reason_of(&error));
        };
        let (gid, groups) = (getegid(), getgroups().map_err(reason)?);
        setgroups(&ids.groups)
            .and_then(|()| setegid(ids.gid))
            .and_then(|()| seteuid(ids.uid))
            .map_err(reason)?;
        let opened = open();
        seteuid(Uid::from_raw(0))
            .and_then(|()| setegid(gid))
            .and_then(|()| setgroups(&groups))
            .map_err(reason)?;
        opened.map_err(|error| reason_of(&error))
    }
}

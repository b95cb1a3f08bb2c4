//! An emulated computer: its disk, its plug, and a way in by ssh. Jobs bear witness on a console of its own, whose other end
//! is a file here: what was written there survives any cut.

use std::fs::{self, File};
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use super::servers::free_port;

/// An emulated machine boots in 20 to 80 s, and under load in twice that.
const BOOT: Duration = Duration::from_secs(400);
const LOOK: Duration = Duration::from_millis(200);
/// Where a machine reaches the hub of this one; everything else is shut.
pub(super) const HUB: &str = "10.0.2.100:7422";

/// How qemu keeps what the machine writes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Cache {
    /// In the page cache of this machine; flushes go through.
    Writeback,
    /// Not at all.
    None,
}

pub(super) struct Machine {
    architecture: String,
    /// Images, kernel and key.
    images: PathBuf,
    dir: tempfile::TempDir,
    port: u16,
    pub(super) cache: Cache,
    /// A second disk, as qemu names it.
    pub(super) second: Option<String>,
    /// What listens here for the machine's leaf node.
    hub: Option<std::net::SocketAddr>,
    /// `base=…` of its clock.
    pub(super) clock: String,
    qemu: Option<Child>,
}

impl Machine {
    /// A machine with a copy of this disk, off.
    pub(super) fn new(
        architecture: &str,
        images: &Path,
        disk: &Path,
        hub: Option<std::net::SocketAddr>,
    ) -> Self {
        let dir = tempfile::Builder::new().prefix("leafcron-arm-").tempdir().unwrap();
        let machine = Self {
            architecture: architecture.to_owned(),
            images: images.to_owned(),
            dir,
            port: free_port(),
            cache: Cache::Writeback,
            second: None,
            hub,
            clock: "utc".to_owned(),
            qemu: None,
        };
        copy_sparse(disk, &machine.disk());
        File::create(machine.path("witness")).unwrap();
        machine
    }

    pub(super) fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    pub(super) fn disk(&self) -> PathBuf {
        self.path("disk.ext4")
    }

    /// Plugs it in, and waits for nothing.
    pub(super) fn plug_in(&mut self) {
        assert!(self.qemu.is_none(), "it is on");
        let (program, kind): (&str, &[&str]) = match self.architecture.as_str() {
            "amd64" => ("qemu-system-x86_64", &["-M", "q35", "-accel", "tcg,thread=multi", "-cpu", "max"]),
            "arm64" => ("qemu-system-aarch64", &["-M", "virt", "-cpu", "cortex-a53"]),
            _ => ("qemu-system-arm", &["-M", "virt,highmem=off", "-cpu", "cortex-a15"]),
        };
        let console = if self.architecture == "amd64" { "ttyS0 noapic" } else { "ttyAMA0" };
        let image =
            |name: &str| self.images.join(format!("{}.{name}", self.architecture)).display().to_string();
        let cache = match self.cache {
            Cache::Writeback => "writeback",
            Cache::None => "none",
        };
        let forward =
            self.hub.map_or_else(String::new, |hub| format!(",guestfwd=tcp:{HUB}-cmd:socat - TCP:{hub}"));
        let mut command = Command::new(program);
        command.args(kind).args([
            "-m",
            "512",
            "-smp",
            "1",
            "-nodefaults",
            "-no-user-config",
            "-display",
            "none",
        ]);
        command.args(["-no-reboot", "-rtc", &format!("base={}", self.clock)]);
        command.args(["-kernel", &image("vmlinuz"), "-initrd", &image("initrd"), "-append"]);
        command
            .arg(format!("root=/dev/vda rw console={console} panic=-1 systemd.show_status=0 net.ifnames=0"));
        command.arg("-drive");
        command.arg(format!("file={},format=raw,if=none,id=d0,cache={cache}", self.disk().display()));
        command.args(["-device", "virtio-blk-pci,drive=d0"]);
        if let Some(second) = &self.second {
            command.args(["-drive", &format!("file={second},format=raw,if=none,id=d1,cache={cache}")]);
            command.args(["-device", "virtio-blk-pci,drive=d1"]);
        }
        command.arg("-netdev");
        command.arg(format!("user,id=n0,restrict=on,hostfwd=tcp:127.0.0.1:{}-:22{forward}", self.port));
        command.args(["-device", "virtio-net-pci,netdev=n0,romfile=", "-device", "virtio-rng-pci"]);
        command.args(["-device", "virtio-serial-pci", "-chardev"]);
        command.arg(format!("file,id=w,append=on,path={}", self.path("witness").display()));
        command.args(["-device", "virtconsole,chardev=w", "-serial"]);
        command.arg(format!("file:{}", self.path("console").display()));
        let log = fs::OpenOptions::new().create(true).append(true).open(self.path("qemu")).unwrap();
        command.stdin(Stdio::null()).stdout(log.try_clone().unwrap()).stderr(log);
        self.qemu = Some(command.spawn().unwrap_or_else(|error| panic!("{program}: {error}")));
    }

    /// Plugs it in, and waits until somebody can log in.
    pub(super) fn boot(&mut self) {
        self.plug_in();
        self.wait("sshd", BOOT, |machine| machine.ssh("true").status.success().then_some(()));
    }

    /// Looks until there is an answer; a machine that went off gives none.
    pub(super) fn wait<T>(
        &mut self,
        what: &str,
        most: Duration,
        mut look: impl FnMut(&Self) -> Option<T>,
    ) -> T {
        let begun = Instant::now();
        loop {
            if let Some(found) = look(self) {
                return found;
            }
            if let Some(status) = self.qemu.as_mut().and_then(|qemu| qemu.try_wait().unwrap()) {
                panic!("the machine went off ({status}) before: {what}; {}", self.said());
            }
            assert!(begun.elapsed() < most, "not within {most:?}: {what}; {}", self.said());
            thread::sleep(LOOK);
        }
    }

    /// What the console and qemu said last.
    fn said(&self) -> String {
        let tail = |name: &str| {
            let text = fs::read(self.path(name)).unwrap_or_default();
            let from = text.len().saturating_sub(2_000);
            String::from_utf8_lossy(&text[from..]).into_owned()
        };
        format!("qemu: {}\nconsole: {}", tail("qemu"), tail("console"))
    }

    fn remote(&self, program: &str) -> Command {
        let mut command = Command::new(program);
        command.arg("-q").arg("-i").arg(self.images.join("key"));
        for option in [
            "StrictHostKeyChecking=no",
            "UserKnownHostsFile=/dev/null",
            "ConnectTimeout=10",
            "ServerAliveInterval=20",
            "BatchMode=yes",
            "LogLevel=ERROR",
        ] {
            command.args(["-o", option]);
        }
        command.stdin(Stdio::null());
        command
    }

    /// A command in the machine, as root.
    pub(super) fn ssh(&self, script: &str) -> Output {
        let mut command = self.remote("ssh");
        command.arg("-p").arg(self.port.to_string()).arg("root@127.0.0.1").arg(script).output().unwrap()
    }

    /// The same; it has to succeed. What it printed, without the last line's end.
    pub(super) fn must(&self, script: &str) -> String {
        let output = self.ssh(script);
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).trim_end().to_owned();
        assert!(output.status.success(), "{script}: {}{}", text(&output.stdout), text(&output.stderr));
        text(&output.stdout)
    }

    /// What `leafcron … --json` says in it.
    pub(super) fn leafcron(&self, arguments: &str) -> serde_json::Value {
        serde_json::from_str(&self.must(&format!("leafcron {arguments} --json"))).unwrap()
    }

    pub(super) fn put(&self, from: &Path, to: &str) {
        let mut command = self.remote("scp");
        let sent = command.arg("-P").arg(self.port.to_string()).arg(from).arg(format!("root@127.0.0.1:{to}"));
        assert!(sent.status().unwrap().success(), "{} to {to}", from.display());
    }

    pub(super) fn write(&self, to: &str, text: &str) {
        let file = self.path("sent");
        fs::write(&file, text).unwrap();
        self.put(&file, to);
    }

    /// Copies a directory out of it.
    pub(super) fn fetch(&self, from: &str, to: &Path) {
        fs::create_dir_all(to).unwrap();
        let mut command = self.remote("ssh");
        let packed = command
            .arg("-p")
            .arg(self.port.to_string())
            .arg("root@127.0.0.1")
            .arg(format!("tar -C {from} -c ."))
            .output()
            .unwrap();
        assert!(packed.status.success(), "{from} cannot be read");
        let mut tar = Command::new("tar").arg("-x").arg("-C").arg(to).stdin(Stdio::piped()).spawn().unwrap();
        tar.stdin.take().unwrap().write_all(&packed.stdout).unwrap();
        assert!(tar.wait().unwrap().success());
    }

    /// Each line that jobs wrote, over all its lives.
    pub(super) fn witness(&self) -> Vec<String> {
        let text = fs::read(self.path("witness")).unwrap();
        let text = String::from_utf8_lossy(&text);
        text.lines().map(|line| line.trim_matches(|c: char| c == '\r' || c == '\0').to_owned()).collect()
    }

    /// Pulls the plug.
    pub(super) fn cut(&mut self) {
        let mut qemu = self.qemu.take().unwrap();
        qemu.kill().unwrap();
        qemu.wait().unwrap();
    }

    /// Waits until it has gone off by itself.
    pub(super) fn gone(&mut self) {
        let begun = Instant::now();
        let mut qemu = self.qemu.take().unwrap();
        while qemu.try_wait().unwrap().is_none() {
            if begun.elapsed() > BOOT {
                qemu.kill().unwrap();
                qemu.wait().unwrap();
                panic!("it does not go off; {}", self.said());
            }
            thread::sleep(LOOK);
        }
    }

    /// Shuts it down in good order.
    pub(super) fn off(&mut self) {
        self.ssh("systemctl poweroff");
        self.gone();
    }

    /// What is wrong with the file system on a disk of a machine that is off; nothing is changed.
    pub(super) fn fsck(disk: &Path) {
        let checked = Command::new("/sbin/e2fsck").args(["-f", "-n"]).arg(disk).output().unwrap();
        assert!(checked.status.success(), "{}", String::from_utf8_lossy(&checked.stdout));
    }
}

impl Drop for Machine {
    fn drop(&mut self) {
        if let Some(mut qemu) = self.qemu.take() {
            qemu.kill().ok();
            qemu.wait().ok();
        }
    }
}

pub(super) fn copy_sparse(from: &Path, to: &Path) {
    let copied = Command::new("cp").arg("--sparse=always").arg(from).arg(to).status().unwrap();
    assert!(copied.success(), "copy {}", from.display());
}

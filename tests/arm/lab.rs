//! What all stages begin with: packages, an image, and a copy of it in which the package is installed and nothing has run.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use super::machine::{HUB, Machine, copy_sparse};
use super::servers::Hub;

/// The same binaries twice, as an upgrade.
const OLD: &str = "0.1.0~arm1-1";
pub(super) const NEW: &str = "0.1.0~arm2-1";

const CONFIG: &str = "\
agent = \"vm\"
trust_clock = true
history = 10000
[nats]
servers = [\"nats://127.0.0.1:4223\"]
heartbeat = \"10s\"
";

pub(super) struct Lab {
    pub(super) architecture: String,
    images: PathBuf,
    dir: tempfile::TempDir,
}

impl Lab {
    pub(super) fn set_up() -> Self {
        let architecture = std::env::var("ARCHITECTURE").unwrap_or_else(|_| "armhf".to_owned());
        let cache = std::env::var_os("XDG_CACHE_HOME")
            .map_or_else(|| PathBuf::from(std::env::var_os("HOME").unwrap()).join(".cache"), PathBuf::from);
        let images = cache.join("leafcron/arm");
        let root = Path::new(env!("CARGO_MANIFEST_DIR"));
        if !images.join(format!("{architecture}.ext4")).exists() {
            println!("an image for {architecture} is made; it is kept");
            must(Command::new(root.join("tests/arm/image")).arg(&architecture).arg(&images));
        }
        let lab = Self { architecture, images, dir: tempfile::tempdir().unwrap() };
        for (version, built) in [(OLD, false), (NEW, true)] {
            let mut deb = Command::new(root.join("cross/deb"));
            deb.arg(&lab.architecture).env("VERSION", version).env("LINTIAN", "no").current_dir(root);
            if built {
                deb.env("BUILT", format!("target/dist/{}", lab.target()));
            }
            must(&mut deb);
        }
        lab.install();
        lab
    }

    fn target(&self) -> &'static str {
        match self.architecture.as_str() {
            "armhf" => "armv7-unknown-linux-gnueabihf",
            "arm64" => "aarch64-unknown-linux-gnu",
            _ => "x86_64-unknown-linux-gnu",
        }
    }

    pub(super) fn binary(&self, name: &str) -> PathBuf {
        Path::new(env!("CARGO_MANIFEST_DIR")).join("target/dist").join(self.target()).join(name)
    }

    pub(super) fn deb(&self, version: &str) -> PathBuf {
        let name = format!("leafcron_{version}_{}.deb", self.architecture);
        Path::new(env!("CARGO_MANIFEST_DIR")).join("target/deb").join(name)
    }

    fn installed(&self) -> PathBuf {
        self.dir.path().join("installed.ext4")
    }

    fn install(&self) {
        let mut machine = Machine::new(
            &self.architecture,
            &self.images,
            &self.images.join(format!("{}.ext4", self.architecture)),
            None,
        );
        machine.boot();
        machine.put(&self.deb(OLD), "/root/old.deb");
        machine.must("dpkg --install /root/old.deb");
        assert_eq!(
            machine.must("systemctl is-active leafcrond; systemctl is-enabled leafcrond"),
            "active\nenabled"
        );
        machine.must("systemctl stop leafcrond && rm -r /var/lib/leafcron/*");
        machine.write("/etc/leafcron/leafcrond.toml", CONFIG);
        let leaf = include_str!("../../examples/nats/leaf.conf").replace("127.0.0.1:7422", HUB);
        machine.write("/etc/leaf.conf", &leaf);
        machine.write(
            "/etc/systemd/system/leaf.service",
            "[Service]\nExecStart=/usr/sbin/nats-server -c /etc/leaf.conf\nRestart=always\n[Install]\nWantedBy=multi-user.target\n",
        );
        // Jobs of any user bear witness.
        machine.write("/etc/tmpfiles.d/witness.conf", "z /dev/hvc0 0666\n");
        machine.must("chmod 600 /etc/leafcron/leafcrond.toml; systemctl enable leaf; sync");
        machine.off();
        copy_sparse(&machine.disk(), &self.installed());
    }

    /// A machine with the package, off; `hub` is what its leaf node joins.
    pub(super) fn machine(&self, hub: Option<&Hub>) -> Machine {
        Machine::new(&self.architecture, &self.images, &self.installed(), hub.map(Hub::leaf_address))
    }

    /// A hub that `leafcron hub init` made ready.
    pub(super) fn hub() -> Hub {
        let hub = Hub::start();
        assert!(leafcron_hub(&hub, &["init"]).status.success());
        hub
    }
}

/// `leafcron hub …` on this machine.
pub(super) fn leafcron_hub(hub: &Hub, arguments: &[&str]) -> std::process::Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_leafcron"));
    command.arg("hub").args(arguments).args(["--server", &hub.url()]);
    command.env_remove("NATS_URL").env_remove("NATS_CONTEXT").output().unwrap()
}

/// All facts in the hub's stream.
pub(super) fn stream(hub: &Hub) -> Vec<serde_json::Value> {
    use leafcron::nats::{Connection, From, JetStream, Read, Settings};
    const PATIENCE: Duration = Duration::from_secs(20);
    let connection = Connection::connect(&Settings::new(vec![hub.url()], "test"), PATIENCE, |_| {}).unwrap();
    let mut found = Vec::new();
    let read = Read { stream: "leafcron-runs", consumer: "test", filter: "leafcron.>", from: From::All };
    JetStream::new(connection, "hub")
        .read(&read, PATIENCE, &mut |stored| {
            found.push(serde_json::from_slice(&stored.payload).unwrap());
            Ok(())
        })
        .unwrap();
    found
}

fn must(command: &mut Command) {
    let output = command.output().unwrap_or_else(|error| panic!("{command:?}: {error}"));
    assert!(output.status.success(), "{command:?}: {}", String::from_utf8_lossy(&output.stderr));
}

/// Writes a file here, for whoever takes one.
pub(super) fn file(machine: &Machine, name: &str, text: &str) -> PathBuf {
    let path = machine.path(name);
    fs::write(&path, text).unwrap();
    path
}

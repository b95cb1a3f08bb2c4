//! A hub that is reached over TLS, by devices themselves.

use std::process::Command;
use std::thread;
use std::time::Duration;

use leafcron::job::LinkState;
use tempfile::TempDir;

use super::Outcomes;
use super::device::Device;
use super::servers::{Server, certificates};

const LOOKS: usize = 600;
const LOOK: Duration = Duration::from_millis(100);

pub(super) struct Hub {
    dir: TempDir,
    _server: Server,
    url: String,
}

impl Hub {
    pub(super) fn start() -> Outcomes<Self> {
        let dir = tempfile::tempdir()?;
        certificates(dir.path());
        let path = |name: &str| dir.path().join(name).display().to_string();
        let server = Server::plain(&format!(
            "jetstream {{ domain: hub, store_dir: \"@DIR@/store\" }}\ntls {{ cert_file: {:?}, key_file: {:?} }}\n",
            path("cert.pem"),
            path("key.pem")
        ));
        let url = server.url().replace("nats://", "tls://");
        let made = Command::new(env!("CARGO_BIN_EXE_leafcron"))
            .args(["hub", "init", "--server", &url, "--ca", &path("ca.pem")])
            .output()?;
        if !made.status.success() {
            return Err(String::from_utf8_lossy(&made.stderr).into());
        }
        Ok(Self { dir, _server: server, url })
    }

    pub(super) fn port(&self) -> Outcomes<&str> {
        Ok(self.url.rsplit(':').next().ok_or("a server without a port")?)
    }

    /// Starts the device and waits until all that it had to say is here.
    pub(super) fn join(&self, device: &mut Device, heartbeat: &str) -> Outcomes<()> {
        device.configure(&format!(
            "[nats]\nservers = [{:?}]\nca = {:?}\nheartbeat = {heartbeat:?}\n",
            self.url,
            self.dir.path().join("ca.pem")
        ))?;
        device.start()?;
        for _ in 0..LOOKS {
            let link = device.status()?.link.ok_or("no link")?;
            if link.state == LinkState::Up && link.unsent == 0 {
                return Ok(());
            }
            thread::sleep(LOOK);
        }
        Err(format!("the link does not come up: {:?}", device.status()?.link).into())
    }
}

//! Real nats-servers on loopback, each in a directory of its own, on the two files of `examples/nats` that everybody may
//! use; and a line between two of them that can be cut or stalled.

pub(crate) mod identity;

use std::fs;
use std::io::{self, BufRead, BufReader, Read, Write};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};
use std::sync::{Arc, Condvar, Mutex};
use std::thread;
use std::time::Duration;

use tempfile::TempDir;

/// Only a broken server takes this long.
const PATIENCE: Duration = Duration::from_secs(20);
const LOOK: Duration = Duration::from_millis(20);

const HUB: &str = include_str!("../../examples/nats/hub.conf");
const LEAF: &str = include_str!("../../examples/nats/leaf.conf");

/// Messages are smaller here than a record can become.
const SMALL: &str = "max_payload: 262144\n";

/// A server process: its own configuration, ports and directory, kept over its deaths.
pub(super) struct Server {
    dir: TempDir,
    port: u16,
    process: Option<Child>,
}

/// The hub: JetStream with its domain, and a port for leaf nodes.
pub(super) struct Hub {
    pub(super) server: Server,
    /// By which leaf nodes join it.
    pub(super) line: Line,
    name: String,
}

/// A leaf node.
pub(super) struct Leaf {
    pub(super) server: Server,
}

impl Hub {
    pub(super) fn start() -> Self {
        Self::with("")
    }

    /// With more lines of configuration.
    pub(super) fn with(more: &str) -> Self {
        Self::named("hub", more)
    }

    /// The same, called so: one of a cluster.
    pub(super) fn named(name: &str, more: &str) -> Self {
        let (port, leaf_port) = (free_port(), free_port());
        let line = Line::to(SocketAddr::from(([127, 0, 0, 1], leaf_port)));
        let server = Server::new(port, |dir| {
            let text = replaced(HUB, "127.0.0.1:4222", &format!("127.0.0.1:{port}"));
            let text =
                replaced(&text, "listen: \"127.0.0.1:7422\"", &format!("listen: \"127.0.0.1:{leaf_port}\""));
            let text = replaced(
                &text,
                "advertise: \"127.0.0.1:7422\"",
                &format!("advertise: \"{}\"", line.address()),
            );
            let text = replaced(&text, "server_name: hub", &format!("server_name: {name}"));
            replaced(&text, "\"./leafcron-hub\"", &format!("{:?}", dir.join("store"))) + SMALL + more
        });
        Self { server, line, name: name.to_owned() }
    }

    /// What it is called.
    pub(super) fn name(&self) -> String {
        self.name.clone()
    }

    /// Where leaf nodes join.
    pub(super) fn leaf_address(&self) -> SocketAddr {
        self.line.address()
    }

    pub(super) fn url(&self) -> String {
        self.server.url()
    }

    pub(super) fn stop(&mut self) {
        self.server.stop();
    }

    pub(super) fn kill(&mut self) {
        self.server.kill();
    }

    pub(super) fn start_again(&mut self) {
        self.server.start();
    }

    /// Takes a subject's messages out of a stream, as a limit or an operator does: no marker stays.
    pub(super) fn erase(&self, stream: &str, subject: &str) {
        let client = nats::Options::new().connect(self.url()).unwrap();
        let body = format!("{{\"filter\":{subject:?}}}");
        let answer =
            client.request_timeout(&format!("$JS.API.STREAM.PURGE.{stream}"), body, PATIENCE).unwrap();
        let answer = String::from_utf8(answer.data).unwrap();
        assert!(answer.contains("\"success\":true"), "{answer}");
    }

    /// Copies what it has stored aside; it must be stopped.
    pub(super) fn save(&self) {
        copy(&self.server.path("store"), &self.server.path("saved"));
    }

    /// Puts back what was saved; it must be stopped.
    pub(super) fn restore(&self) {
        fs::remove_dir_all(self.server.path("store")).unwrap();
        copy(&self.server.path("saved"), &self.server.path("store"));
    }
}

impl Leaf {
    /// A leaf node that joins the hub there.
    pub(super) fn start(hub: SocketAddr) -> Self {
        Self::with(hub, "")
    }

    /// With more lines of configuration.
    pub(super) fn with(hub: SocketAddr, more: &str) -> Self {
        Self::joining(&hub.to_string(), more)
    }

    /// The same, that joins as `user:password@host:port`.
    pub(super) fn joining(hub: &str, more: &str) -> Self {
        Self::of_remote(&format!("\"nats://{hub}\""), more)
    }

    /// The same, of a hub of several servers.
    pub(super) fn of_remotes(hubs: &[&Hub]) -> Self {
        let urls: Vec<String> = hubs.iter().map(|hub| format!("\"nats://{}\"", hub.leaf_address())).collect();
        Self::of_urls(&format!("urls: [{}]", urls.join(", ")))
    }

    fn of_urls(urls: &str) -> Self {
        let port = free_port();
        let server = Server::new(port, |_| {
            let text = replaced(LEAF, "127.0.0.1:4223", &format!("127.0.0.1:{port}"));
            let text = replaced(&text, "url: \"nats://127.0.0.1:7422\"", urls);
            replaced(&text, "server_name: leaf", &format!("server_name: leaf-{port}")) + SMALL
        });
        Self { server }
    }

    /// The same, where devices are of this account.
    pub(super) fn of_account(hub: SocketAddr, account: &str, more: &str) -> Self {
        Self::of_remote(&format!("\"nats://{hub}\", account: {account:?}"), more)
    }

    fn of_remote(remote: &str, more: &str) -> Self {
        let port = free_port();
        let server = Server::new(port, |dir| {
            let text = replaced(LEAF, "127.0.0.1:4223", &format!("127.0.0.1:{port}"));
            let text = replaced(&text, "\"nats://127.0.0.1:7422\"", remote);
            // A hub takes each name once.
            let text = replaced(&text, "server_name: leaf", &format!("server_name: leaf-{port}"));
            text + SMALL + &more.replace("@DIR@", dir.to_str().unwrap())
        });
        Self { server }
    }

    pub(super) fn url(&self) -> String {
        self.server.url()
    }

    pub(super) fn kill(&mut self) {
        self.server.kill();
    }

    pub(super) fn start_again(&mut self) {
        self.server.start();
    }
}

impl Server {
    fn new(port: u16, config: impl FnOnce(&Path) -> String) -> Self {
        let dir = tempfile::Builder::new().prefix("leafcron-nats-").tempdir().unwrap();
        let config = config(dir.path());
        fs::write(dir.path().join("server.conf"), config).unwrap();
        let mut server = Self { dir, port, process: None };
        server.start();
        server
    }

    /// A server of its own kind: what is in its configuration after the port.
    pub(super) fn plain(more: &str) -> Self {
        let port = free_port();
        Self::new(port, |dir| {
            format!("listen: \"127.0.0.1:{port}\"\n{}", more.replace("@DIR@", dir.to_str().unwrap()))
        })
    }

    pub(super) fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    pub(super) fn url(&self) -> String {
        format!("nats://127.0.0.1:{}", self.port)
    }

    pub(super) fn address(&self) -> SocketAddr {
        SocketAddr::from(([127, 0, 0, 1], self.port))
    }

    /// Starts it, and waits until a client is served.
    pub(super) fn start(&mut self) {
        let log = fs::OpenOptions::new().create(true).append(true).open(self.path("log")).unwrap();
        let mut command = Command::new(program());
        command
            .arg("-c")
            .arg(self.path("server.conf"))
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(log);
        let mut process = command.spawn().unwrap_or_else(|error| {
            panic!("{}: {error}; `.ci/setup test` installs it, or `apt-get install nats-server`", program())
        });
        for _ in 0..PATIENCE.as_millis() / LOOK.as_millis() {
            if let Some(status) = process.try_wait().unwrap() {
                panic!("nats-server ended: {status}\n{}", self.log());
            }
            if serves(self.address()) {
                self.process = Some(process);
                return;
            }
            thread::sleep(LOOK);
        }
        process.kill().ok();
        panic!("nats-server serves nobody:\n{}", self.log());
    }

    /// Changes its configuration while it serves.
    pub(super) fn reconfigure(&self, from: &str, to: &str) {
        let path = self.path("server.conf");
        let text = replaced(&fs::read_to_string(&path).unwrap(), from, to);
        fs::write(&path, text).unwrap();
        self.signal("HUP");
    }

    pub(super) fn log(&self) -> String {
        fs::read_to_string(self.path("log")).unwrap_or_default()
    }

    /// In good order.
    pub(super) fn stop(&mut self) {
        let mut process = self.process.take().unwrap();
        let told = Command::new("kill").args(["-TERM", &process.id().to_string()]).status().unwrap();
        assert!(told.success());
        process.wait().unwrap();
    }

    /// kill -9.
    pub(super) fn kill(&mut self) {
        if let Some(mut process) = self.process.take() {
            process.kill().unwrap();
            process.wait().unwrap();
        }
    }

    pub(super) fn signal(&self, name: &str) {
        let pid = self.process.as_ref().unwrap().id().to_string();
        assert!(Command::new("kill").args([&format!("-{name}"), &pid]).status().unwrap().success());
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        if let Some(mut process) = self.process.take() {
            process.kill().ok();
            process.wait().ok();
        }
    }
}

/// The server's program; another version of it can be named.
fn program() -> String {
    if let Ok(program) = std::env::var("LEAFCRON_NATS_SERVER") {
        return program;
    }
    // Debian keeps it where a user's PATH may not look.
    let debian = "/usr/sbin/nats-server";
    if Path::new(debian).exists() { debian.to_owned() } else { "nats-server".to_owned() }
}

fn replaced(text: &str, from: &str, to: &str) -> String {
    assert!(text.contains(from), "the example has no {from} any more");
    text.replace(from, to)
}

/// A port that nobody listens on now.
///
/// Below the range that the kernel takes the ports of outgoing connections from (`ip_local_port_range`): until the server
/// listens, and while it is down for a test, some other connection might get it. Each is given out once.
pub(super) fn free_port() -> u16 {
    static GIVEN: AtomicU32 = AtomicU32::new(0);
    const FIRST: u32 = 10_000;
    const COUNT: u32 = 22_000;
    // Test programs that run beside this one begin elsewhere.
    let begin = std::process::id() % COUNT * 61;
    for _ in 0..COUNT {
        let given = GIVEN.fetch_add(1, Ordering::Relaxed);
        let port = u16::try_from(FIRST + (begin + given) % COUNT).unwrap();
        if TcpListener::bind(("127.0.0.1", port)).is_ok() {
            return port;
        }
    }
    panic!("no port of {COUNT} from {FIRST} on is free");
}

/// Whether a client's first words are answered.
fn serves(address: SocketAddr) -> bool {
    let ask = || -> io::Result<bool> {
        let mut stream = TcpStream::connect(address)?;
        stream.set_read_timeout(Some(PATIENCE))?;
        let mut lines = BufReader::new(stream.try_clone()?);
        let mut line = String::new();
        lines.read_line(&mut line)?;
        if line.contains("\"tls_required\":true") || line.contains("\"auth_required\":true") {
            return Ok(true);
        }
        stream.write_all(b"CONNECT {\"verbose\":false}\r\nPING\r\n")?;
        line.clear();
        lines.read_line(&mut line)?;
        Ok(line.starts_with("PONG"))
    };
    ask().unwrap_or(false)
}

/// Makes `ca.pem`, and of that authority `cert.pem` and `key.pem` for this machine.
pub(super) fn certificates(dir: &Path) {
    let script = r#"
        openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -days 2 -subj /CN=test-ca \
            -keyout ca.key -out ca.pem -addext basicConstraints=critical,CA:TRUE
        openssl req -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -subj /CN=server -keyout key.pem -out csr.pem
        printf 'subjectAltName=IP:127.0.0.1\nbasicConstraints=CA:FALSE\n' > ext
        openssl x509 -req -in csr.pem -CA ca.pem -CAkey ca.key -CAcreateserial -days 2 -extfile ext -out cert.pem
    "#;
    let made = Command::new("sh").args(["-ec", script]).current_dir(dir).output().unwrap();
    assert!(made.status.success(), "openssl: {}", String::from_utf8_lossy(&made.stderr));
}

fn copy(from: &Path, to: &Path) {
    fs::create_dir_all(to).unwrap();
    for entry in fs::read_dir(from).unwrap() {
        let entry = entry.unwrap();
        let to = to.join(entry.file_name());
        if entry.file_type().unwrap().is_dir() {
            copy(&entry.path(), &to);
        } else {
            fs::copy(entry.path(), to).unwrap();
        }
    }
}

/// How a line is.
#[derive(Clone, Copy, PartialEq, Eq)]
enum State {
    Joined,
    /// What connects is ended at once.
    Cut,
    /// Bytes are taken and kept.
    Stalled,
}

struct Shared {
    state: Mutex<(State, Vec<TcpStream>)>,
    changed: Condvar,
    /// Bytes, both ways.
    carried: AtomicU64,
}

impl Shared {
    fn new(state: State) -> Arc<Self> {
        let state = Mutex::new((state, Vec::new()));
        Arc::new(Self { state, changed: Condvar::new(), carried: AtomicU64::new(0) })
    }
}

/// A TCP line to an address.
pub(super) struct Line {
    address: SocketAddr,
    shared: Arc<Shared>,
}

impl Line {
    pub(super) fn to(target: SocketAddr) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let shared = Shared::new(State::Joined);
        let theirs = Arc::downgrade(&shared);
        thread::spawn(move || {
            for near in listener.incoming() {
                let (Some(shared), Ok(near)) = (theirs.upgrade(), near) else { return };
                carry(&shared, near, target).ok();
            }
        });
        Self { address, shared }
    }

    pub(super) fn address(&self) -> SocketAddr {
        self.address
    }

    fn set(&self, state: State) {
        let mut now = self.shared.state.lock().unwrap();
        now.0 = state;
        if state == State::Cut {
            for stream in now.1.drain(..) {
                stream.shutdown(Shutdown::Both).ok();
            }
        }
        self.shared.changed.notify_all();
    }

    /// Ends all connections, and every new one.
    pub(super) fn cut(&self) {
        self.set(State::Cut);
    }

    /// Carries nothing any more, and says nothing either.
    pub(super) fn stall(&self) {
        self.set(State::Stalled);
    }

    /// How many bytes it has carried so far, both ways.
    pub(super) fn carried(&self) -> u64 {
        self.shared.carried.load(Ordering::Relaxed)
    }

    /// Carries again.
    pub(super) fn join(&self) {
        self.set(State::Joined);
    }
}

impl Drop for Line {
    fn drop(&mut self) {
        self.cut();
        // The listener looks up once more, and finds nobody.
        let address = self.address;
        drop(core::mem::replace(&mut self.shared, Shared::new(State::Cut)));
        TcpStream::connect(address).ok();
    }
}

fn carry(shared: &Arc<Shared>, near: TcpStream, target: SocketAddr) -> io::Result<()> {
    let mut state = shared.state.lock().unwrap();
    if state.0 == State::Cut {
        return Ok(());
    }
    let far = TcpStream::connect(target)?;
    for stream in [&near, &far] {
        stream.set_nodelay(true)?;
        state.1.push(stream.try_clone()?);
    }
    for (from, to) in [(near.try_clone()?, far.try_clone()?), (far, near)] {
        let shared = Arc::clone(shared);
        thread::spawn(move || pump(&shared, from, to));
    }
    Ok(())
}

fn pump(shared: &Shared, mut from: TcpStream, mut to: TcpStream) {
    let mut bytes = [0; 16 * 1024];
    loop {
        let count = from.read(&mut bytes).unwrap_or(0);
        let held = shared.state.lock().unwrap();
        drop(shared.changed.wait_while(held, |state| state.0 == State::Stalled).unwrap());
        if count == 0 || to.write_all(&bytes[..count]).is_err() {
            from.shutdown(Shutdown::Both).ok();
            to.shutdown(Shutdown::Both).ok();
            return;
        }
        shared.carried.fetch_add(count as u64, Ordering::Relaxed);
    }
}

//! Who the device is, and whom it believes: each way through the real agent. Its secrets are nowhere to be seen.

use std::fs;
use std::path::Path;

use leafcron::job::{LinkState, LinkStatus};

use super::device::{Rig, text_of, wait_for};
use super::rig::Fleet;
use super::servers::identity::Identity;
use super::servers::{Hub, Leaf, Server, certificates, free_port};

/// A way for a device to be known: the server's configuration, the device's, and what nobody else may see.
struct Way {
    server: String,
    device: String,
    secret: String,
    /// Of which account the devices are.
    account: Option<String>,
    scheme: &'static str,
    /// Files that the two name.
    _files: tempfile::TempDir,
}

impl Way {
    fn new(server: impl Into<String>, device: impl Into<String>, secret: impl Into<String>) -> Self {
        let (server, device, secret) = (server.into(), device.into(), secret.into());
        let _files = tempfile::tempdir().unwrap();
        Self { server, device, secret, account: None, scheme: "nats", _files }
    }

    /// What the device keeps in a file of its own.
    fn in_file(server: String, key: &str, text: &str, secret: &str) -> Self {
        let mut way = Self::new(server, "", secret);
        let path = way._files.path().join(key);
        fs::write(&path, text).unwrap();
        way.device = format!("{key} = {path:?}");
        way
    }

    fn password(word: &str) -> Self {
        let server = "authorization { user: pi, password: hush-password }";
        Self::new(server, format!("user = \"pi\"\npassword = {word:?}"), word)
    }

    fn token(word: &str) -> Self {
        Self::new("authorization { token: hush-token }", format!("token = {word:?}"), word)
    }

    /// By the seed of one of these pairs; the server knows the first.
    fn nkey(known: &nkeys::KeyPair, own: &nkeys::KeyPair) -> Self {
        let server = format!("authorization {{ users: [ {{ nkey: {} }} ] }}", known.public_key());
        let seed = own.seed().unwrap();
        Self::in_file(server, "nkey", &format!("{seed}\n"), &seed)
    }

    fn creds(server: &Identity, device: &Identity) -> Self {
        let (text, seed) = device.creds();
        let way = Self::in_file(server.config(), "creds", &text, &seed);
        Self { account: Some(server.account()), ..way }
    }

    /// A private authority; where `both`, the device shows a certificate of it, or of this other one.
    fn tls(verify: bool, of_other: bool) -> Self {
        let mut way = Self::new("", "", "");
        certificates(way._files.path());
        let other = way._files.path().join("other");
        fs::create_dir(&other).unwrap();
        certificates(&other);
        let path = |name: &str| way._files.path().join(name);
        let (ca, cert, key) = (path("ca.pem"), path("cert.pem"), path("key.pem"));
        let verified = if verify { format!("ca_file: {ca:?}, verify: true") } else { String::new() };
        let (server, mut device) =
            (format!("tls {{ cert_file: {cert:?}, key_file: {key:?}\n{verified} }}"), format!("ca = {ca:?}"));
        let own = if of_other { other } else { way._files.path().to_owned() };
        if verify {
            device += &format!("\ncert = {:?}\nkey = {:?}", own.join("cert.pem"), own.join("key.pem"));
        } else if of_other {
            device = format!("ca = {:?}", own.join("ca.pem"));
        }
        let pem = fs::read_to_string(own.join("key.pem")).unwrap();
        (way.server, way.device, way.scheme) = (server, device, "tls");
        pem.lines().nth(1).unwrap().clone_into(&mut way.secret);
        way
    }

    fn url(&self, server: &str) -> String {
        server.replace("nats://", &format!("{}://", self.scheme))
    }
}

/// Where a secret could be seen, and is not.
fn is_hidden(secret: &str, device: &Rig, link: Option<u32>) {
    assert!(secret.len() > 4);
    let mut seen = vec![
        ("the log".to_owned(), device.log().into_bytes()),
        ("status".to_owned(), device.leafcron(&["status"]).stdout),
        ("status --json".to_owned(), device.leafcron(&["status", "--json"]).stdout),
        ("history".to_owned(), device.leafcron(&["history", "--events", "--json"]).stdout),
    ];
    for pid in [Some(device.pid()), link].into_iter().flatten() {
        for name in ["cmdline", "environ", "comm"] {
            let path = format!("/proc/{pid}/{name}");
            // A process that has ended meanwhile shows nothing.
            seen.push((path.clone(), fs::read(path).unwrap_or_default()));
        }
    }
    files(&device.path("state"), &mut seen);
    files(&device.path("run"), &mut seen);
    assert!(seen.iter().filter(|(_, bytes)| !bytes.is_empty()).count() > 6);
    for (place, bytes) in seen {
        assert!(!bytes.windows(secret.len()).any(|part| part == secret.as_bytes()), "{place} shows it");
    }
}

/// All files below a directory.
fn files(dir: &Path, seen: &mut Vec<(String, Vec<u8>)>) {
    for entry in fs::read_dir(dir).into_iter().flatten().flatten() {
        let path = entry.path();
        match entry.file_type().unwrap() {
            kind if kind.is_dir() => files(&path, seen),
            kind if kind.is_file() => {
                seen.push((path.display().to_string(), fs::read(&path).unwrap_or_default()))
            }
            _ => {}
        }
    }
}

/// The device delivers what it did.
fn is_let_in(way: &Way) {
    let hub = Hub::start();
    let leaf = match &way.account {
        Some(account) => Leaf::of_account(hub.leaf_address(), account, &way.server),
        None => Leaf::with(hub.leaf_address(), &way.server),
    };
    let url = way.url(&leaf.url());
    let own = "[job.own]\nschedule = \"@yearly\"\ncommand = \"true\"\n";
    let mut fleet = Fleet::of(hub, leaf, &url, "", own);
    fleet.configure(&way.device);
    let made = fleet.hub(&["init"]);
    assert!(made.status.success(), "{}", text_of(&made.stderr));
    fleet.device.start();
    fleet.wait_until_up();
    assert!(fleet.device.leafcron(&["run", "own", "--wait"]).status.success());
    assert!(fleet.settled().iter().any(|fact| fact["job"] == "own"));
    wait_for("it has said how it is", || fleet.heartbeat());
    let pid = fleet.link_pid();
    assert!(pid.is_some());
    is_hidden(&way.secret, &fleet.device, pid);
    // Nor what the centre keeps.
    let told = format!("{:?} {:?}", fleet.stream(), fleet.heartbeat());
    assert!(!told.contains(&way.secret), "{told}");
}

#[test]
fn a_device_is_let_in_by_its_password() {
    is_let_in(&Way::password("hush-password"));
}

#[test]
fn a_device_is_let_in_by_its_token() {
    is_let_in(&Way::token("hush-token"));
}

#[test]
fn a_device_is_let_in_by_its_nkey() {
    let pair = nkeys::KeyPair::new_user();
    is_let_in(&Way::nkey(&pair, &pair));
}

#[test]
fn a_device_is_let_in_by_its_creds_file() {
    let identity = Identity::new();
    is_let_in(&Way::creds(&identity, &identity));
}

#[test]
fn a_device_believes_a_private_authority() {
    is_let_in(&Way::tls(false, false));
}

#[test]
fn a_device_is_let_in_by_its_certificate() {
    is_let_in(&Way::tls(true, false));
}

/// Waits until a device says why it cannot get in there.
fn trouble(url: &str, config: &str) -> (Rig, LinkStatus) {
    let mut device = Rig::with_config(&format!("[nats]\nservers = [{url:?}]\n{config}"), "");
    device.start();
    let link = wait_for("it says why", || {
        let link: LinkStatus = serde_json::from_value(device.json(&["status"])["link"].clone()).unwrap();
        (link.state == LinkState::Waiting && link.trouble.is_some()).then_some(link)
    });
    (device, link)
}

/// How long it waits, in seconds.
fn waits(link: &LinkStatus) -> f64 {
    link.next_try.unwrap().since(link.since).as_secs_f64()
}

/// It says so in these words, and tries no sooner than it makes sense to.
fn is_refused_for_good(way: &Way, words: &str) {
    let server = Server::plain(&way.server);
    let (device, link) = trouble(&way.url(&server.url()), &way.device);
    let said = link.trouble.as_deref().unwrap().to_lowercase();
    assert!(said.contains(words), "{said}");
    assert!(waits(&link) >= 29.0, "{link:?}");
    is_hidden(&way.secret, &device, None);
}

#[test]
fn a_wrong_word_is_told_as_one_and_not_tried_again_at_once() {
    is_refused_for_good(&Way::password("wrong-password"), "authorization violation");
    is_refused_for_good(&Way::token("wrong-token"), "authorization violation");
    let (known, stranger) = (nkeys::KeyPair::new_user(), nkeys::KeyPair::new_user());
    is_refused_for_good(&Way::nkey(&known, &stranger), "authorization violation");
    is_refused_for_good(&Way::creds(&Identity::new(), &Identity::new()), "authorization violation");
}

#[test]
fn a_certificate_that_is_not_believed_is_told_as_one_and_not_tried_again_at_once() {
    is_refused_for_good(&Way::tls(false, true), "certificate");
    // In whose words, is a matter of the server: it is a bad one, or of an unknown authority.
    is_refused_for_good(&Way::tls(true, true), "tls error: received fatal alert");
}

#[test]
fn a_device_that_shows_no_certificate_where_one_is_wanted_is_told_so() {
    let mut way = Way::tls(true, false);
    way.device = way.device.lines().next().unwrap().to_owned();
    is_refused_for_good(&way, "certificate");
}

#[test]
fn a_server_that_is_away_is_tried_again_soon() {
    let (_device, link) = trouble(&format!("nats://127.0.0.1:{}", free_port()), "");
    assert!(link.trouble.as_deref().unwrap().to_lowercase().contains("refused"), "{link:?}");
    assert!(waits(&link) < 20.0, "{link:?}");
}

//! The control socket from both ends, over a real socket: what a well-meant client gets, and what an ill-meant or a
//! broken one cannot do.

// So that clippy knows the helpers below for test code.
#![cfg(test)]

use std::io::{BufRead, BufReader, Read, Write};
use std::os::unix::fs::PermissionsExt;
use std::os::unix::net::UnixStream;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Arc;
use std::time::Duration;

use leafcron::control::{Client, ClientError, Connection, Listener, Patience, socket_path};
use leafcron::job::{RecordJson, RefusalKind, Reloaded, Reply, Request, limits};

/// An agent that answers each verb with something of its kind.
struct Fake {
    run_dir: tempfile::TempDir,
    _executor: Arc<smol::Executor<'static>>,
    stop: Option<smol::channel::Sender<()>>,
    thread: Option<std::thread::JoinHandle<()>>,
}

impl Fake {
    fn start(patience: Patience) -> Self {
        let run_dir = tempfile::tempdir().unwrap();
        let listener = Listener::bind(run_dir.path()).unwrap().with_patience(patience);
        let executor = Arc::new(smol::Executor::new());
        let (stop, stopped) = smol::channel::bounded::<()>(1);
        let running = Arc::clone(&executor);
        let thread = std::thread::spawn(move || {
            let serve = async {
                loop {
                    let connection = listener.accept().await;
                    running.spawn(answer(connection)).detach();
                }
            };
            let until_stopped = async {
                stopped.recv().await.ok();
            };
            smol::block_on(running.run(smol::future::or(serve, until_stopped)));
        });
        Self { run_dir, _executor: executor, stop: Some(stop), thread: Some(thread) }
    }

    fn patient() -> Self {
        Self::start(Patience::default())
    }

    fn client(&self) -> Client {
        Client::connect(self.run_dir.path()).unwrap()
    }

    fn socket(&self) -> PathBuf {
        socket_path(self.run_dir.path())
    }

    fn raw(&self) -> UnixStream {
        let stream = UnixStream::connect(self.socket()).unwrap();
        stream.set_read_timeout(Some(Duration::from_secs(20))).unwrap();
        stream
    }
}

impl Drop for Fake {
    fn drop(&mut self) {
        self.stop.take();
        self.thread.take().unwrap().join().unwrap();
    }
}

fn record() -> RecordJson {
    serde_json::from_str(include_str!("golden/record.json")).unwrap()
}

async fn answer(mut connection: Connection) {
    while let Ok(Some(request)) = connection.request().await {
        let reply = match request {
            Request::List {} => Reply::Jobs(Vec::new()),
            Request::History { limit: 0, .. } => {
                // Too much for any socket buffer.
                let mut record = record();
                record.detail = Some("x".repeat(4 * 1024 * 1024));
                Reply::Records(vec![record])
            }
            Request::History { .. } => Reply::Records(vec![record()]),
            Request::Run { wait, .. } => {
                let accepted = Reply::Accepted { id: "c1".parse().unwrap() };
                if connection.reply(&accepted).await.is_err() {
                    return;
                }
                if !wait {
                    continue;
                }
                Reply::Ran(Box::new(record()))
            }
            // Stands for a run that lasts: it ends when nobody waits for it any more.
            Request::Stop { .. } => return connection.gone().await,
            Request::Reload {} => Reply::Reloaded(Reloaded::default()),
            other => Reply::Done { message: serde_json::to_string(&other).unwrap() },
        };
        if connection.reply(&reply).await.is_err() {
            return;
        }
    }
}

fn reply_of(reader: &mut impl BufRead) -> Reply {
    let mut line = String::new();
    reader.read_line(&mut line).unwrap();
    serde_json::from_str(&line).unwrap_or_else(|error| panic!("{error}: {line:?}"))
}

fn refused(reply: Reply) -> (RefusalKind, String) {
    match reply {
        Reply::Refused(refusal) => (refusal.kind, refusal.message),
        other => panic!("{other:?}"),
    }
}

#[test]
fn every_verb_makes_the_way_there_and_back() {
    let fake = Fake::patient();
    let mut client = fake.client();
    let job = || "backup".parse().unwrap();
    assert_eq!(client.ask(&Request::List {}).unwrap(), Reply::Jobs(Vec::new()));
    for request in [
        Request::Show { job: job() },
        Request::Pause { job: job(), id: None },
        Request::Resume { job: job(), id: None },
        Request::Status {},
    ] {
        let message = serde_json::to_string(&request).unwrap();
        assert_eq!(client.ask(&request).unwrap(), Reply::Done { message });
    }
    let history = Request::History { job: Some(job()), limit: 5 };
    assert_eq!(client.ask(&history).unwrap(), Reply::Records(vec![record()]));
    assert_eq!(client.ask(&Request::Reload {}).unwrap(), Reply::Reloaded(Reloaded::default()));
    let run = Request::Run { job: job(), id: None, force: true, wait: true };
    assert_eq!(client.ask(&run).unwrap(), Reply::Accepted { id: "c1".parse().unwrap() });
    assert_eq!(client.next_reply().unwrap(), Reply::Ran(Box::new(record())));
}

#[test]
fn garbage_is_answered_and_the_connection_goes_on() {
    let fake = Fake::patient();
    let mut stream = fake.raw();
    stream
        .write_all(b"\n  \r\n\xff\xfe\n{\"verb\":\"dance\"}\n{\"verb\":\"show\",\"job\":\"../etc\"}\n[]\n{\"verb\":\"list\"}\n")
        .unwrap();
    let mut reader = BufReader::new(stream);
    for _ in 0..4 {
        let (kind, message) = refused(reply_of(&mut reader));
        assert_eq!(kind, RefusalKind::BadRequest);
        assert!(message.contains("verbs: list show"), "{message}");
    }
    assert_eq!(reply_of(&mut reader), Reply::Jobs(Vec::new()));
}

#[test]
fn pipelined_requests_are_answered_in_order_and_the_last_needs_no_newline() {
    let fake = Fake::patient();
    let mut stream = fake.raw();
    stream.write_all(b"{\"verb\":\"list\"}\n{\"verb\":\"reload\"}\n{\"verb\":\"status\"}").unwrap();
    stream.shutdown(std::net::Shutdown::Write).unwrap();
    let mut reader = BufReader::new(stream);
    assert_eq!(reply_of(&mut reader), Reply::Jobs(Vec::new()));
    assert_eq!(reply_of(&mut reader), Reply::Reloaded(Reloaded::default()));
    assert!(matches!(reply_of(&mut reader), Reply::Done { .. }));
    assert_eq!(reader.read(&mut [0; 1]).unwrap(), 0, "then the agent hangs up");
}

#[test]
fn a_line_without_bound_is_refused_and_the_agent_lives() {
    let fake = Fake::patient();
    let stream = fake.raw();
    // The agent stops reading at the bound; whether the rest is taken does not matter.
    (&stream).write_all(&vec![b'x'; 4 * limits::REQUEST_BYTES]).ok();
    let (kind, message) = refused(reply_of(&mut BufReader::new(stream)));
    assert_eq!(kind, RefusalKind::BadRequest);
    assert!(message.contains("65536"), "{message}");
    assert_eq!(fake.client().ask(&Request::List {}).unwrap(), Reply::Jobs(Vec::new()));
}

#[test]
fn a_silent_client_is_let_go_and_told_why() {
    let fake = Fake::start(Patience { request: Duration::from_millis(50), ..Patience::default() });
    let mut stream = fake.raw();
    stream.write_all(b"{\"verb\":").unwrap();
    let mut reader = BufReader::new(stream);
    let (kind, message) = refused(reply_of(&mut reader));
    assert_eq!(kind, RefusalKind::BadRequest);
    assert!(message.contains("50ms"), "{message}");
    assert_eq!(reader.read(&mut [0; 1]).unwrap(), 0);
}

#[test]
fn a_client_that_takes_no_reply_is_let_go() {
    let fake = Fake::start(Patience { reply: Duration::from_millis(50), ..Patience::default() });
    let mut stream = fake.raw();
    stream.write_all(b"{\"verb\":\"history\",\"limit\":0}\n").unwrap();
    // The agent answers others meanwhile, and after.
    assert_eq!(fake.client().ask(&Request::List {}).unwrap(), Reply::Jobs(Vec::new()));
    // Its hanging up shows as the end of the stream once what the buffers held is read; the reply is not whole.
    poll_hang_up(&stream);
    let mut all = Vec::new();
    stream.read_to_end(&mut all).unwrap();
    assert!(all.len() < 4 * 1024 * 1024 && !all.ends_with(b"\n"), "{} bytes", all.len());
}

/// Waits until the other end is closed, without reading.
fn poll_hang_up(stream: &UnixStream) {
    use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
    use std::os::fd::AsFd;
    let mut fds = [PollFd::new(stream.as_fd(), PollFlags::empty())];
    assert_eq!(poll(&mut fds, PollTimeout::from(20_000_u16)).unwrap(), 1, "no hang-up within 20 s");
}

#[test]
fn a_large_reply_reaches_a_client_that_reads() {
    let fake = Fake::patient();
    let Reply::Records(records) = fake.client().ask(&Request::History { job: None, limit: 0 }).unwrap()
    else {
        panic!()
    };
    assert_eq!(records.first().unwrap().detail.as_ref().unwrap().len(), 4 * 1024 * 1024);
}

#[test]
fn one_connection_too_many_is_told_so_and_its_place_is_free_again_later() {
    let fake = Fake::patient();
    let mut clients: Vec<Client> = (0..limits::CONNECTIONS).map(|_| fake.client()).collect();
    for client in &mut clients {
        assert_eq!(client.ask(&Request::List {}).unwrap(), Reply::Jobs(Vec::new()));
    }
    let (kind, _) = refused(fake.client().ask(&Request::List {}).unwrap());
    assert_eq!(kind, RefusalKind::Busy);
    clients.pop();
    let again = (0..200).find_map(|_| {
        std::thread::sleep(Duration::from_millis(10));
        fake.client().ask(&Request::List {}).ok().filter(|reply| matches!(reply, Reply::Jobs(_)))
    });
    assert!(again.is_some(), "the place of a client that left is free within 2 s");
}

#[test]
fn a_waiting_client_that_leaves_gives_its_place_back() {
    let fake = Fake::patient();
    for _ in 0..3 * limits::CONNECTIONS {
        let mut stream = fake.raw();
        stream.write_all(b"{\"verb\":\"stop\",\"job\":\"lasting\"}\n{\"verb\":\"list\"}\n").unwrap();
    }
    let served = (0..200).any(|_| {
        std::thread::sleep(Duration::from_millis(10));
        matches!(fake.client().ask(&Request::List {}), Ok(Reply::Jobs(_)))
    });
    assert!(served);
}

#[test]
fn the_client_says_what_to_do_next() {
    let nowhere = tempfile::tempdir().unwrap();
    let error = Client::connect(nowhere.path()).unwrap_err();
    assert!(matches!(error, ClientError::NoAgent(_)));
    assert!(error.to_string().contains("start `leafcrond`"), "{error}");
    assert!(matches!(Client::connect(Path::new(&"/x".repeat(80))), Err(ClientError::TooLong(_))));
    // A dead agent's socket is no agent.
    drop(std::os::unix::net::UnixListener::bind(socket_path(nowhere.path())).unwrap());
    assert!(matches!(Client::connect(nowhere.path()), Err(ClientError::NoAgent(_))));
}

#[test]
fn an_agent_that_hangs_up_or_talks_nonsense_is_an_error() {
    for (answer, expected) in
        [("", "hung up"), ("{\"dance\":1}\n", "not understood"), ("{\"jobs\":", "hung up")]
    {
        let run_dir = tempfile::tempdir().unwrap();
        let listener = std::os::unix::net::UnixListener::bind(socket_path(run_dir.path())).unwrap();
        let thread = std::thread::spawn(move || {
            let (mut stream, _) = listener.accept().unwrap();
            assert!(stream.read(&mut [0; 100]).unwrap() > 0);
            stream.write_all(answer.as_bytes()).unwrap();
        });
        let error = Client::connect(run_dir.path()).unwrap().ask(&Request::List {}).unwrap_err();
        assert!(error.to_string().contains(expected), "{error}");
        thread.join().unwrap();
    }
}

#[test]
fn what_the_agent_said_before_it_hung_up_is_read() {
    let run_dir = tempfile::tempdir().unwrap();
    let listener = std::os::unix::net::UnixListener::bind(socket_path(run_dir.path())).unwrap();
    let mut client = Client::connect(run_dir.path()).unwrap();
    listener.accept().unwrap().0.write_all(b"{\"refused\":{\"kind\":\"busy\",\"message\":\"\"}}\n").unwrap();
    assert_eq!(refused(client.ask(&Request::List {}).unwrap()).0, RefusalKind::Busy);
}

/// Runs as the child of the test below, with another uid.
#[test]
#[ignore = "a part of `another_user_has_the_rights_of_the_group_and_no_more`"]
fn child_asks_as_somebody_else() {
    let run_dir = std::env::var_os("LEAFCRON_TEST_RUN_DIR").expect("started by its parent");
    let mut client = match Client::connect(Path::new(&run_dir)) {
        Ok(client) => client,
        Err(error) => return println!("answer: {error:?}"),
    };
    for request in [Request::List {}, Request::Reload {}] {
        println!("answer: {}", serde_json::to_string(&client.ask(&request).unwrap()).unwrap());
    }
}

#[test]
fn another_user_has_the_rights_of_the_group_and_no_more() {
    if !nix::unistd::geteuid().is_root() {
        return eprintln!("only root can ask as somebody else: left out");
    }
    let fake = Fake::patient();
    std::fs::set_permissions(fake.run_dir.path(), PermissionsExt::from_mode(0o755)).unwrap();
    let group = std::os::unix::fs::MetadataExt::gid(&fake.socket().metadata().unwrap());
    let ask = |gid| {
        let output = Command::new("/proc/self/exe")
            .args(["--exact", "child_asks_as_somebody_else", "--ignored", "--nocapture"])
            .env("LEAFCRON_TEST_RUN_DIR", fake.run_dir.path())
            .current_dir("/")
            .uid(65_534)
            .gid(gid)
            .output()
            .unwrap();
        String::from_utf8(output.stdout).unwrap()
    };
    let member = ask(group);
    assert!(member.contains("answer: {\"jobs\":[]}"), "{member}");
    assert!(member.contains("forbidden") && member.contains("you are uid 65534"), "{member}");
    let stranger = ask(65_534);
    assert!(stranger.contains("answer: Denied("), "{stranger}");
}

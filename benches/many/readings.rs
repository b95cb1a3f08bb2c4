//! How many readings of a key a hub serves at most: each is a consumer that is made, asked, and deleted again. That, and not
//! bytes, is what a definition of a large group costs.

use std::process::{Command, Stdio};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};
use std::thread;
use std::time::Duration;

use leafcron::agent::wall_clock;
use leafcron::nats::{Connection, From, JetStream, Read, Settings};

use super::crowd::Outcomes;
use super::servers::{Hub, free_port};

/// Readers, each with a consumer of its own.
const READERS: usize = 64;
/// Connections that they share.
const CONNECTIONS: usize = 4;
const FOR: Duration = Duration::from_secs(5);
const ANSWER: Duration = Duration::from_secs(10);
/// Attempts to make the hub ready, a tenth of a second apart: a cluster has to find its leader first.
const TRIES: usize = 300;

/// Of one server, and of three servers with three replicas.
pub(super) fn measure() -> Outcomes<String> {
    let alone = most(&[Hub::start()], "1")?;
    let ports = [free_port(), free_port(), free_port()];
    let routes = ports.map(|port| format!("\"nats://127.0.0.1:{port}\"")).join(", ");
    let server = |port: &u16| {
        let more = format!("cluster {{ name: hub, listen: \"127.0.0.1:{port}\", routes: [{routes}] }}\n");
        Hub::named(&format!("hub-{port}"), &more)
    };
    let cluster: Vec<Hub> = ports.iter().map(server).collect();
    let three = most(&cluster, "3")?;
    Ok(format!(
        "readings of a key, {READERS} at once: at one server {alone}\n  at three servers with three replicas {three}"
    ))
}

/// The readings that these serve in a second.
fn most(servers: &[Hub], replicas: &str) -> Outcomes<String> {
    let hub = servers.first().ok_or("no server")?;
    let init = || -> Outcomes<bool> {
        let mut command = Command::new(env!("CARGO_BIN_EXE_leafcron"));
        command.args(["hub", "init", "--replicas", replicas, "--server", &hub.url()]).stdin(Stdio::null());
        Ok(command.output()?.status.success())
    };
    let mut tries = 0;
    while !init()? {
        tries += 1;
        if tries > TRIES {
            return Err("a hub cannot be made ready".into());
        }
        thread::sleep(Duration::from_millis(100));
    }
    let connect = |hub: &Hub| -> Outcomes<JetStream> {
        let connection = Connection::connect(&Settings::new(vec![hub.url()], "reader"), ANSWER, |_| {})?;
        Ok(JetStream::new(connection, "hub"))
    };
    let streams = servers.iter().cycle().take(CONNECTIONS).map(connect).collect::<Outcomes<Vec<_>>>()?;
    let key = "group.lab.job";
    streams.first().ok_or("no connection")?.kv_put("leafcron-jobs", key, b"{}", ANSWER)?;
    let (done, failed) = (AtomicU64::new(0), Mutex::new(Vec::new()));
    let from = wall_clock();
    thread::scope(|scope| {
        for (number, stream) in streams.iter().cycle().take(READERS).enumerate() {
            let (done, failed) = (&done, &failed);
            scope.spawn(move || {
                let (consumer, filter) = (format!("reader-{number}"), format!("$KV.leafcron-jobs.{key}"));
                let read = Read {
                    stream: "KV_leafcron-jobs",
                    consumer: &consumer,
                    filter: &filter,
                    from: From::LastPerSubject,
                };
                while wall_clock().since(from) < FOR {
                    let mut found = 0;
                    let read = stream.read(&read, ANSWER, &mut |_| {
                        found += 1;
                        Ok(())
                    });
                    match read {
                        Ok(()) if found == 1 => drop(done.fetch_add(1, Ordering::Relaxed)),
                        other => failed
                            .lock()
                            .unwrap_or_else(PoisonError::into_inner)
                            .push(format!("{found} found: {other:?}")),
                    }
                }
            });
        }
    });
    let took = wall_clock().since(from).as_secs_f64();
    let failed = failed.into_inner().unwrap_or_else(PoisonError::into_inner);
    let rate = done.into_inner() as f64 / took;
    match failed.first() {
        None => Ok(format!("{rate:.0} a second")),
        // A cluster of nats-server 2.9 leaves some requests unanswered; a device asks again.
        Some(first) => Ok(format!("{rate:.0} a second, and {} came to nothing: {first}", failed.len())),
    }
}

//! JetStream through a leaf node: what is read is complete, and what is acknowledged is there.

use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::TcpListener;
use std::time::Duration;

use leafcron::nats::{Connection, Expect, From, JetStream, NatsError, PubAck, Read, Settings, Stored};
use serde_json::json;

use super::servers::{Hub, Leaf};

const WITHIN: Duration = Duration::from_secs(5);

pub(super) fn settings(url: String) -> Settings {
    Settings::new(vec![url], "test")
}

fn stream_at(url: String) -> JetStream {
    JetStream::new(Connection::connect(&settings(url), WITHIN, |_| {}).unwrap(), "hub")
}

/// Asks until the leaf has joined: before, nobody is there.
fn wait_for_hub(stream: &JetStream) {
    for _ in 0..500 {
        match stream.api("INFO", &json!(null), WITHIN) {
            Ok(_) => return,
            Err(NatsError::NoResponders { .. }) => std::thread::sleep(Duration::from_millis(20)),
            Err(error) => panic!("{error}"),
        }
    }
    panic!("the leaf does not join");
}

/// Hub, leaf, and a bucket `b` that a stock client made.
fn fleet() -> (Hub, Leaf, JetStream, nats::kv::Store) {
    let hub = Hub::start();
    let leaf = Leaf::start(hub.leaf_address());
    let stock = nats::jetstream::JetStream::new(
        nats::Options::new().connect(hub.url()).unwrap(),
        nats::JetStreamOptions::new().domain("hub"),
    );
    let bucket = stock
        .create_key_value(&nats::kv::Config { bucket: "b".to_owned(), history: 3, ..Default::default() })
        .unwrap();
    let stream = stream_at(leaf.url());
    wait_for_hub(&stream);
    (hub, leaf, stream, bucket)
}

fn read(stream: &JetStream, filter: &str, from: From) -> Result<Vec<Stored>, NatsError> {
    let mut found = Vec::new();
    stream.read(&Read { stream: "KV_b", consumer: "reader", filter, from }, WITHIN, &mut |stored| {
        found.push(stored);
        Ok(())
    })?;
    Ok(found)
}

#[test]
fn a_reading_is_complete_whether_there_is_nothing_one_or_many() {
    let (_hub, _leaf, stream, bucket) = fleet();
    assert_eq!(read(&stream, "$KV.b.>", From::LastPerSubject).unwrap().len(), 0);
    bucket.put("a.one", "1").unwrap();
    assert_eq!(read(&stream, "$KV.b.a.>", From::LastPerSubject).unwrap()[0].payload, b"1");
    for n in 0..300 {
        bucket.put(&format!("many.{n}"), format!("{n}")).unwrap();
        if n % 3 == 0 {
            bucket.put(&format!("many.{n}"), format!("again {n}")).unwrap();
        }
    }
    let many = read(&stream, "$KV.b.many.>", From::LastPerSubject).unwrap();
    assert_eq!(many.len(), 300);
    assert!(many.windows(2).all(|two| two[0].sequence < two[1].sequence), "in the stream's order");
    assert!(many.iter().any(|stored| stored.payload == b"again 297"));
    assert_eq!(read(&stream, "$KV.b.>", From::All).unwrap().len(), 401);
    let from = many[290].sequence;
    assert_eq!(read(&stream, "$KV.b.>", From::Sequence(from)).unwrap()[0].sequence, from);
    assert_eq!(read(&stream, "$KV.b.>", From::Last).unwrap().len(), 1);
    assert_eq!(read(&stream, "$KV.b.nobody.>", From::LastPerSubject).unwrap().len(), 0);
}

#[test]
fn a_name_that_is_used_again_at_once_and_one_that_was_left_behind_read_everything() {
    let (_hub, _leaf, stream, bucket) = fleet();
    for n in 0..40 {
        bucket.put(&format!("k{n}"), "x").unwrap();
    }
    for _ in 0..5 {
        assert_eq!(read(&stream, "$KV.b.>", From::LastPerSubject).unwrap().len(), 40);
    }
    // Broken off after the first message: the rest was delivered to nobody.
    let broken = stream.read(
        &Read { stream: "KV_b", consumer: "reader", filter: "$KV.b.>", from: From::LastPerSubject },
        WITHIN,
        &mut |_| Err(NatsError::Given("enough".to_owned())),
    );
    assert!(matches!(broken, Err(NatsError::Given(_))));
    assert_eq!(read(&stream, "$KV.b.>", From::LastPerSubject).unwrap().len(), 40);
}

#[test]
fn marks_of_deletion_are_told_from_values() {
    let (_hub, _leaf, stream, bucket) = fleet();
    for key in ["kept", "deleted", "purged"] {
        bucket.put(key, "1").unwrap();
    }
    bucket.delete("deleted").unwrap();
    bucket.purge("purged").unwrap();
    let found = read(&stream, "$KV.b.>", From::LastPerSubject).unwrap();
    let deleted: Vec<_> = found.iter().map(|stored| (stored.subject.as_str(), stored.deleted)).collect();
    assert_eq!(deleted, [("$KV.b.kept", false), ("$KV.b.deleted", true), ("$KV.b.purged", true)]);
}

#[test]
fn a_key_is_put_created_once_and_deleted_through_the_leaf_and_at_the_hub() {
    let (hub, _leaf, through, bucket) = fleet();
    for stream in [through, stream_at(hub.url())] {
        let first = stream.kv_put("b", "k", b"1", WITHIN).unwrap();
        assert!(first.sequence > 0 && !first.duplicate);
        assert_eq!(bucket.get("k").unwrap().unwrap(), b"1");
        let refused = stream.kv_create("b", "k", b"2", WITHIN);
        assert!(matches!(refused, Err(NatsError::Api { err_code: 10_071, .. })), "{refused:?}");
        let deleted = stream.kv_delete("b", "k", WITHIN).unwrap();
        assert_eq!(bucket.get("k").unwrap(), None);
        // Written over only what was seen.
        let second = stream.kv_update("b", "k", &[], b"2", deleted.sequence, WITHIN).unwrap();
        let late = stream.kv_update("b", "k", &[], b"3", first.sequence, WITHIN);
        assert!(matches!(late, Err(NatsError::Api { err_code: 10_071, .. })), "{late:?}");
        let late = stream.kv_delete_last("b", "k", first.sequence, WITHIN);
        assert!(matches!(late, Err(NatsError::Api { err_code: 10_071, .. })), "{late:?}");
        stream.kv_delete_last("b", "k", second.sequence, WITHIN).unwrap();
        let nowhere = stream.kv_put("no-such-bucket", "k", b"1", WITHIN);
        assert!(
            matches!(nowhere, Err(NatsError::NoResponders { .. } | NatsError::TimedOut { .. })),
            "{nowhere:?}"
        );
    }
}

#[test]
fn only_the_stream_of_the_right_domain_acknowledges() {
    let hub = Hub::start();
    let own = "jetstream { domain: leaf, store_dir: \"@DIR@/store\" }\n";
    let leaf = Leaf::with(hub.leaf_address(), own);
    let (here, there) =
        (JetStream::new(stream_at(leaf.url()).connection().clone(), "leaf"), stream_at(leaf.url()));
    wait_for_hub(&there);
    for stream in [&here, &there] {
        stream.api("STREAM.CREATE.S", &json!({"name": "S", "subjects": ["s.*"]}), WITHIN).unwrap();
    }
    let inbox = here.connection().new_inbox();
    let acks = here.connection().subscribe(&inbox, 8).unwrap();
    let expect = Expect { stream: "S".to_owned(), domain: "hub".to_owned() };
    here.connection().publish("s.a", Some(&inbox), &[("Nats-Msg-Id", "1")], b"x").unwrap();
    let mut counted = Vec::new();
    while let Some(ack) = acks.next(Duration::from_secs(1)).unwrap() {
        counted.push(PubAck::parse(&ack.payload, &expect));
    }
    assert_eq!(counted.len(), 2, "both streams answer");
    assert_eq!(counted.iter().filter(|ack| ack.is_ok()).count(), 1, "{counted:?}");
    let again = there.publish("s.b", &[("Nats-Msg-Id", "1")], b"y", &expect, WITHIN);
    // Which of the two answers first is theirs to decide; counted is the hub's alone.
    assert!(again.map_or_else(|error| matches!(error, NatsError::Nonsense { .. }), |ack| ack.duplicate));
}

/// A server that knows one client, and a bucket with one key. A new consumer is known to it only after the first pull, which
/// finds nobody: so a cluster may be.
fn late_server(listener: &TcpListener) {
    let (mut to, _) = listener.accept().unwrap();
    let mut from = BufReader::new(to.try_clone().unwrap());
    let info = r#"{"server_id":"late","host":"127.0.0.1","port":4222,"version":"2.15.0","go":"","client_id":1,"proto":1,"headers":true,"max_payload":65536}"#;
    to.write_all(format!("INFO {info}\r\n").as_bytes()).unwrap();
    let (mut listeners, mut asked, mut line) = (Vec::new(), Vec::new(), String::new());
    while from.read_line(&mut line).is_ok_and(|count| count > 0) {
        let words: Vec<String> = line.split_whitespace().map(str::to_owned).collect();
        line.clear();
        match words[0].as_str() {
            "PING" => to.write_all(b"PONG\r\n").unwrap(),
            "SUB" => listeners.push((words[1].trim_end_matches('*').to_owned(), words[2].clone())),
            "PUB" => {
                let mut body = vec![0; words[3].parse::<usize>().unwrap() + 2];
                from.read_exact(&mut body).unwrap();
                let (verb, inbox) = (words[1].split('.').nth(4).unwrap().to_owned(), &words[2]);
                let sid = &listeners.iter().find(|(prefix, _)| inbox.starts_with(prefix)).unwrap().1;
                let message = |body: &str| format!("MSG {inbox} {sid} {}\r\n{body}\r\n", body.len());
                let pulled = asked.contains(&verb);
                let answer = match verb.as_str() {
                    "DELETE" => message(r#"{"success":true}"#),
                    "CREATE" => message(r#"{"num_pending":1,"delivered":{"consumer_seq":0}}"#),
                    "MSG" if pulled => {
                        format!("MSG {inbox} {sid} $JS.ACK.KV_b.reader.1.7.1.17.0 5\r\nvalue\r\n")
                    }
                    "MSG" => format!("HMSG {inbox} {sid} 16 16\r\nNATS/1.0 503\r\n\r\n\r\n"),
                    other => panic!("{other} is asked"),
                };
                asked.push(verb);
                to.write_all(answer.as_bytes()).unwrap();
            }
            _ => {}
        }
    }
}

#[test]
fn a_pull_that_finds_nobody_since_its_consumer_is_that_new_is_sent_again() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("nats://{}", listener.local_addr().unwrap());
    // It ends with the tests: the client's socket outlives the client.
    std::thread::spawn(move || late_server(&listener));
    let found = read(&stream_at(url), "$KV.b.key", From::LastPerSubject).unwrap();
    assert_eq!((found.len(), found[0].sequence, found[0].payload.as_slice()), (1, 7, &b"value"[..]));
}

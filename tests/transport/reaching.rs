//! Getting in, being kept out, and learning that it is over: all of it within bounds.

use std::net::TcpListener;
use std::sync::mpsc::channel;
use std::time::Duration;

use leafcron::nats::{Auth, Connection, NatsError, Settings, Trouble};

use super::reading::settings;
use super::servers::identity::Identity;
use super::servers::{Hub, Line, Server, certificates, free_port};

const WITHIN: Duration = Duration::from_secs(5);

fn connect(settings: &Settings) -> Result<Connection, NatsError> {
    Connection::connect(settings, WITHIN, |_| {})
}

fn refused(settings: &Settings) -> NatsError {
    match connect(settings) {
        Ok(_) => panic!("let in with {settings:?}"),
        Err(error) => error,
    }
}

#[test]
fn nobody_there_and_a_server_that_says_nothing_are_told_in_time() {
    let nobody = refused(&settings(format!("nats://127.0.0.1:{}", free_port())));
    assert!(matches!(nobody, NatsError::Connect { .. }) && !nobody.is_final(), "{nobody:?}");
    let silent = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("nats://{}", silent.local_addr().unwrap());
    let told = Connection::connect(&settings(url), Duration::from_millis(300), |_| {}).err().unwrap();
    assert!(matches!(told, NatsError::TimedOut { .. }), "{told:?}");
}

#[test]
fn a_server_that_says_nothing_keeps_nobody_from_the_next_one() {
    let silent = TcpListener::bind("127.0.0.1:0").unwrap();
    let (first, server) = (format!("nats://{}", silent.local_addr().unwrap()), Server::plain(""));
    let both = Settings { servers: vec![first, server.url()], ..settings(server.url()) };
    let connection = Connection::connect(&both, Duration::from_secs(2), |_| {}).unwrap();
    assert_eq!(connection.server(), server.url());
    let nobody = format!("nats://127.0.0.1:{}", free_port());
    let (wanted, auth) = (Server::plain("authorization { token: secret }"), Auth::Token("wrong".to_owned()));
    let neither = Settings { servers: vec![wanted.url(), nobody], auth, ..both };
    let error = refused(&neither);
    assert!(!error.is_final(), "the other may come back: {error:?}");
}

#[test]
fn each_way_to_say_who_one_is_opens_the_door_and_a_wrong_word_is_final() {
    let pair = nkeys::KeyPair::new_user();
    let ways = [
        (
            "authorization { user: pi, password: secret }".to_owned(),
            Auth::Password("pi".to_owned(), "secret".to_owned()),
        ),
        ("authorization { token: secret }".to_owned(), Auth::Token("secret".to_owned())),
        (
            format!("authorization {{ users: [ {{ nkey: {} }} ] }}", pair.public_key()),
            Auth::Nkey(pair.seed().unwrap()),
        ),
    ];
    for (config, auth) in ways {
        let server = Server::plain(&config);
        let good = Settings { auth, ..settings(server.url()) };
        let connection = connect(&good).unwrap_or_else(|error| panic!("{config}: {error:?}"));
        let inbox = connection.new_inbox();
        let messages = connection.subscribe(&inbox, 1).unwrap();
        connection.publish(&inbox, None, &[], b"x").unwrap();
        assert!(messages.next(WITHIN).unwrap().is_some());
        for auth in [Auth::None, Auth::Password("pi".to_owned(), "wrong".to_owned())] {
            let wrong = refused(&Settings { auth, ..settings(server.url()) });
            assert!(wrong.is_final(), "{config}: {wrong:?}");
            assert!(!format!("{wrong:?}").contains("wrong"), "no secret in an error");
        }
    }
    let bad =
        Settings { auth: Auth::Creds("nonsense".to_owned()), ..settings("nats://127.0.0.1:1".to_owned()) };
    assert!(matches!(refused(&bad), NatsError::Settings(_)));
}

#[test]
fn a_creds_file_opens_the_door_of_its_account_and_a_strangers_is_final() {
    let identity = Identity::new();
    let server = Server::plain(&identity.config());
    let known = |creds: String| Settings { auth: Auth::Creds(creds), ..settings(server.url()) };
    let connection =
        connect(&known(identity.creds().0)).unwrap_or_else(|error| panic!("{error:?}: {}", server.log()));
    let nobody = connection.request("nobody.here", &[], b"", WITHIN);
    assert!(matches!(nobody, Err(NatsError::NoResponders { .. })), "{nobody:?}");
    let stranger = refused(&known(Identity::new().creds().0));
    assert!(stranger.is_final(), "{stranger:?}");
}

#[test]
fn tls_is_demanded_and_only_the_given_authority_is_believed() {
    let (ours, other) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    certificates(ours.path());
    certificates(other.path());
    let pem = |dir: &tempfile::TempDir, name: &str| std::fs::read(dir.path().join(name)).unwrap();
    let path = |name: &str| ours.path().join(name).display().to_string();
    let (cert, key, ca) = (path("cert.pem"), path("key.pem"), path("ca.pem"));
    let tls = Server::plain(&format!("tls {{ cert_file: {cert:?}, key_file: {key:?} }}"));
    let secured = |ca: Vec<u8>| Settings { ca: Some(ca), ..settings(tls.url().replace("nats://", "tls://")) };
    let connection = connect(&secured(pem(&ours, "ca.pem"))).unwrap();
    assert!(!connection.is_plain());
    let stranger = refused(&secured(pem(&other, "ca.pem")));
    assert!(stranger.is_final(), "{stranger:?}");
    // A server that does not want to: the line could be read by anyone.
    let plain = Server::plain("");
    let stripped =
        Settings { ca: Some(pem(&ours, "ca.pem")), ..settings(plain.url().replace("nats://", "tls://")) };
    assert!(matches!(refused(&stripped), NatsError::Connect { .. } | NatsError::TimedOut { .. }));
    // Both ends show a certificate.
    let verify = format!("tls {{ cert_file: {cert:?}, key_file: {key:?}, ca_file: {ca:?}, verify: true }}");
    let mutual = Server::plain(&verify);
    let url = mutual.url().replace("nats://", "tls://");
    let known = Settings {
        ca: Some(pem(&ours, "ca.pem")),
        client: Some((pem(&ours, "cert.pem"), pem(&ours, "key.pem"))),
        ..settings(url)
    };
    assert!(connect(&known).is_ok());
    let unknown = refused(&Settings { client: None, ..known });
    assert!(unknown.is_final(), "{unknown:?}");
}

#[test]
fn the_end_of_a_connection_is_told_once_and_everything_after_it_fails_at_once() {
    let mut hub = Hub::start();
    let (said, told) = channel();
    let connection = Connection::connect(&settings(hub.url()), WITHIN, move |trouble| {
        assert!(matches!(trouble, Trouble::Ended(_)));
        said.send(()).unwrap_or_default();
    })
    .unwrap();
    hub.kill();
    told.recv_timeout(WITHIN).unwrap();
    assert!(matches!(connection.publish("a", None, &[], b""), Err(NatsError::Closed(_))));
    assert!(matches!(connection.subscribe("a", 1), Err(NatsError::Closed(_))));
    hub.start_again();
    assert!(told.recv_timeout(Duration::from_millis(300)).is_err(), "it never comes back by itself");
}

#[test]
fn what_would_end_the_connection_is_refused_before_it_is_sent() {
    let server = Server::plain("max_payload: 4096\n");
    let connection = connect(&settings(server.url())).unwrap();
    let large = connection.publish("a", None, &[], &[0; 5_000]);
    assert!(matches!(large, Err(NatsError::TooLarge { bytes: 5_000, most: 4_096 })), "{large:?}");
    assert!(connection.publish("a b", None, &[], b"").is_err());
    assert!(connection.publish("a", None, &[("X", "1\r\nPUB b 0")], b"").is_err());
    let nobody = connection.request("nobody.here", &[], b"", WITHIN);
    assert!(matches!(nobody, Err(NatsError::NoResponders { .. })), "{nobody:?}");
}

#[test]
fn a_line_that_carries_nothing_holds_no_publisher_for_ever() {
    let server = Server::plain("");
    let line = Line::to(server.address());
    let connection = connect(&settings(format!("nats://{}", line.address()))).unwrap();
    line.stall();
    let asked = connection.request("a", &[], b"", Duration::from_millis(200));
    assert!(matches!(asked, Err(NatsError::TimedOut { .. })), "{asked:?}");
    line.join();
    let asked = connection.request("a", &[], b"", WITHIN);
    assert!(matches!(asked, Err(NatsError::NoResponders { .. })), "{asked:?}");
}

#[test]
fn an_answer_that_comes_late_is_not_taken_for_that_of_the_next_question() {
    let server = Server::plain("");
    let connection = connect(&settings(server.url())).unwrap();
    let asked = connection.subscribe("ask", 8).unwrap();
    let late = connection.request("ask", &[], b"1", Duration::from_millis(50));
    assert!(matches!(late, Err(NatsError::TimedOut { .. })), "{late:?}");
    let first = asked.next(WITHIN).unwrap().unwrap();
    let answering = std::thread::spawn({
        let connection = connection.clone();
        move || {
            let second = asked.next(WITHIN).unwrap().unwrap();
            // They come first, and then the one that counts.
            for _ in 0..6 {
                connection.publish(first.reply.as_deref().unwrap(), None, &[], b"late").unwrap();
            }
            connection.publish(second.reply.as_deref().unwrap(), None, &[], b"right").unwrap();
        }
    });
    let answer = connection.request("ask", &[], b"2", WITHIN).unwrap();
    assert_eq!(answer.payload, b"right");
    answering.join().unwrap();
    // What came for the first question after the second waits in nobody's way.
    assert!(matches!(connection.request("nobody", &[], b"", WITHIN), Err(NatsError::NoResponders { .. })));
}

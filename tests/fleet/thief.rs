//! Whoever has the secret of the device `evil`, or of its leaf node, and what is tried with it against the device `pi`.

use std::cell::{Cell, RefCell};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use serde_json::{Value, json};

use super::device::wait_for;
use super::rig::{Fleet, stock};

/// An answer that has not come after this was not given: of those that are, each comes in a few milliseconds.
const PATIENCE: Duration = Duration::from_millis(700);
const LOOK: Duration = Duration::from_millis(10);

pub(super) struct Thief {
    client: nats::Connection,
    /// What its server said that it may not.
    told: Arc<Mutex<Vec<String>>>,
    /// Listens at the hub, with every right.
    spy: nats::Subscription,
    hub: nats::Connection,
    asked: Cell<u32>,
    listening: RefCell<Vec<nats::Subscription>>,
}

/// One thing that must not work.
pub(super) struct Attempt {
    pub(super) what: &'static str,
    /// Does it, and tells whether it worked.
    does: fn(&Thief, &Fleet) -> bool,
}

impl Thief {
    pub(super) fn new(url: &str, fleet: &Fleet) -> Self {
        let told = Arc::new(Mutex::new(Vec::new()));
        let heard = Arc::clone(&told);
        let options = nats::Options::with_user_pass("evil", "evil-secret");
        let options = options.error_callback(move |error| heard.lock().unwrap().push(error.to_string()));
        let hub = nats::Options::new().connect(fleet.hub.url()).unwrap();
        let thief = Self {
            client: options.connect(url).unwrap(),
            told,
            spy: hub.subscribe(">").unwrap(),
            hub,
            asked: Cell::new(0),
            listening: RefCell::default(),
        };
        wait_for("its leaf node has joined", || thief.api("STREAM.INFO.KV_leafcron-jobs", &json!(null)));
        thief
    }

    /// Whether it works.
    pub(super) fn tries(&self, attempt: &Attempt, fleet: &Fleet) -> bool {
        (attempt.does)(self, fleet)
    }

    /// Has what it put as its own state delivered by the stream to another subject.
    pub(super) fn has_its_state_delivered(&self, value: &str, to: &str) {
        assert!(self.ask("$JS.hub.API.$KV.leafcron-state.evil.job", value).is_some());
        let spied = || core::iter::from_fn(|| self.spy.try_next());
        let filter = "$KV.leafcron-state.evil.*";
        let config =
            json!({"name": "evil", "ack_policy": "none", "filter_subject": filter, "deliver_subject": to});
        let body = json!({"stream_name": "KV_leafcron-state", "config": config});
        let made = self.api(&format!("CONSUMER.CREATE.KV_leafcron-state.evil.{filter}"), &body);
        assert!(made.is_some());
        wait_for("the stream has delivered it", || {
            spied()
                .any(|message| message.reply.is_some_and(|reply| reply.starts_with("$JS.ACK.")))
                .then_some(())
        });
    }

    /// Publishes in its own name under this id.
    pub(super) fn takes_the_id(&self, id: &str) {
        let headers: nats::HeaderMap = [("Nats-Msg-Id", id)].into_iter().collect();
        let inbox = self.inbox();
        let answers = self.client.subscribe(&inbox).unwrap();
        let subject = "leafcron.run.evil.id";
        self.client.publish_with_reply_or_headers(subject, Some(&inbox), Some(&headers), "{}").unwrap();
        let answer = String::from_utf8(answers.next_timeout(Duration::from_secs(10)).unwrap().data).unwrap();
        assert!(answer.contains("\"seq\"") && !answer.contains("duplicate"), "{answer}");
    }

    /// What is its own to do: were it not, nothing would be shown by what it cannot do.
    pub(super) fn does_what_it_may(&self) {
        let own = "CONSUMER.CREATE.KV_leafcron-jobs.evil.$KV.leafcron-jobs.agent.evil.>";
        let body = json!({"stream_name": "KV_leafcron-jobs", "config": {"name": "evil", "ack_policy": "none",
            "filter_subject": "$KV.leafcron-jobs.agent.evil.>"}});
        assert!(self.api(own, &body).is_some());
        assert!(self.ask("$JS.hub.API.$KV.leafcron-state.evil.job", "{}").is_some());
        assert!(self.ask("leafcron.run.evil.job", "{}").is_some());
    }

    fn inbox(&self) -> String {
        self.asked.set(self.asked.get() + 1);
        format!("_INBOX.evil.{}", self.asked.get())
    }

    /// The first answer, as text; `None`: the server said that it may not, or nobody answered.
    fn ask(&self, subject: &str, body: &str) -> Option<String> {
        let inbox = self.inbox();
        let answers = self.client.subscribe(&inbox).unwrap();
        self.client.publish_request(subject, &inbox, body).unwrap();
        let mut waited = Duration::ZERO;
        while waited < PATIENCE && !self.told(subject) {
            if let Ok(answer) = answers.next_timeout(LOOK) {
                let is_503 = answer.headers.as_ref().is_some_and(|headers| headers.get("Status").is_some());
                return (!is_503).then(|| String::from_utf8(answer.data).unwrap());
            }
            waited += LOOK;
        }
        None
    }

    fn told(&self, subject: &str) -> bool {
        let quoted = format!("\"{subject}\"");
        self.told.lock().unwrap().iter().any(|said| said.contains(&quoted))
    }

    /// What JetStream answers that is no error.
    fn api(&self, verb: &str, body: &Value) -> Option<String> {
        let body = if body.is_null() { String::new() } else { body.to_string() };
        self.ask(&format!("$JS.hub.API.{verb}"), &body).filter(|answer| !answer.contains("\"error\""))
    }

    /// Whether a consumer can be made by this verb that would be given this.
    fn consumer(&self, verb: &str, stream: &str, filter: &str, more: &Value) -> bool {
        let mut config = json!({"ack_policy": "none", "filter_subject": filter});
        config.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        let made = self.api(verb, &json!({"stream_name": stream, "config": config}));
        made.is_some_and(|made| {
            // The next attempt's may have its name.
            let made: Value = serde_json::from_str(&made).unwrap();
            let name = made["name"].as_str().unwrap();
            self.hub.request(&format!("$JS.API.CONSUMER.DELETE.{stream}.{name}"), "").unwrap();
            made["num_pending"].as_u64() > Some(0)
        })
    }

    /// Whether what it publishes arrives at the hub.
    fn arrives(&self, subject: &str, body: &str) -> bool {
        self.client.publish_request(subject, "_INBOX.evil.nowhere", body).unwrap();
        self.has_passed();
        while let Some(message) = self.spy.try_next() {
            if message.subject == subject {
                return true;
            }
        }
        false
    }

    /// Waits until all that it sent is beyond the hub's door, or kept out: what is sent last on a line comes last.
    fn has_passed(&self) {
        self.asked.set(self.asked.get() + 1);
        let mark = format!("leafcron.run.evil.mark-{}", self.asked.get());
        assert!(self.ask(&mark, "{}").is_some(), "its own name is its own");
        self.hub.flush().unwrap();
    }

    /// Whether it gets to hear what is published at the hub there.
    fn hears(&self, subject: &str, published: &str) -> bool {
        let heard = self.client.subscribe(subject).unwrap();
        self.client.flush().unwrap();
        let mut waited = Duration::ZERO;
        // Interest takes a moment to the hub.
        while waited < PATIENCE && !self.told(subject) {
            self.hub.publish(published, "hush").unwrap();
            if heard.next_timeout(LOOK).is_ok() {
                return true;
            }
            waited += LOOK;
        }
        // An interest that is not known yet is not forgotten.
        self.listening.borrow_mut().push(heard);
        false
    }
}

/// Whether a key of a bucket says this now.
fn says(fleet: &Fleet, bucket: &str, key: &str, value: Option<&[u8]>) -> bool {
    stock(&fleet.hub).key_value(bucket).unwrap().get(key).unwrap().as_deref() == value
}

/// Puts, and tells whether the bucket has taken it: it said so, or the key says it.
fn puts(thief: &Thief, fleet: &Fleet, subject: &str, bucket: &str, key: &str) -> bool {
    let value = format!("of evil by {subject}");
    let taken = thief.ask(subject, &value).is_some_and(|answer| answer.contains("\"seq\""));
    thief.has_passed();
    // Behind whatever is on its way into that stream.
    stock(&fleet.hub).key_value(bucket).unwrap().put("mark", "x").unwrap();
    // The device says its own again soon.
    taken || says(fleet, bucket, key, Some(value.as_bytes()))
}

/// A stream that answers has it.
fn publishes(thief: &Thief, subject: &str) -> bool {
    thief.ask(subject, r#"{"of":"evil"}"#).is_some_and(|answer| answer.contains("\"seq\""))
}

/// Asks something that is its own to ask, to be answered at another's subject; whether that stream has taken the answer.
fn answered_at(thief: &Thief, fleet: &Fleet, stream: &str, subject: &str) -> bool {
    let before = fleet.info(stream)["state"]["last_seq"].as_u64();
    for asked in ["STREAM.INFO.KV_leafcron-jobs", "$KV.leafcron-state.evil"] {
        thief.client.publish_request(&format!("$JS.hub.API.{asked}"), subject, "{}").unwrap();
    }
    thief.has_passed();
    let taken = fleet.last_of(stream, subject);
    taken > before
}

const JOBS: &str = "KV_leafcron-jobs";
const OF_PI: &str = "$KV.leafcron-jobs.agent.pi.>";

/// A server does not ask whether whoever asks may publish where the answer goes.
pub(super) const THROUGH_ANSWERS: &[Attempt] = &[
    Attempt {
        what: "have an answer put in the place of another's definition",
        does: |thief, fleet| answered_at(thief, fleet, JOBS, "$KV.leafcron-jobs.agent.pi.answered"),
    },
    Attempt {
        what: "have an answer put in the place of another's state",
        does: |thief, fleet| answered_at(thief, fleet, "KV_leafcron-state", "$KV.leafcron-state.pi.answered"),
    },
    Attempt {
        what: "have an answer put as another's result",
        does: |thief, fleet| answered_at(thief, fleet, "leafcron-runs", "leafcron.run.pi.answered"),
    },
];

/// What destroys comes last.
pub(super) const ATTEMPTS: &[Attempt] = &[
    Attempt {
        what: "read another's definitions by a consumer of its own",
        does: |thief, _| {
            let verb = format!("CONSUMER.CREATE.{JOBS}.evil.{OF_PI}");
            thief.consumer(&verb, JOBS, OF_PI, &json!({"name": "evil"}))
        },
    },
    Attempt {
        what: "read another's definitions by a filter in the body alone",
        does: |thief, _| {
            thief.consumer(&format!("CONSUMER.CREATE.{JOBS}.evil"), JOBS, OF_PI, &json!({"name": "evil"}))
        },
    },
    Attempt {
        what: "read another's definitions by a consumer without a name",
        does: |thief, _| thief.consumer(&format!("CONSUMER.CREATE.{JOBS}"), JOBS, OF_PI, &json!({})),
    },
    Attempt {
        what: "read another's definitions by a durable consumer",
        does: |thief, _| {
            let durable = json!({"durable_name": "evil"});
            thief.consumer(&format!("CONSUMER.DURABLE.CREATE.{JOBS}.evil"), JOBS, OF_PI, &durable)
        },
    },
    Attempt {
        what: "read all definitions",
        does: |thief, _| {
            let verb = format!("CONSUMER.CREATE.{JOBS}.evil.$KV.leafcron-jobs.>");
            thief.consumer(&verb, JOBS, "$KV.leafcron-jobs.>", &json!({"name": "evil"}))
        },
    },
    Attempt {
        what: "read another's state",
        does: |thief, _| {
            let filter = "$KV.leafcron-state.pi.>";
            let verb = format!("CONSUMER.CREATE.KV_leafcron-state.evil.{filter}");
            thief.consumer(&verb, "KV_leafcron-state", filter, &json!({"name": "evil"}))
        },
    },
    Attempt {
        what: "read another's results",
        does: |thief, _| {
            let filter = "leafcron.run.pi.*";
            let verb = format!("CONSUMER.CREATE.leafcron-runs.evil.{filter}");
            thief.consumer(&verb, "leafcron-runs", filter, &json!({"name": "evil"}))
        },
    },
    Attempt {
        what: "get a message by its key",
        does: |thief, _| {
            let body = json!({"last_by_subj": "$KV.leafcron-jobs.agent.pi.job"});
            thief.api(&format!("STREAM.MSG.GET.{JOBS}"), &body).is_some()
        },
    },
    Attempt {
        what: "get a message directly by its key",
        does: |thief, _| {
            let verb = format!("DIRECT.GET.{JOBS}.$KV.leafcron-jobs.agent.pi.job");
            thief.api(&verb, &json!(null)).is_some_and(|value| value.contains("hush"))
        },
    },
    Attempt {
        what: "get a message directly by its number",
        does: |thief, _| thief.api(&format!("DIRECT.GET.{JOBS}"), &json!({"seq": 2})).is_some(),
    },
    Attempt {
        what: "hear another's results as they come",
        does: |thief, _| thief.hears("leafcron.run.>", "leafcron.run.pi.heard"),
    },
    Attempt {
        what: "hear another's commands, to answer them",
        does: |thief, _| thief.hears("leafcron.cmd.*", "leafcron.cmd.pi"),
    },
    Attempt {
        what: "hear what is answered to another",
        does: |thief, _| thief.hears("_INBOX.>", "_INBOX.pi.heard.1"),
    },
    Attempt {
        what: "hear of another's definitions",
        does: |thief, _| thief.hears("leafcron.job.agent.>", "leafcron.job.agent.pi.heard"),
    },
    Attempt {
        what: "put another's definition",
        does: |thief, fleet| {
            let subject = "$JS.hub.API.$KV.leafcron-jobs.agent.pi.put";
            puts(thief, fleet, subject, "leafcron-jobs", "agent.pi.put")
        },
    },
    Attempt {
        what: "put a definition of its own",
        does: |thief, fleet| {
            let subject = "$JS.hub.API.$KV.leafcron-jobs.agent.evil.job";
            puts(thief, fleet, subject, "leafcron-jobs", "agent.evil.job")
        },
    },
    Attempt {
        what: "put everybody's definition",
        does: |thief, fleet| {
            let subject = "$JS.hub.API.$KV.leafcron-jobs.group.all.job";
            puts(thief, fleet, subject, "leafcron-jobs", "group.all.job")
        },
    },
    Attempt {
        what: "make the bucket another",
        does: |thief, fleet| {
            let subject = "$JS.hub.API.$KV.leafcron-jobs.meta.id";
            puts(thief, fleet, subject, "leafcron-jobs", "meta.id")
        },
    },
    Attempt {
        what: "put another's heartbeat",
        does: |thief, fleet| puts(thief, fleet, "$JS.hub.API.$KV.leafcron-state.pi", "leafcron-state", "pi"),
    },
    Attempt {
        what: "put another's verdict",
        does: |thief, fleet| {
            puts(thief, fleet, "$JS.hub.API.$KV.leafcron-state.pi.job", "leafcron-state", "pi.job")
        },
    },
    Attempt {
        what: "publish a result in another's name",
        does: |thief, _| publishes(thief, "leafcron.run.pi.job"),
    },
    Attempt {
        what: "publish an event in another's name",
        does: |thief, _| publishes(thief, "leafcron.event.pi.started"),
    },
    Attempt {
        what: "command another",
        does: |thief, _| thief.ask("leafcron.cmd.pi", r#"{"verb":"status"}"#).is_some(),
    },
    Attempt { what: "forge a hint", does: |thief, _| thief.arrives("leafcron.job.agent.pi.job", "") },
    Attempt {
        what: "forge an answer or an acknowledgement",
        does: |thief, _| thief.arrives("_INBOX.pi.guessed.1", r#"{"stream":"leafcron-runs","seq":9}"#),
    },
    Attempt {
        what: "list what streams there are",
        does: |thief, _| thief.api("STREAM.NAMES", &json!(null)).is_some(),
    },
    Attempt {
        what: "make a stream of its own",
        does: |thief, _| {
            let body = json!({"name": "evil", "subjects": ["evil.>"]});
            thief.api("STREAM.CREATE.evil", &body).is_some()
        },
    },
    Attempt {
        what: "delete a message",
        does: |thief, _| {
            thief.api("STREAM.MSG.DELETE.leafcron-runs", &json!({"seq": 1, "no_erase": true})).is_some()
        },
    },
    Attempt {
        what: "change a stream",
        does: |thief, fleet| {
            let info = fleet.info("leafcron-runs");
            thief.api("STREAM.UPDATE.leafcron-runs", &info["config"]).is_some()
        },
    },
    Attempt {
        what: "purge the results",
        does: |thief, _| thief.api("STREAM.PURGE.leafcron-runs", &json!(null)).is_some(),
    },
    Attempt {
        what: "delete the bucket of definitions",
        does: |thief, _| thief.api(&format!("STREAM.DELETE.{JOBS}"), &json!(null)).is_some(),
    },
];

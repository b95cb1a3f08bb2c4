//! `leafcron hub permit`: the least that servers have to permit a device, ready to be pasted. Nobody is asked for it.

use leafcron::job::{AgentName, Name};
use leafcron::link::{ANSWERED_WITHIN, ANSWERS, Names, Permits, exports};
use leafcron::nats::verbs::Api;
use serde_json::{Map, Value, json};

use super::args::Reach;
use crate::answer::{Answer, Failure};

/// The hub's account with the buckets.
const BUCKETS: &str = "FLEET";
/// The hub's account of a leaf node.
const LEAF: &str = "LEAF";

/// A device's permissions.
struct Device<'a> {
    names: Names<'a>,
    at_leaf: Permits,
    at_hub: Permits,
}

pub(super) fn permit(
    agents: &[AgentName],
    groups: &[Name],
    reach: &Reach,
    as_json: bool,
) -> Result<Answer, Failure> {
    let domain = given_or(&reach.domain, "hub")?;
    let prefix = given_or(&reach.prefix, "leafcron")?;
    let all = given_or(&None, "all")?;
    let rest = (!groups.contains(&all)).then_some(all);
    let groups: Vec<Name> = groups.iter().cloned().chain(rest).collect();
    let devices: Vec<Device<'_>> = agents
        .iter()
        .map(|agent| {
            let names = Names { prefix: &prefix, agent, groups: &groups };
            let at_leaf = names.permits(Api::Domain(domain.as_str()));
            Device { names, at_leaf, at_hub: names.permits(Api::Own) }
        })
        .collect();
    let hub = accounts(&prefix, &devices);
    if as_json {
        let devices: Map<String, Value> = devices
            .iter()
            .map(|Device { names, at_leaf, at_hub }| {
                (names.agent.to_string(), json!({"at_leaf": value(at_leaf), "at_hub": value(at_hub)}))
            })
            .collect();
        return Answer::json(&json!({"agents": devices, "accounts": hub}));
    }
    let mut out = String::new();
    for Device { names, at_leaf, at_hub } in &devices {
        let agent = names.agent;
        out += &block(&format!("{agent} at its leaf node: the user as whom it connects there."), at_leaf);
        out += &block(
            &format!(
                "{agent} at the hub, where it connects to that itself: a user of the account {LEAF} below."
            ),
            at_hub,
        );
    }
    Ok(Answer::text(out + &text(&hub, &devices)))
}

fn given_or(given: &Option<Name>, else_this: &str) -> Result<Name, Failure> {
    match given {
        Some(name) => Ok(name.clone()),
        None => else_this.parse().map_err(|error| Failure::CannotAsk(format!("{else_this}: {error}"))),
    }
}

/// The hub's accounts: one that has the buckets, and one that is all that a leaf node of these devices sees of it.
fn accounts(prefix: &Name, devices: &[Device<'_>]) -> Value {
    let (mut imports, mut own, mut commands) = (Vec::new(), Vec::new(), Vec::new());
    let mut import = |kind: &str, subject: &str| {
        let one = json!({kind: {"account": BUCKETS, "subject": subject}});
        // What devices have in common is imported once.
        if !imports.contains(&one) {
            imports.push(one);
        }
    };
    for Device { names, at_hub, .. } in devices {
        at_hub.publish.iter().for_each(|subject| import("service", subject));
        at_hub.hints(names).for_each(|subject| import("stream", subject));
        own.push(json!({"service": names.commands(), "response_type": "stream"}));
        commands.push(json!({"service": {"account": LEAF, "subject": names.commands()}}));
    }
    let (services, streams) = exports(prefix);
    let services = services.iter().map(|subject| json!({"service": subject, "response_type": "stream"}));
    let all: Vec<Value> = services.chain(streams.iter().map(|subject| json!({"stream": subject}))).collect();
    json!({
        BUCKETS: {"jetstream": "enabled", "exports": all, "imports": commands},
        LEAF: {"exports": own, "imports": imports},
    })
}

/// The same as a person writes it, with a place for the users.
fn text(accounts: &Value, devices: &[Device<'_>]) -> String {
    let list = |account: &str, what: &str| {
        let lines = accounts.get(account).and_then(|account| account.get(what)).and_then(Value::as_array);
        let lines = lines.into_iter().flatten().map(|line| format!("      {line}\n"));
        format!("    {what}: [\n{}    ]\n", lines.collect::<String>())
    };
    let whom: Vec<&str> = devices.iter().map(|device| device.names.agent.as_str()).collect();
    let (exports, commands) = (list(BUCKETS, "exports"), list(BUCKETS, "imports"));
    let (own, imports) = (list(LEAF, "exports"), list(LEAF, "imports"));
    format!(
        "# At the hub, for the leaf node of {}, or for devices that connect there: an account of its own, and what that has of\n\
         # the account of the operator and the buckets. Each leaf node has a name of its own in place of {LEAF}; of {BUCKETS}\n\
         # there is one, with the imports of all. Without `no_auth_user`, nobody gets in who does not say who it is.\n\
         accounts: {{\n  {BUCKETS}: {{\n    jetstream: enabled\n    # users: [ {{ user: operator, password: \"…\" }} ]\n\
         {exports}{commands}  }}\n  {LEAF}: {{\n    # users: [ {{ user: leaf, password: \"…\" }} ]\n{own}{imports}  }}\n}}\n",
        whom.join(", ")
    )
}

/// As nats-server reads it, behind what it is for.
fn block(what_for: &str, permits: &Permits) -> String {
    let list = |name: &str, subjects: &[String]| {
        let lines: String = subjects.iter().map(|subject| format!("    {subject:?}\n")).collect();
        format!("  {name}: {{ allow: [\n{lines}  ] }}\n")
    };
    let (publish, subscribe) = (list("publish", &permits.publish), list("subscribe", &permits.subscribe));
    let answers = format!("  allow_responses: {{ max: {ANSWERS}, expires: {ANSWERED_WITHIN:?} }}\n");
    format!("# {what_for}\npermissions: {{\n{publish}{subscribe}{answers}}}\n\n")
}

/// The same as JSON, which nats-server reads too.
fn value(permits: &Permits) -> Value {
    json!({
        "publish": {"allow": permits.publish},
        "subscribe": {"allow": permits.subscribe},
        "allow_responses": {"max": ANSWERS, "expires": ANSWERED_WITHIN},
    })
}

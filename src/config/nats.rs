//! The table `[nats]`: how the device reaches the centre, and how far it trusts it.
//!
//! No refusal here repeats a value that may be a secret.

use core::fmt;
use core::time::Duration;
use std::path::PathBuf;

use serde_json::Value;

use super::host::{Host, User};
use super::read::name;
use crate::job::units::parse_duration;
use crate::job::{FieldError, FieldMap, Fields, Name};

/// Servers of one link.
const MAX_SERVERS: usize = 32;
/// Users of central definitions.
const MAX_USERS: usize = 64;
/// A device that says more would be a burden on a metered link, one that says less would count as silent for days.
const HEARTBEAT: core::ops::RangeInclusive<Duration> = Duration::from_secs(10)..=Duration::from_secs(86_400);

/// The link to the centre.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Nats {
    /// Where leaf nodes or servers listen, in order.
    pub servers: Vec<String>,
    /// The hub's JetStream domain.
    pub domain: Name,
    /// What every subject, bucket and stream begins with.
    pub prefix: Name,
    /// Whom central definitions may run as; the first is their default. Empty: the agent is not root, and they run as
    /// its own user.
    pub users: Vec<String>,
    /// Which jobs the centre may command.
    pub commands: Commands,
    /// How the link says who it is.
    pub auth: Auth,
    /// What certificates are trusted; `None`: the system's.
    pub ca: Option<PathBuf>,
    /// Certificate and key for mTLS.
    pub client: Option<(PathBuf, PathBuf)>,
    /// How often the device reports its state.
    pub heartbeat: Duration,
    /// Whose output is sent.
    pub send_output: SendOutput,
}

/// `commands`
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Commands {
    /// Those that came from it.
    Central,
    /// All.
    Any,
    /// None.
    None,
}

/// `send_output`
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SendOutput {
    /// Every record's.
    All,
    /// Of records that are not `succeeded`.
    Failures,
    /// Nobody's.
    None,
}

/// How the link says who it is.
#[derive(Clone, PartialEq, Eq)]
pub enum Auth {
    /// Not at all, or by its certificate.
    None,
    /// A `.creds` file: JWT and seed.
    Creds(PathBuf),
    /// A file with an nkey's seed.
    Nkey(PathBuf),
    /// A token.
    Token(String),
    /// A user and a password.
    Password(String, String),
}

/// Secrets are not shown.
impl fmt::Debug for Auth {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::None => f.write_str("None"),
            Self::Creds(path) => write!(f, "Creds({})", path.display()),
            Self::Nkey(path) => write!(f, "Nkey({})", path.display()),
            Self::Token(_) => f.write_str("Token(…)"),
            Self::Password(user, _) => write!(f, "Password({user}, …)"),
        }
    }
}

pub(super) fn parse(map: &FieldMap, host: &Host) -> Result<Nats, FieldError> {
    let mut fields = Fields::below("nats", map);
    let own = |text: &str| text.parse().expect("a lower-case word is a name");
    let nats = Nats {
        servers: fields.required("servers", |value| list(value, MAX_SERVERS, server))?,
        domain: fields.or("domain", own("hub"), name)?,
        prefix: fields.or("prefix", own("leafcron"), name)?,
        users: users(&mut fields, host)?,
        commands: fields.or("commands", Commands::Central, |value| {
            let words = [("central", Commands::Central), ("any", Commands::Any), ("none", Commands::None)];
            Fields::one_of(value, &words)
        })?,
        auth: auth(&mut fields)?,
        ca: fields.optional("ca", path)?,
        client: client(&mut fields)?,
        heartbeat: fields.or("heartbeat", Duration::from_secs(900), heartbeat)?,
        send_output: fields.or("send_output", SendOutput::All, |value| {
            let words =
                [("all", SendOutput::All), ("failures", SendOutput::Failures), ("none", SendOutput::None)];
            Fields::one_of(value, &words)
        })?,
    };
    fields.finish()?;
    Ok(nats)
}

fn users(fields: &mut Fields<'_>, host: &Host) -> Result<Vec<String>, FieldError> {
    let given = fields.optional("users", |value| list(value, MAX_USERS, Fields::command))?;
    match (given, &host.user) {
        (Some(users), User::Root) => Ok(users),
        (None, User::Root) => Ok(vec!["leafcron-job".to_owned()]),
        (None, User::Other { .. }) => Ok(Vec::new()),
        (Some(_), User::Other { .. }) => Err(FieldError::new(
            "nats.users",
            "this agent is not root and starts jobs as its own user only; leave it out",
        )),
    }
}

/// At most one way to say who it is.
fn auth(fields: &mut Fields<'_>) -> Result<Auth, FieldError> {
    let creds = fields.optional("creds", path)?.map(Auth::Creds);
    let nkey = fields.optional("nkey", path)?.map(Auth::Nkey);
    let token = fields.optional("token", secret)?.map(Auth::Token);
    let user = fields.optional("user", secret)?;
    let password = fields.optional("password", secret)?;
    let pair = match (user, password) {
        (Some(user), Some(password)) => Some(Auth::Password(user, password)),
        (Some(_), None) => return Err(FieldError::new("nats.user", "is given without `password`")),
        (None, Some(_)) => return Err(FieldError::new("nats.password", "is given without `user`")),
        (None, None) => None,
    };
    let mut given = [("creds", creds), ("nkey", nkey), ("token", token), ("user", pair)]
        .into_iter()
        .filter_map(|(name, auth)| auth.map(|auth| (name, auth)));
    match (given.next(), given.next()) {
        (None, _) => Ok(Auth::None),
        (Some((_, auth)), None) => Ok(auth),
        (Some((first, _)), Some((second, _))) => Err(FieldError::new(
            format!("nats.{second}"),
            format!("is given beside `{first}`; give one of creds, nkey, token, user and password"),
        )),
    }
}

fn client(fields: &mut Fields<'_>) -> Result<Option<(PathBuf, PathBuf)>, FieldError> {
    match (fields.optional("cert", path)?, fields.optional("key", path)?) {
        (Some(cert), Some(key)) => Ok(Some((cert, key))),
        (Some(_), None) => Err(FieldError::new("nats.cert", "is given without `key`")),
        (None, Some(_)) => Err(FieldError::new("nats.key", "is given without `cert`")),
        (None, None) => Ok(None),
    }
}

fn list<T>(value: &Value, most: usize, read: impl Fn(&Value) -> Result<T, String>) -> Result<Vec<T>, String> {
    let list = value.as_array().ok_or_else(|| "is not a list of texts".to_owned())?;
    if list.is_empty() || list.len() > most {
        return Err(format!("{} entries; 1 to {most} are allowed", list.len()));
    }
    list.iter().map(read).collect()
}

/// `tls://host:port` or `nats://host:port`; the port may be left out.
fn server(value: &Value) -> Result<String, String> {
    let text = value.as_str().ok_or_else(|| "is not a list of texts".to_owned())?;
    // Before anything is repeated: a URL may hold a password.
    if text.contains('@') {
        return Err(
            "a server with a password in it would be shown in `status`; use user and password".to_owned()
        );
    }
    let refuse = || format!("{text:?} is not a server; write \"tls://host:4222\" or \"nats://host:4222\"");
    let rest = text.strip_prefix("tls://").or_else(|| text.strip_prefix("nats://")).ok_or_else(refuse)?;
    let (host, port) = match rest.strip_prefix('[').and_then(|rest| rest.split_once(']')) {
        Some((address, port)) => {
            address.parse::<std::net::Ipv6Addr>().map_err(|_| refuse())?;
            (address, port.strip_prefix(':').or(port.is_empty().then_some("4222")))
        }
        None => rest.split_once(':').map_or((rest, Some("4222")), |(host, port)| (host, Some(port))),
    };
    let host_is_good =
        !host.is_empty() && host.bytes().all(|b| b.is_ascii_alphanumeric() || b".-_:".contains(&b));
    let port_is_good = port.is_some_and(|port| port.parse::<u16>().is_ok_and(|port| port > 0));
    if host_is_good && port_is_good { Ok(text.to_owned()) } else { Err(refuse()) }
}

fn path(value: &Value) -> Result<PathBuf, String> {
    Fields::absolute_path(value).map(PathBuf::from)
}

fn secret(value: &Value) -> Result<String, String> {
    match value.as_str() {
        Some(text) if !text.is_empty() => Ok(text.to_owned()),
        Some(_) => Err("is empty".to_owned()),
        None => Err("is not text; write it in quotes".to_owned()),
    }
}

fn heartbeat(value: &Value) -> Result<Duration, String> {
    let every = parse_duration(Fields::text(value)?)?;
    if HEARTBEAT.contains(&every) { Ok(every) } else { Err(format!("{value} is not in 10s-1d")) }
}

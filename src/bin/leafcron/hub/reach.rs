//! Which server, and as whom: from the command line, a context of the `nats` tool, or its environment, in this order.
//!
//! Source: the `nats` tool keeps a context as JSON in `$XDG_CONFIG_HOME/nats/context/<name>.json`, and the name of the
//! selected one in `$XDG_CONFIG_HOME/nats/context.txt`.

use std::fs;
use std::path::{Path, PathBuf};

use leafcron::nats::{Auth, Settings};
use serde::Deserialize;

use super::args::Reach;
use crate::answer::Failure;

/// The connection, and what is asked of it.
#[derive(Debug)]
pub(super) struct Way {
    pub(super) settings: Settings,
    pub(super) domain: String,
    pub(super) prefix: String,
}

/// A context: what it says is taken where the command line says nothing. Other fields are the tool's own.
#[derive(Debug, Default, Deserialize, PartialEq, Eq)]
#[serde(default)]
struct Context {
    url: String,
    user: String,
    password: String,
    token: String,
    creds: String,
    nkey: String,
    cert: String,
    key: String,
    ca: String,
    jetstream_domain: String,
}

/// A variable of the environment.
type Environment<'a> = &'a dyn Fn(&str) -> Option<String>;

/// Finds the way.
pub(super) fn find(reach: &Reach) -> Result<Way, Failure> {
    let env = |name: &str| std::env::var(name).ok().filter(|value| !value.is_empty());
    let home = env("XDG_CONFIG_HOME").or_else(|| Some(env("HOME")? + "/.config"));
    find_in(reach, &env, home.map(|home| PathBuf::from(home).join("nats")).as_deref())
}

fn find_in(reach: &Reach, env: Environment<'_>, contexts: Option<&Path>) -> Result<Way, Failure> {
    let named = reach.context.clone().or_else(|| env("NATS_CONTEXT"));
    // A server that is named here is not one of a context that somebody selected for other things.
    let alone = !reach.server.is_empty() || env("NATS_URL").is_some() && reach.context.is_none();
    let context = match (named, contexts) {
        (Some(name), Some(dir)) if reach.context.is_some() || !alone => read(dir, &name)?,
        (Some(name), None) if reach.context.is_some() => {
            return Err(Failure::CannotAsk(format!(
                "context {name}: neither XDG_CONFIG_HOME nor HOME is set"
            )));
        }
        (None, Some(dir)) if !alone => match fs::read_to_string(dir.join("context.txt")) {
            Ok(name) if !name.trim().is_empty() => read(dir, name.trim())?,
            _ => Context::default(),
        },
        _ => Context::default(),
    };
    let given = |text: &str| (!text.is_empty()).then(|| text.to_owned());
    let file = |own: &Option<PathBuf>, variable: &str, context: &str| {
        own.clone().or_else(|| given(context).or_else(|| env(variable)).map(PathBuf::from))
    };
    let urls = match reach.server.as_slice() {
        [] => given(&context.url).or_else(|| env("NATS_URL")).unwrap_or_default(),
        servers => servers.join(","),
    };
    let mut inside = None;
    let servers: Vec<String> = urls
        .split(',')
        .map(str::trim)
        .filter(|url| !url.is_empty())
        .map(|url| server(url, &mut inside))
        .collect();
    if servers.is_empty() {
        return Err(Failure::CannotAsk(
            "which hub? give --server nats://host:4222, or --context NAME, or set NATS_URL".to_owned(),
        ));
    }
    // Who one is comes from one place, the first that says anything of it: a secret of one place goes to no other.
    let own = Who {
        creds: reach.creds.clone(),
        nkey: reach.nkey.clone(),
        token: reach.token.clone(),
        user: reach.user.clone(),
        password: reach.password.clone().or_else(|| env("NATS_PASSWORD").filter(|_| reach.user.is_some())),
    };
    let theirs = Who {
        creds: given(&context.creds).map(PathBuf::from),
        nkey: given(&context.nkey).map(PathBuf::from),
        token: given(&context.token),
        user: given(&context.user),
        password: given(&context.password),
    };
    let around = Who {
        creds: env("NATS_CREDS").map(PathBuf::from),
        nkey: env("NATS_NKEY").map(PathBuf::from),
        token: env("NATS_TOKEN"),
        user: env("NATS_USER"),
        password: env("NATS_PASSWORD"),
    };
    let in_context = !context.url.is_empty();
    let first = [own, theirs].into_iter().find(Who::says_anything);
    let auth = match (first, inside) {
        (Some(who), _) => who.auth()?,
        (None, Some(inside)) => inside,
        // A context is complete: what the environment says belongs to other servers.
        (None, None) if in_context => Auth::None,
        (None, None) => around.auth()?,
    };
    let pem = |path: Option<PathBuf>| path.map(|path| read_bytes(&path)).transpose();
    let ca = pem(file(&reach.ca, "NATS_CA", &context.ca))?;
    let cert = pem(file(&reach.cert, "NATS_CERT", &context.cert))?;
    let key = pem(file(&reach.key, "NATS_KEY", &context.key))?;
    let name = |own: &Option<leafcron::job::Name>| own.as_ref().map(ToString::to_string);
    Ok(Way {
        settings: Settings { auth, ca, client: cert.zip(key), ..Settings::new(servers, "leafcron hub") },
        domain: name(&reach.domain)
            .or_else(|| given(&context.jetstream_domain))
            .unwrap_or_else(|| "hub".to_owned()),
        prefix: name(&reach.prefix).unwrap_or_else(|| "leafcron".to_owned()),
    })
}

/// What one place says of who one is.
struct Who {
    creds: Option<PathBuf>,
    nkey: Option<PathBuf>,
    token: Option<String>,
    user: Option<String>,
    password: Option<String>,
}

impl Who {
    fn says_anything(&self) -> bool {
        self.creds.is_some() || self.nkey.is_some() || self.token.is_some() || self.user.is_some()
    }

    fn auth(self) -> Result<Auth, Failure> {
        match self {
            Self { creds: Some(path), .. } => Ok(Auth::Creds(read_text(&path)?)),
            Self { nkey: Some(path), .. } => Ok(Auth::Nkey(read_text(&path)?.trim().to_owned())),
            Self { token: Some(token), .. } => Ok(Auth::Token(token)),
            Self { user: Some(user), password: Some(password), .. } => Ok(Auth::Password(user, password)),
            Self { user: Some(user), password: None, .. } => {
                Err(Failure::CannotAsk(format!("user {user} has no password: set NATS_PASSWORD")))
            }
            _ => Ok(Auth::None),
        }
    }
}

/// A server's URL without the user and the password in it, which are noted apart and never shown.
fn server(url: &str, inside: &mut Option<Auth>) -> String {
    let (scheme, rest) = url.split_once("://").unwrap_or(("nats", url));
    match rest.rsplit_once('@') {
        None => format!("{scheme}://{rest}"),
        Some((who, host)) => {
            *inside = Some(match who.split_once(':') {
                Some((user, password)) => Auth::Password(user.to_owned(), password.to_owned()),
                None => Auth::Token(who.to_owned()),
            });
            format!("{scheme}://{host}")
        }
    }
}

fn read(dir: &Path, name: &str) -> Result<Context, Failure> {
    if name.contains(['/', '\0']) || name == ".." {
        return Err(Failure::CannotAsk(format!("{name:?} is no name of a context")));
    }
    let path = dir.join("context").join(format!("{name}.json"));
    let text = read_text(&path)?;
    serde_json::from_str(&text).map_err(|error| {
        Failure::CannotAsk(format!("{}: is no context of the nats tool: {error}", path.display()))
    })
}

fn read_text(path: &Path) -> Result<String, Failure> {
    String::from_utf8(read_bytes(path)?)
        .map_err(|_| Failure::CannotAsk(format!("{} is not text", path.display())))
}

fn read_bytes(path: &Path) -> Result<Vec<u8>, Failure> {
    fs::read(path).map_err(|error| Failure::CannotAsk(format!("read {}: {error}", path.display())))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn contexts() -> tempfile::TempDir {
        let dir = tempfile::tempdir().unwrap();
        fs::create_dir(dir.path().join("context")).unwrap();
        let prod = r#"{"description":"x","url":"nats://a:1, nats://b:2","user":"u","password":"p","jetstream_domain":"centre","color_scheme":""}"#;
        fs::write(dir.path().join("context/prod.json"), prod).unwrap();
        fs::write(dir.path().join("context/odd.json"), "[]").unwrap();
        fs::write(dir.path().join("context.txt"), "prod\n").unwrap();
        dir
    }

    #[test]
    fn the_command_line_comes_first_then_the_context_then_the_environment() {
        let dir = contexts();
        let nothing = |_: &str| None;
        let way = find_in(&Reach::default(), &nothing, Some(dir.path())).unwrap();
        assert_eq!(way.settings.servers, ["nats://a:1", "nats://b:2"]);
        assert_eq!((way.domain.as_str(), way.prefix.as_str()), ("centre", "leafcron"));
        assert!(
            matches!(&way.settings.auth, Auth::Password(user, password) if user == "u" && password == "p")
        );
        // A server of one's own is asked with one's own words, not with those of another place.
        let own = || Reach { server: vec!["nats://c:3".to_owned()], ..Reach::default() };
        let way = find_in(&own(), &nothing, Some(dir.path())).unwrap();
        assert_eq!(
            (way.settings.servers.as_slice(), way.domain.as_str()),
            (&["nats://c:3".to_owned()][..], "hub")
        );
        assert!(matches!(way.settings.auth, Auth::None));
        let named = Reach { context: Some("prod".to_owned()), token: Some("t".to_owned()), ..own() };
        let way = find_in(&named, &nothing, Some(dir.path())).unwrap();
        assert!(matches!(&way.settings.auth, Auth::Token(token) if token == "t"));
        let creds = |name: &str| (name == "NATS_CREDS").then(|| "/gone".to_owned());
        let way = find_in(&Reach::default(), &creds, Some(dir.path())).unwrap();
        assert!(matches!(way.settings.auth, Auth::Password(..)), "the context's own, not the environment's");
        assert!(find_in(&own(), &creds, None).is_err(), "without a context the environment counts");
        let env = |name: &str| (name == "NATS_URL").then(|| "nats://user:hush@e:4".to_owned());
        let way = find_in(&Reach::default(), &env, Some(dir.path())).unwrap();
        assert_eq!(way.settings.servers, ["nats://e:4"]);
        assert!(matches!(&way.settings.auth, Auth::Password(_, word) if word == "hush"));
        assert!(!format!("{:?}", way.settings).contains("hush"), "no secret is shown");
    }

    #[test]
    fn what_is_missing_is_named() {
        let dir = contexts();
        let nothing = |_: &str| None;
        let find = |reach: &Reach, dir| find_in(reach, &nothing, dir).err();
        assert!(
            matches!(find(&Reach::default(), None), Some(Failure::CannotAsk(why)) if why.contains("--server"))
        );
        for name in ["gone", "odd", "../context"] {
            let reach = Reach { context: Some(name.to_owned()), ..Reach::default() };
            assert!(matches!(find(&reach, Some(dir.path())), Some(Failure::CannotAsk(_))), "{name}");
        }
        let user = Reach { server: vec!["h".to_owned()], user: Some("u".to_owned()), ..Reach::default() };
        assert!(matches!(find(&user, None), Some(Failure::CannotAsk(why)) if why.contains("NATS_PASSWORD")));
    }
}

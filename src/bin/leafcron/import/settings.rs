//! What the settings of a crontab come to for the lines below them.

use std::collections::BTreeMap;
use std::rc::Rc;

use leafcron::job::limits;

use super::finding::Kind;
use super::line::shortened;

/// Where cron looks for commands, of a crontab that does not say.
const PATH: &str = "/usr/bin:/bin";
/// cron's shell and leafcron's.
pub(super) const SHELL: &str = "/bin/sh";

/// What holds for the next line.
#[derive(Clone, Debug)]
pub(super) struct Settings {
    /// For the command. Values are shared: many jobs have the same.
    pub(super) env: BTreeMap<Rc<str>, Rc<str>>,
    /// `SHELL`, unless it is [`SHELL`].
    pub(super) shell: Option<Rc<str>>,
    /// `HOME`: there the command starts.
    pub(super) home: Option<Rc<str>>,
    /// `CRON_TZ`.
    pub(super) time_zone: Option<Rc<str>>,
    /// `RANDOM_DELAY`, in minutes, not 0.
    pub(super) delay_mins: Option<u16>,
    /// `MAILTO`, if cron would send anything there.
    pub(super) mail_to: Option<Rc<str>>,
}

/// What there is to say of a setting.
pub(super) type Remark = Option<(Kind, String)>;

impl Settings {
    /// Before the first line.
    pub(super) fn new() -> Self {
        Self {
            env: BTreeMap::from([("PATH".into(), PATH.into())]),
            shell: None,
            home: None,
            time_zone: None,
            delay_mins: None,
            mail_to: None,
        }
    }

    /// From here on.
    pub(super) fn set(&mut self, name: &str, value: &str) -> Remark {
        let some = |value: &str| Some(value).filter(|value| !value.is_empty()).map(Rc::from);
        match name {
            "CRON_TZ" => {
                self.time_zone = some(value);
                changed(
                    "becomes `time_zone`, as cronie takes it, and the commands' TZ too where the crontab sets none; \
                     Debian's cron goes by the machine's zone whatever it says",
                )
            }
            "RANDOM_DELAY" => self.random_delay(value),
            "MAILTO" => self.mail(value),
            "MAILFROM" | "CONTENT_TYPE" | "CONTENT_TRANSFER_ENCODING" => changed(
                "is about cron's mail with the output, which is kept in the history instead; left out",
            ),
            "LOGNAME" => {
                Some((Kind::PassedOver, "cron lets no crontab set it: it is the job's user".to_owned()))
            }
            "MLS_LEVEL" | "SELINUX_ROLE_TYPE" => {
                let reason =
                    "an SELinux context cannot be given to a job; let the command ask for it (runcon)";
                Some((Kind::NotCarried, reason.to_owned()))
            }
            name => self.variable(name, value),
        }
    }

    /// What a command sees of it; what leafcron sets just so is left out.
    pub(super) fn env_for_commands(&self) -> BTreeMap<Rc<str>, Rc<str>> {
        let given = |(name, value): &(&Rc<str>, &Rc<str>)| !(***name == *"SHELL" && ***value == *SHELL);
        self.env.iter().filter(given).map(|(name, value)| (name.clone(), value.clone())).collect()
    }

    fn variable(&mut self, name: &str, value: &str) -> Remark {
        if !self.env.contains_key(name) && self.env.len() == limits::ENV_VARS {
            let reason = format!("at most {} variables are allowed", limits::ENV_VARS);
            return Some((Kind::NotCarried, reason));
        }
        let value: Rc<str> = value.into();
        self.env.insert(name.into(), value.clone());
        match name {
            "SHELL" => {
                self.shell = Some(value).filter(|shell| **shell != *SHELL);
                None
            }
            "USER" => changed(
                "is passed on, as by Debian's cron; cronie sets it to the job's user whatever a crontab says",
            ),
            "HOME" if value.starts_with('/') => {
                self.home = Some(value);
                None
            }
            "HOME" => {
                self.home = None;
                changed("is no absolute path: commands see it and start in their user's home")
            }
            _ => None,
        }
    }

    fn random_delay(&mut self, value: &str) -> Remark {
        match value.parse::<u16>() {
            Ok(mins) => {
                self.delay_mins = Some(mins).filter(|mins| *mins > 0);
                self.delay_mins?;
                changed("becomes `splay`: drawn once for this device and job, not at each start of cron")
            }
            Err(_) => {
                self.delay_mins = None;
                let reason = format!("{:?} is no number of minutes", shortened(value));
                Some((Kind::NotCarried, reason))
            }
        }
    }

    fn mail(&mut self, value: &str) -> Remark {
        self.mail_to = None;
        if value.is_empty() {
            return None;
        }
        if !is_address(value) {
            let value = shortened(value);
            let reason = format!(
                "cron sends nothing to {value:?}: letters, digits and @!:%-.,_+ are allowed, no blanks"
            );
            return Some((Kind::PassedOver, reason));
        }
        self.mail_to = Some(value.into());
        changed(
            "cron mails whatever a command prints; `on_failure` mails when a run does not succeed, and `leafcron \
             history --output` has what it printed",
        )
    }
}

fn changed(reason: &str) -> Remark {
    Some((Kind::Changed, reason.to_owned()))
}

/// What cron lets an address be: nothing that a mail program could take for an option or a command.
fn is_address(text: &str) -> bool {
    text.starts_with(|c: char| c.is_ascii_alphanumeric())
        && text.chars().all(|c| c.is_ascii_alphanumeric() || "@!:%-.,_+".contains(c))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_that_cron_refuses_gets_no_mail() {
        for good in ["root", "a@b.example", "a,b", "a+c@b"] {
            assert!(is_address(good), "{good}");
        }
        for bad in ["-oQ/tmp", "a b", "a;b", "", "a@b, c@d", "é"] {
            assert!(!is_address(bad), "{bad}");
        }
        let mut settings = Settings::new();
        settings.set("MAILTO", "root");
        assert!(settings.mail_to.is_some());
        assert_eq!(settings.set("MAILTO", "-x").map(|(kind, _)| kind), Some(Kind::PassedOver));
        assert_eq!(settings.mail_to, None, "the one before holds no longer");
        assert_eq!(settings.set("MAILTO", ""), None);
    }

    #[test]
    fn variables_are_bounded_and_the_last_value_counts() {
        let mut settings = Settings::new();
        for n in 0..300 {
            let said = settings.set(&format!("V{n}"), "1");
            assert_eq!(said.is_some(), n >= 255, "{n}");
        }
        assert_eq!(settings.set("PATH", "/x"), None);
        assert_eq!(settings.env.get("PATH").map(|path| &**path), Some("/x"));
    }

    #[test]
    fn a_delay_is_minutes_and_nothing_lifts_it() {
        let mut settings = Settings::new();
        assert_eq!(settings.set("RANDOM_DELAY", "45").map(|(kind, _)| kind), Some(Kind::Changed));
        assert_eq!(settings.delay_mins, Some(45));
        assert_eq!(settings.set("RANDOM_DELAY", "0"), None);
        assert_eq!(settings.delay_mins, None);
        assert_eq!(settings.set("RANDOM_DELAY", "soon").map(|(kind, _)| kind), Some(Kind::NotCarried));
    }
}

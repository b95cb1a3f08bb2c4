//! What is in force, through reloads, mistakes and restarts.

#![expect(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    reason = "the helpers of tests may panic as the tests do"
)]

use std::collections::BTreeMap;

use leafcron::catalog::{AgentUser, Catalog, Change, Changes, Rules};
use leafcron::job::{
    CronJob, Entry, FieldMap, Image, JobName, JobsFile, Reloaded, Revision, Source, Warning, limits, text,
};
use leafcron::schedule::Zone;

/// The same cases in every run: a change is judged by itself. More of them, `PROPTEST_CASES` or another seed, are for
/// whoever looks for trouble.
const SEED: proptest::test_runner::RngSeed = proptest::test_runner::RngSeed::Fixed(0x1eaf_c407);

fn rules() -> Rules {
    Rules {
        defaults: FieldMap::new(),
        zone: Zone::named("UTC"),
        user: AgentUser::Root { exists: |user| user == "root" || user == "pi" },
        groups: Vec::new(),
        centre: None,
    }
}

fn name(text: &str) -> JobName {
    text.parse().unwrap()
}

fn good(name: &str, text: &str) -> JobsFile {
    JobsFile { name: name.to_owned(), text: Ok(text.to_owned()) }
}

fn unread(name: &str) -> JobsFile {
    JobsFile { name: name.to_owned(), text: Err("can be written by others".to_owned()) }
}

fn job(name: &str, command: &str) -> String {
    format!("[job.{name}]\nschedule = \"@daily\"\ncommand = \"{command}\"\n")
}

/// A catalog, and the image that its entries add up to.
struct World {
    catalog: Catalog,
    image: Image,
}

impl World {
    fn new() -> Self {
        Self { catalog: Catalog::new(rules()), image: Image::default() }
    }

    fn load(&mut self, files: &[JobsFile]) -> Changes {
        let changes = self.catalog.load_files(files.to_vec());
        changes.entries.iter().for_each(|entry| self.image.apply(entry));
        changes
    }

    fn restart(&mut self, rules: Rules) {
        self.catalog = Catalog::new(rules);
        self.catalog.restore(self.image.definitions.clone());
    }

    /// job, file, command
    fn in_force(&self) -> Vec<(String, String, String)> {
        let row = |(job, in_force): (&JobName, leafcron::catalog::InForce<'_>)| {
            let Source::File(file) = in_force.source else { panic!("{:?}", in_force.source) };
            let fields = text::parse(in_force.text).unwrap();
            assert_eq!(in_force.revision, Revision::of(in_force.text));
            assert_eq!(self.catalog.in_force(job), Some(in_force));
            assert!(self.catalog.cronjob(job).is_some());
            (job.to_string(), file.clone(), fields["command"].as_str().unwrap().to_owned())
        };
        self.catalog.jobs().map(row).collect()
    }

    fn rows(&self) -> Vec<String> {
        self.catalog.refused().iter().map(ToString::to_string).collect()
    }
}

fn rows(expected: &[(&str, &str, &str)]) -> Vec<(String, String, String)> {
    expected.iter().map(|(a, b, c)| ((*a).to_owned(), (*b).to_owned(), (*c).to_owned())).collect()
}

fn changed(changes: &Changes) -> Vec<(&str, bool)> {
    changes.changed.iter().map(|Change { job, now }| (job.as_str(), now.is_some())).collect()
}

fn is_idle(changes: &Changes) -> bool {
    changes.entries.is_empty() && changes.changed.is_empty() && changes.removed.is_empty()
}

#[test]
fn a_real_file_is_accepted_and_known_by_its_canonical_text() {
    let mut world = World::new();
    let file = good("10-backup.toml", include_str!("fixtures/jobs.d/10-backup.toml"));
    let changes = world.load(std::slice::from_ref(&file));
    assert_eq!(changes.rejected, []);
    assert_eq!(changes.accepted, [name("backup"), name("prune")]);
    assert_eq!(changed(&changes), [("backup", true), ("prune", true)]);
    let in_force = world.catalog.in_force(&name("prune")).unwrap();
    assert_eq!(in_force.text, r#"{"args":["restic","prune"],"schedule":"@weekly"}"#);
    assert_eq!(*in_force.source, Source::File("10-backup.toml".to_owned()));
    let cronjob: CronJob = world.catalog.cronjob(&name("backup")).unwrap();
    assert_eq!((cronjob.retry.attempts, cronjob.require.disk_available.len()), (3, 1));
    assert_eq!(world.catalog.calendar(&cronjob).unwrap().zone_name(), "Europe/Berlin");
    assert!(
        world.catalog.cronjob(&name("none")).is_none() && world.catalog.in_force(&name("none")).is_none()
    );
    assert!(is_idle(&world.load(&[file])), "an idle reload writes nothing");
}

#[test]
fn every_mistake_is_named_with_file_line_job_field_and_reason() {
    let mut world = World::new();
    let changes = world.load(&[good("20-broken.toml", include_str!("fixtures/jobs.d/20-broken.toml"))]);
    assert_eq!(changes.accepted, [name("fine")]);
    let rows = world.rows();
    let expected = [
        "20-broken.toml:38: job date: deadline: a date; no field is one (write text in quotes)",
        "20-broken.toml:27: job gate: require.memory_available: \"64MB\" is not a size",
        "20-broken.toml:12: job hour: schedule: field 2 (hour), column 3: 25 is not in 0-23",
        "20-broken.toml:45: job no name: ' ' at column 3 of a name",
        "20-broken.toml:43: job nobody: user: there is no user \"nobody-of-this-name\" on this device",
        "20-broken.toml:33: job nothing: schedule: is required",
        "20-broken.toml:18: job type: timeout: 5 is not text",
        "20-broken.toml:9: job unknown: colour: unknown field; allowed here: schedule",
        "20-broken.toml:22: job zone: time_zone: \"Mars/Olympus\" is not in this device's tz database",
    ];
    assert_eq!(rows.len(), expected.len(), "{rows:#?}");
    for (row, expected) in rows.iter().zip(expected) {
        assert!(row.starts_with(expected), "{row}\n{expected}");
    }
    assert_eq!(world.catalog.refused_of(&name("hour")).unwrap().line, Some(12));
    assert_eq!(world.catalog.refused_of(&name("fine")), None);
    assert_eq!(Reloaded::from(changes).rejected, world.catalog.refused());
}

#[test]
fn what_is_wrong_with_a_file_as_a_whole_takes_nothing_of_it() {
    for (text, said) in [
        ("[job.a\n", "f.toml:1: not TOML: column 7: "),
        ("[job.a]\nschedule = \"@daily\"\n[job.a]\n", "f.toml:3: not TOML: column 6: "),
        ("[job.b]\nx=1\n[backup]\n", "f.toml:3: backup: only tables [job.NAME] are allowed at the top"),
        ("schedule = \"@daily\"\n", "f.toml:1: schedule: only tables [job.NAME] are allowed"),
        ("\njob = 5\n", "f.toml:2: job: is not a table"),
        ("[[job]]\n", "f.toml:1: job: is not a table"),
    ] {
        let mut world = World::new();
        world.load(&[good("f.toml", &job("a", "one"))]);
        let changes = world.load(&[good("f.toml", text)]);
        assert!(is_idle(&changes));
        assert_eq!(world.rows().len(), 1);
        assert!(world.rows()[0].starts_with(said), "{text:?}: {:?}", world.rows());
        assert_eq!(world.in_force(), rows(&[("a", "f.toml", "one")]));
    }
    let mut world = World::new();
    for empty in ["", "# nothing\n", "[job]\n"] {
        assert!(is_idle(&world.load(&[good("f.toml", empty)])) && world.rows().is_empty(), "{empty:?}");
    }
    world.load(&[good("f.toml", "[job]\na = 5\n")]);
    assert_eq!(world.rows(), ["f.toml:2: job a: is not a table; write [job.NAME]"]);
}

#[test]
fn the_last_valid_definition_stays_also_over_a_restart() {
    let mut world = World::new();
    let file = |a: &str, b: &str| good("f.toml", &format!("{}{}", job("a", a), job("b", b)));
    world.load(&[file("one", "two")]);
    // The other job of the same file goes on changing.
    let broken = [file("\"\nx = \"", "three")];
    let changes = world.load(&broken);
    assert_eq!(changed(&changes), [("b", true)]);
    // In force, and yet not what was accepted now.
    assert_eq!(changes.accepted, [name("b")]);
    assert_eq!(world.in_force(), rows(&[("a", "f.toml", "one"), ("b", "f.toml", "three")]));
    assert!(world.rows()[0].starts_with("f.toml:3: job a: command: is empty"), "{:?}", world.rows());

    for files in [&broken[..], &[unread("f.toml")], &[good("f.toml", "=")]] {
        world.restart(rules());
        assert!(is_idle(&world.load(files)));
        assert_eq!(world.in_force(), rows(&[("a", "f.toml", "one"), ("b", "f.toml", "three")]));
        assert_eq!(world.rows().len(), 1);
    }
    assert!(is_idle(&world.load(&[file("one", "three")])));
    assert!(world.rows().is_empty());
}

#[test]
fn a_job_is_gone_with_its_table_or_its_file_and_not_before() {
    let mut world = World::new();
    let two = [good("a.toml", &job("a", "1")), good("b.toml", &(job("b", "2") + &job("c", "3")))];
    world.load(&two);
    assert!(is_idle(&world.load(&[unread("a.toml"), unread("b.toml")])));
    assert_eq!(world.rows(), ["a.toml: can be written by others", "b.toml: can be written by others"]);
    assert!(is_idle(&world.catalog.load_failed("jobs.d", "cannot be read".to_owned())));
    assert_eq!(world.rows(), ["jobs.d: cannot be read"]);
    assert_eq!(world.catalog.jobs().count(), 3);

    let changes = world.load(&[unread("a.toml"), good("b.toml", &job("c", "3"))]);
    assert_eq!((changed(&changes), &changes.removed[..]), (vec![("b", false)], &[name("b")][..]));
    let source = Source::File("b.toml".to_owned());
    assert_eq!(changes.entries, [Entry::Withdrawn { job: name("b"), source }]);
    let changes = world.load(&[good("b.toml", &job("c", "3"))]);
    assert_eq!(changed(&changes), [("a", false)]);
    let changes = world.load(&[]);
    assert_eq!(changed(&changes), [("c", false)]);
    assert!(world.image.definitions.is_empty());
}

#[test]
fn of_two_files_the_first_wins_and_the_other_names_it() {
    let mut world = World::new();
    world.load(&[good("b.toml", &job("x", "second"))]);
    // A file that comes first takes the job over: one change, no gap.
    let both = [good("a.toml", &job("x", "first")), good("b.toml", &job("x", "second"))];
    let changes = world.load(&both);
    assert_eq!(changed(&changes), [("x", true)]);
    assert!(changes.removed.is_empty());
    assert_eq!(world.rows(), ["b.toml:1: job x: a.toml defines it too and comes first"]);
    assert_eq!(world.in_force(), rows(&[("x", "a.toml", "first")]));
    assert!(is_idle(&world.load(&both)));
    world.restart(rules());
    assert!(is_idle(&world.load(&both)));

    // A first file whose definition never was valid does not stand in the way.
    let changes = world.load(&both[1..]);
    assert_eq!(changed(&changes), [("x", true)]);
    let changes = world.load(&[good("a.toml", "[job.x]\n"), both[1].clone()]);
    assert!(is_idle(&changes));
    assert_eq!(world.in_force(), rows(&[("x", "b.toml", "second")]));
    assert_eq!(world.rows().len(), 1);

    // One whose last valid definition stays does.
    world.load(&both);
    let changes = world.load(&[good("a.toml", "[job.x]\n"), both[1].clone()]);
    assert!(is_idle(&changes));
    assert_eq!(world.in_force(), rows(&[("x", "a.toml", "first")]));
    assert_eq!(world.rows().len(), 2);
    let changes = world.load(&[unread("a.toml"), both[1].clone()]);
    assert!(is_idle(&changes));
    assert_eq!(world.rows()[1], "b.toml:1: job x: a.toml defines it too and comes first");
}

#[test]
fn a_job_that_moves_between_files_is_not_removed_and_added() {
    let (there, empty) = (job("x", "same"), String::new());
    for (from, to) in [("a.toml", "b.toml"), ("b.toml", "a.toml")] {
        let files = |holder: &str| {
            ["a.toml", "b.toml"].map(|file| good(file, if file == holder { &there } else { &empty }))
        };
        let mut world = World::new();
        world.load(&files(from));
        let changes = world.load(&files(to));
        assert!(changes.changed.is_empty() && changes.removed.is_empty(), "{changes:?}");
        // The new place is durable before the old one goes.
        assert!(matches!(&changes.entries[..], [Entry::Defined { .. }, Entry::Withdrawn { .. }]));
        assert_eq!(world.in_force(), rows(&[("x", to, "same")]));
        world.restart(rules());
        assert!(is_idle(&world.load(&files(to))));
    }
    // A file that is renamed is the same.
    let mut world = World::new();
    world.load(&[good("a.toml", &there)]);
    assert!(world.load(&[good("z.toml", &there)]).changed.is_empty());
    // Between the two entries of a move the power goes.
    let image = &mut world.image;
    image.definitions.insert((name("x"), Source::File("a.toml".to_owned())), "{}".to_owned());
    world.restart(rules());
    let changes = world.load(&[good("z.toml", &there)]);
    assert!(changes.changed.is_empty() && changes.entries.len() == 1, "{changes:?}");
}

#[test]
fn a_directory_that_is_not_there_takes_no_job_and_an_empty_one_takes_all() {
    let mut world = World::new();
    assert!(world.catalog.load_missing("jobs.d").rejected.is_empty(), "a device without jobs of its own");
    world.load(&[good("a.toml", &job("x", "stays"))]);
    world.restart(rules());
    let changes = world.catalog.load_missing("jobs.d");
    assert!(is_idle(&changes), "{changes:?}");
    assert_eq!(world.in_force(), rows(&[("x", "a.toml", "stays")]));
    assert!(
        world.rows()[0].starts_with("jobs.d: is not there: its jobs stay in force"),
        "{:?}",
        world.rows()
    );
    assert_eq!(changed(&world.load(&[])), [("x", false)]);
}

#[test]
fn what_this_machine_cannot_serve_is_a_warning_and_no_refusal() {
    let why = "cannot be read here, so it never holds";
    let unserved = || vec![Warning { field: "require.load_per_cpu".to_owned(), reason: why.to_owned() }];
    let picky = job("own", "a") + "require = {load_per_cpu = 2}\n" + &job("plain", "b");
    let mut world = World::new();
    world.catalog.note_unserved(unserved());
    let changes = world.load(&[good("a.toml", &picky)]);
    assert_eq!((changes.accepted.len(), changes.rejected.len()), (2, 0));
    let warnings: Vec<_> = changes.warnings.iter().map(ToString::to_string).collect();
    assert_eq!(warnings, [format!("a.toml: job own: require.load_per_cpu: {why}")]);
    // By the device's defaults all ask for it, but who lifts it.
    let defaults = text::parse(r#"{"require":{"load_per_cpu":3}}"#).unwrap();
    world.restart(Rules { defaults, ..rules() });
    world.catalog.note_unserved(unserved());
    let lifted = picky + &(job("lifted", "c") + "require = {load_per_cpu = \"none\"}\n");
    let named: Vec<_> =
        world.load(&[good("a.toml", &lifted)]).warnings.into_iter().filter_map(|row| row.job).collect();
    assert_eq!(named, ["own", "plain"]);
}

#[test]
fn a_restored_text_that_no_longer_satisfies_is_reported_and_kept() {
    let mut world = World::new();
    let files = [good("f.toml", &(job("a", "1") + "user = \"pi\"\n" + &job("b", "2")))];
    world.load(&files);
    // The agent is another user's now.
    let other = || Rules { user: AgentUser::Other { name: "lc".to_owned() }, ..rules() };
    world.restart(other());
    assert_eq!(world.in_force(), rows(&[("b", "f.toml", "2")]));
    let refusal =
        "job a: user: \"pi\" is not \"lc\", as whom this agent runs: only root can start jobs as others";
    assert_eq!(world.rows(), [format!("f.toml: {refusal}")]);
    for files in [&files[..], &[unread("f.toml")]] {
        assert!(is_idle(&world.load(files)));
        assert_eq!(world.in_force(), rows(&[("b", "f.toml", "2")]));
    }
    assert_eq!(world.rows(), ["f.toml: can be written by others".to_owned(), format!("f.toml: {refusal}")]);
    world.load(&files);
    assert_eq!(world.rows(), [format!("f.toml:4: {refusal}")]);
    assert!(world.catalog.cronjob(&name("a")).is_none() && world.catalog.shown(&name("a")).is_empty());
    // Root's again: nothing was lost.
    world.restart(rules());
    assert!(is_idle(&world.load(&files)));
    assert_eq!(world.catalog.jobs().count(), 2);
    // What does not even parse is gone with its table like any other.
    let key = (name("a"), Source::File("f.toml".to_owned()));
    world.image.definitions.insert(key, "{\"later\":1}".to_owned());
    world.restart(rules());
    assert_eq!(world.catalog.jobs().count(), 1);
    let changes = world.load(&files);
    assert_eq!((changed(&changes), changes.entries.len()), (vec![("a", true)], 1));
}

#[test]
fn whether_a_user_exists_is_asked_of_new_texts_only() {
    let files = [good("f.toml", &(job("a", "1") + "user = \"pi\"\n"))];
    let mut world = World::new();
    world.load(&files);
    let unknown = || Rules { user: AgentUser::Root { exists: |_| false }, ..rules() };
    world.restart(unknown());
    assert!(is_idle(&world.load(&files)));
    assert!(world.rows().is_empty());
    assert_eq!(world.catalog.jobs().count(), 1);
    let changes = world.load(&[good("f.toml", &(job("a", "2") + "user = \"pi\"\n"))]);
    assert!(is_idle(&changes) && changes.rejected[0].field.as_deref() == Some("user"));
}

#[test]
fn an_agent_that_is_not_root_takes_jobs_of_its_own_user_only() {
    let mut catalog = Catalog::new(Rules { user: AgentUser::Other { name: "pi".to_owned() }, ..rules() });
    let text = job("a", "1") + "user = \"pi\"\n" + &job("b", "1") + "user = \"root\"\n" + &job("c", "1");
    let changes = catalog.load_files([good("f.toml", &text)]);
    assert_eq!(changes.accepted, [name("a"), name("c")]);
    assert_eq!((changes.rejected[0].line, changes.rejected[0].field.as_deref()), (Some(8), Some("user")));
}

#[test]
fn defaults_count_and_their_faults_are_not_the_jobs() {
    let defaults = r#"{"time_zone":"Mars/Olympus","timeout":"1m","require":{"load_per_cpu":2}}"#;
    let mut catalog = Catalog::new(Rules { defaults: text::parse(defaults).unwrap(), ..rules() });
    let own = job("b", "1") + "time_zone = \"UTC\"\nrequire = { load_per_cpu = \"none\" }\n";
    let changes = catalog.load_files([good("f.toml", &(job("a", "1") + &own))]);
    assert_eq!(changes.accepted, [name("b")]);
    let row = changes.rejected[0].to_string();
    assert!(
        row.starts_with("f.toml:1: job a: time_zone: ") && row.ends_with("(from the device's [defaults])")
    );
    let cronjob = catalog.cronjob(&name("b")).unwrap();
    assert_eq!(cronjob.timeout, Some(std::time::Duration::from_secs(60)));
    assert!(cronjob.require.is_empty());
    assert!(!catalog.in_force(&name("b")).unwrap().text.contains("timeout"), "no default is merged in");
}

#[test]
fn every_value_is_shown_with_where_it_came_from_but_no_environment() {
    let defaults = r#"{"command":"d","timeout":"1m","env":{"A":"SECRET","B":"SECRET"},"require":{"load_per_cpu":2,"memory_available":"1MiB"}}"#;
    let mut catalog = Catalog::new(Rules { defaults: text::parse(defaults).unwrap(), ..rules() });
    catalog.load_files([good("10-backup.toml", include_str!("fixtures/jobs.d/10-backup.toml"))]);
    let shown = catalog.shown(&name("backup"));
    let line = |field: &str| {
        let row = shown.iter().find(|row| row.field == field).unwrap_or_else(|| panic!("{field}"));
        format!("{} {}", row.value, row.from)
    };
    for (field, said) in [
        ("schedule", "\"0 3 * * *\" definition"),
        ("time_zone", "\"Europe/Berlin\" definition"),
        ("command", "\"restic backup /home\\nrestic forget --keep-daily 7\\n\" definition"),
        ("user", "\"root\" definition"),
        ("timeout", "\"1m\" device"),
        ("overlap", "\"skip\" default"),
        ("working_dir", "null default"),
        ("retry.attempts", "3 definition"),
        ("retry.delay", "\"5m\" definition"),
        ("retry.max_delay", "\"10m\" default"),
        ("env.A", "\"…\" device"),
        ("env.RESTIC_PASSWORD", "\"…\" definition"),
        ("require.load_per_cpu", "2 device"),
        ("require.memory_available", "\"64MiB\" definition"),
    ] {
        assert_eq!(line(field), said, "{field}");
    }
    assert!(!format!("{shown:?}").contains("SECRET"));
    let prune = catalog.shown(&name("prune"));
    assert!(prune.iter().any(|row| row.field == "args") && prune.iter().all(|row| row.field != "command"));
    assert_eq!(prune.iter().find(|row| row.field == "time_zone").unwrap().value, "UTC");
    assert!(catalog.shown(&name("none")).is_empty());
}

#[test]
fn no_refusal_repeats_a_value_of_the_environment() {
    let mut world = World::new();
    for env in ["{ A = [\"SECRET\"] }", "\"SECRET\"", "{ A = 'SECRET', B = 5 }", "{ A = \"SECRET\\u0000\" }"]
    {
        world.load(&[good("f.toml", &format!("{}env = {env}\n", job("a", "1")))]);
        assert_eq!(world.rows().len(), 1);
        assert!(world.rows()[0].starts_with("f.toml:4: job a: env: "), "{:?}", world.rows());
        assert!(!world.rows()[0].contains("SECRET"), "{:?}", world.rows());
    }
}

#[test]
fn too_many_jobs_are_refused_by_name_and_those_in_force_stay() {
    let jobs = |range: std::ops::Range<usize>| -> String {
        range.map(|number| job(&format!("j{number:04}"), "true")).collect()
    };
    let mut world = World::new();
    let first = good("b.toml", &jobs(10..limits::JOBS));
    world.load(std::slice::from_ref(&first));
    // Ten have room; the others are refused, though their names and their file come first.
    let more = good("a.toml", &(jobs(0..10) + &jobs(2_000..2_003)));
    let changes = world.load(&[more.clone(), first.clone()]);
    assert_eq!((changes.accepted.len(), changes.rejected.len()), (limits::JOBS, 3));
    let said = "a.toml:31: job j2000: there are 1024 jobs already, and no more are allowed";
    assert_eq!(world.rows()[0], said);
    assert!(is_idle(&world.load(&[more.clone(), first.clone()])));
    world.restart(rules());
    assert!(is_idle(&world.load(&[more.clone(), first])));
    assert_eq!(world.rows().len(), 3);
    // Where others go, there is room, in the same reading.
    let changes = world.load(&[more]);
    assert_eq!((changes.accepted.len(), changes.rejected.len()), (13, 0));

    let mut world = World::new();
    let changes = world.load(&[good("a.toml", &jobs(0..3_000))]);
    assert_eq!((changes.accepted.len(), changes.rejected.len()), (limits::JOBS, limits::JOBS + 1));
    assert_eq!(changes.rejected[limits::JOBS].origin, "952 more");
}

#[test]
fn a_definition_that_no_message_could_carry_is_refused() {
    let mut world = World::new();
    let changes = world.load(&[good("f.toml", &job("a", &"x".repeat(limits::DEFINITION_BYTES)))]);
    assert!(changes.accepted.is_empty());
    assert!(world.rows()[0].starts_with("f.toml:1: job a: a definition of 65"), "{:?}", world.rows());
}

mod property {
    use super::*;
    use proptest::prelude::*;

    /// What a file may say: unread, not TOML, or of each of three jobs: nothing, something invalid, one of two texts.
    fn file() -> impl Strategy<Value = Option<Result<[u8; 3], bool>>> {
        prop_oneof![
            1 => Just(None),
            1 => any::<bool>().prop_map(|unread| Some(Err(unread))),
            6 => [0..4_u8, 0..4_u8, 0..4_u8].prop_map(|jobs| Some(Ok(jobs))),
        ]
    }

    fn files(says: &[Option<Result<[u8; 3], bool>>; 3]) -> Vec<JobsFile> {
        let mut files = Vec::new();
        for (file, says) in ["a.toml", "b.toml", "c.toml"].into_iter().zip(says) {
            files.push(match says {
                None => continue,
                Some(Err(true)) => unread(file),
                Some(Err(false)) => good(file, "="),
                Some(Ok(jobs)) => {
                    let text = |(name, kind): (&str, &u8)| match kind {
                        0 => String::new(),
                        1 => format!("[job.{name}]\n"),
                        2 => job(name, "one"),
                        _ => job(name, file),
                    };
                    good(file, &["x", "y", "z"].into_iter().zip(jobs).map(text).collect::<String>())
                }
            });
        }
        files
    }

    /// The rules as said in the design, over what each file said last.
    #[derive(Default)]
    struct Model(BTreeMap<(&'static str, &'static str), String>);

    impl Model {
        fn load(
            &mut self,
            says: &[Option<Result<[u8; 3], bool>>; 3],
        ) -> BTreeMap<&'static str, (String, String)> {
            let mut winners: BTreeMap<&'static str, (String, String)> = BTreeMap::new();
            for (file, says) in ["a.toml", "b.toml", "c.toml"].into_iter().zip(says) {
                for (at, job) in ["x", "y", "z"].into_iter().enumerate() {
                    let kind = match says {
                        None => 0,
                        Some(Err(_)) => 4,
                        Some(Ok(jobs)) => jobs[at],
                    };
                    let lost = kind != 4 && winners.contains_key(job);
                    match kind {
                        _ if lost => drop(self.0.remove(&(job, file))),
                        0 => drop(self.0.remove(&(job, file))),
                        2 => drop(self.0.insert((job, file), "one".to_owned())),
                        3 => drop(self.0.insert((job, file), file.to_owned())),
                        _ => (),
                    }
                    if let Some(command) = self.0.get(&(job, file)) {
                        winners.entry(job).or_insert_with(|| (file.to_owned(), command.clone()));
                    }
                }
            }
            winners
        }
    }

    proptest! {
        #![proptest_config(ProptestConfig { cases: 400, failure_persistence: None, rng_seed: SEED, ..ProptestConfig::default() })]

        #[test]
        fn what_is_in_force_is_what_the_rules_say_and_a_restart_changes_nothing(
            steps in prop::collection::vec(([file(), file(), file()], any::<bool>()), 1..12)
        ) {
            let mut world = World::new();
            let mut model = Model::default();
            for (says, restart) in steps {
                let before: BTreeMap<_, _> =
                    world.catalog.jobs().map(|(job, in_force)| (job.clone(), in_force.revision)).collect();
                let changes = world.load(&files(&says));
                let expected: Vec<_> = model
                    .load(&says)
                    .into_iter()
                    .map(|(job, (file, command))| (job.to_owned(), file, command))
                    .collect();
                prop_assert_eq!(world.in_force(), expected);

                // Changes are exactly the difference.
                let after: BTreeMap<_, _> =
                    world.catalog.jobs().map(|(job, in_force)| (job.clone(), in_force.revision)).collect();
                for Change { job, now } in &changes.changed {
                    prop_assert_eq!(after.get(job), now.as_ref());
                    prop_assert_ne!(before.get(job), now.as_ref());
                }
                let differ = ["x", "y", "z"].map(name).into_iter().filter(|job| before.get(job) != after.get(job));
                prop_assert_eq!(differ.count(), changes.changed.len());

                let rows = world.rows();
                if restart {
                    world.restart(rules());
                }
                prop_assert!(is_idle(&world.load(&files(&says))));
                prop_assert_eq!(world.rows(), rows);
            }
        }
    }
}

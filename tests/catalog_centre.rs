//! What the centre's bucket says, judged: each key alone, and all of them together.
#![expect(clippy::unwrap_used, reason = "a test that panics says what is wrong")]

use leafcron::catalog::{AgentUser, Catalog, Centre, Changes, Rules, Text};
use leafcron::job::{
    Entry, FieldMap, Image, JobName, JobsFile, Name, Revision, Source, VerdictState, limits,
};
use leafcron::schedule::Zone;

fn name(text: &str) -> Name {
    text.parse().unwrap()
}

fn rules() -> Rules {
    Rules {
        defaults: FieldMap::new(),
        zone: Zone::named("UTC"),
        user: AgentUser::Root { exists: |user| user != "nobody-such" },
        groups: vec![name("lab"), name("all")],
        centre: Some(Centre { users: vec!["worker".to_owned(), "pi".to_owned()] }),
    }
}

/// A catalog, and what its journal adds up to.
struct World {
    catalog: Catalog,
    image: Image,
    rules: Rules,
}

impl World {
    fn new() -> Self {
        Self { catalog: Catalog::new(rules()), image: Image::default(), rules: rules() }
    }

    fn take(&mut self, changes: Changes) -> Changes {
        changes.entries.iter().for_each(|entry| self.image.apply(entry));
        changes
    }

    fn key(&mut self, key: &str, sequence: u64, text: &str) -> Changes {
        let changes = self.catalog.load_key(&name("pi"), key, sequence, Text::Bytes(text.as_bytes()));
        self.take(changes)
    }

    fn delete(&mut self, key: &str, sequence: u64) -> Changes {
        let changes = self.catalog.load_key(&name("pi"), key, sequence, Text::Deleted);
        self.take(changes)
    }

    /// A complete reading in which these keys are.
    fn snapshot(&mut self, id: Option<&str>, last: u64, keys: &[(&str, u64, &str)]) -> Changes {
        self.catalog.begin_snapshot(id.map(name), last);
        for (key, sequence, text) in keys {
            self.key(key, *sequence, text);
        }
        let changes = self.catalog.end_snapshot();
        self.take(changes)
    }

    fn files(&mut self, text: &str) -> Changes {
        let file = JobsFile { name: "f.toml".to_owned(), text: Ok(text.to_owned()) };
        let changes = self.catalog.load_files([file]);
        self.take(changes)
    }

    /// As after a restart of the agent.
    fn restart(&mut self) {
        self.catalog = Catalog::new(self.rules.clone());
        self.catalog.restore(self.image.definitions.clone());
        self.catalog.remember(self.image.orphans.clone(), self.image.bucket.clone());
    }

    fn in_force(&self, job: &str) -> Option<(Source, Revision)> {
        self.catalog.in_force(&name(job)).map(|in_force| (in_force.source.clone(), in_force.revision))
    }

    fn state(&self, job: &str) -> (String, VerdictState) {
        let verdict = self.catalog.verdict(&name(job)).unwrap();
        (verdict.source, verdict.state)
    }
}

/// A definition, told from others by its word.
fn text(word: &str) -> String {
    format!(r#"{{"command":"echo {word}","schedule":"@daily"}}"#)
}

#[test]
fn of_a_job_the_first_source_counts_and_the_others_are_named_with_their_sequences() {
    let mut world = World::new();
    world.key("group.all.a", 1, &text("all"));
    world.key("group.lab.a", 2, &text("lab"));
    assert_eq!(
        world.in_force("a").unwrap().0,
        Source::Group(name("lab")),
        "in the order of the configuration"
    );
    world.key("agent.pi.a", 3, &text("agent"));
    let verdict = world.catalog.verdict(&name("a")).unwrap();
    assert_eq!(
        (verdict.source.as_str(), verdict.sequence, verdict.in_force),
        ("agent", Some(3), verdict.revision)
    );
    assert_eq!(verdict.shadowed, [("group.lab".to_owned(), 2), ("group.all".to_owned(), 1)].into());
    let shadowing = world.files("[job.a]\nschedule = \"@hourly\"\ncommand = \"true\"\n");
    assert_eq!(shadowing.changed.len(), 1);
    assert_eq!(world.state("a"), ("file".to_owned(), VerdictState::Accepted));
    // A change of what is shadowed changes nothing that runs.
    assert!(world.key("agent.pi.a", 4, &text("other")).changed.is_empty());
    let back = world.files("");
    assert_eq!((back.changed.len(), back.removed.len()), (1, 0));
    assert_eq!(world.in_force("a").unwrap(), (Source::Agent, Revision::of(&text("other"))));
    for (key, sequence) in [("agent.pi.a", 5), ("group.lab.a", 6)] {
        world.delete(key, sequence);
    }
    assert_eq!(world.in_force("a").unwrap().0, Source::Group(name("all")));
    assert_eq!(world.delete("group.all.a", 7).removed, [name("a")]);
    assert!(world.catalog.verdict(&name("a")).is_none());
}

#[test]
fn a_job_that_moves_between_file_and_centre_is_never_undefined() {
    let mut world = World::new();
    let file = "[job.x]\nschedule = \"@daily\"\ncommand = \"echo one\"\n";
    world.files(file);
    // To the centre, with the same text: first it is shadowed, then it counts. Not even the revision changes.
    world.key("agent.pi.x", 1, &text("one"));
    assert_eq!(world.in_force("x").unwrap().0, Source::File("f.toml".to_owned()));
    let changes = world.files("");
    assert!(changes.removed.is_empty() && changes.changed.is_empty(), "{changes:?}");
    assert_eq!(world.in_force("x").unwrap(), (Source::Agent, Revision::of(&text("one"))));
    assert_eq!(
        world.catalog.cronjob(&name("x")).unwrap().user.as_deref(),
        Some("worker"),
        "as the centre may"
    );
    world.restart();
    assert_eq!(world.in_force("x").unwrap().0, Source::Agent);
    // And back, with another: it changes once, and goes on when the key goes.
    let changes = world.files(&file.replace("one", "two"));
    assert_eq!(changes.changed.len(), 1);
    let changes = world.delete("agent.pi.x", 2);
    assert!(changes.removed.is_empty() && changes.changed.is_empty(), "{changes:?}");
    assert_eq!(world.in_force("x").unwrap().1, Revision::of(&text("two")));
    assert_eq!(world.catalog.cronjob(&name("x")).unwrap().user, None);
}

#[test]
fn a_refused_key_leaves_its_last_valid_text_in_force_over_a_restart_and_never_shadows_without_one() {
    let mut world = World::new();
    world.key("group.all.a", 1, &text("all"));
    let refused = world.key("agent.pi.a", 2, r#"{"schedule":"@daily"}"#);
    assert_eq!((refused.entries.len(), refused.rejected.len()), (0, 1));
    let verdict = world.catalog.verdict(&name("a")).unwrap();
    assert_eq!((verdict.state, verdict.sequence), (VerdictState::Rejected, Some(2)));
    assert_eq!(verdict.in_force, Some(Revision::of(&text("all"))));
    assert!(verdict.shadowed.is_empty(), "what is in force does not lose");
    world.key("agent.pi.a", 3, &text("good"));
    assert_eq!(world.key("agent.pi.a", 4, "{}").changed, []);
    assert_eq!(world.key("agent.pi.a", 4, "{}").rejected, [], "said once");
    let verdict = world.catalog.verdict(&name("a")).unwrap();
    assert_eq!(
        (verdict.state, verdict.in_force),
        (VerdictState::Rejected, Some(Revision::of(&text("good"))))
    );
    assert_eq!(verdict.shadowed, [("group.all".to_owned(), 1)].into());
    world.restart();
    assert_eq!(world.in_force("a").unwrap(), (Source::Agent, Revision::of(&text("good"))));
    assert!(!world.catalog.knows_sequences(), "until the bucket is read again");
}

#[test]
fn hostile_texts_and_keys_have_reasons_and_change_nothing() {
    let mut world = World::new();
    let deep = format!("{}{}", "[".repeat(9_000), "]".repeat(9_000));
    for (n, bytes) in [
        &b"\xff\xfe"[..],
        b"",
        b"null",
        b"[1]",
        deep.as_bytes(),
        b"{\"schedule\":1,\"command\":2}",
        b"{\"command\":\"x\",\"schedule\":\"@daily\",\"\x1b[31m\":1}",
    ]
    .into_iter()
    .enumerate()
    {
        let key = format!("agent.pi.j{n}");
        let changes = world.catalog.load_key(&name("pi"), &key, 9, Text::Bytes(bytes));
        assert_eq!(
            (changes.entries.len(), changes.changed.len(), changes.rejected.len()),
            (0, 0, 1),
            "{key}"
        );
        let reason = &changes.rejected[0].reason;
        assert!(
            !reason.is_empty() && reason.len() <= limits::DETAIL_BYTES + 3 && !reason.contains('\x1b'),
            "{reason:?}"
        );
    }
    let large = world.catalog.load_key(&name("pi"), "agent.pi.large", 9, Text::TooLarge(1 << 20));
    assert!(large.rejected[0].reason.contains("1048576"));
    for key in
        ["agent.other.a", "agent.pi", "agent.pi.a.b", "agent.pi.a b", "group.far.a", "x", "", "meta.id"]
    {
        let changes = world.key(key, 9, &text("x"));
        assert!(changes.changed.is_empty() && changes.rejected.len() == 1, "{key}");
    }
    assert_eq!(world.catalog.jobs().count(), 0);
}

#[test]
fn the_centres_jobs_run_as_whom_the_device_lists_and_nobody_else() {
    let mut world = World::new();
    world.key("agent.pi.silent", 1, &text("x"));
    assert_eq!(world.catalog.cronjob(&name("silent")).unwrap().user.as_deref(), Some("worker"));
    let as_user = |user: &str| format!(r#"{{"command":"x","schedule":"@daily","user":"{user}"}}"#);
    assert!(world.key("agent.pi.listed", 2, &as_user("pi")).rejected.is_empty());
    let root = world.key("agent.pi.root", 3, &as_user("root"));
    assert!(root.rejected[0].reason.contains("nats.users") && root.rejected[0].reason.contains("worker, pi"));
    // A file of the device may.
    world.files("[job.root]\nschedule = \"@daily\"\ncommand = \"x\"\nuser = \"root\"\n");
    assert!(world.in_force("root").is_some());
    // Its [defaults] give the centre no more than the list.
    world.rules.defaults = serde_json::from_str(r#"{"user":"root"}"#).unwrap();
    world.restart();
    assert_eq!(world.in_force("silent"), None);
    assert!(world.catalog.refused_of(&name("silent")).unwrap().reason.contains("[defaults]"));
    // A list that became shorter, and a device that left its centre.
    world.rules = rules();
    world.rules.centre = Some(Centre { users: vec!["worker".to_owned()] });
    world.restart();
    assert!(world.in_force("silent").is_some() && world.in_force("listed").is_none());
    assert_eq!(world.state("listed"), ("agent".to_owned(), VerdictState::Rejected));
    world.rules.centre = None;
    world.restart();
    assert!(world.in_force("silent").is_none() && world.in_force("root").is_some());
    world.rules = rules();
    world.restart();
    assert!(world.in_force("silent").is_some(), "kept meanwhile");
}

#[test]
fn absence_removes_only_where_the_same_bucket_proves_it() {
    let keys = |words: &[&'static str]| -> Vec<(&'static str, u64, String)> {
        words.iter().map(|word| (*word, 5, text("x"))).collect()
    };
    let snapshot = |world: &mut World, id: Option<&str>, last: u64, words: &[&'static str]| {
        let keys = keys(words);
        let keys: Vec<(&str, u64, &str)> =
            keys.iter().map(|(key, at, text)| (*key, *at, text.as_str())).collect();
        world.snapshot(id, last, &keys)
    };
    let (a, b) = ("agent.pi.a", "agent.pi.b");
    let mut world = World::new();
    snapshot(&mut world, Some("one"), 9, &[a, b]);
    assert_eq!(snapshot(&mut world, Some("one"), 9, &[a, b]).entries, [], "an idle device writes nothing");
    assert_eq!(snapshot(&mut world, Some("one"), 12, &[a]).removed, [name("b")]);
    // Another bucket, an older state of it, and one that does not say who it is.
    for (id, last) in [(Some("two"), 99), (Some("one"), 4), (None, 99)] {
        let mut world = World::new();
        snapshot(&mut world, Some("one"), 9, &[a, b]);
        world.restart();
        let changes = snapshot(&mut world, id, last, &[a]);
        assert!(changes.removed.is_empty() && changes.changed.is_empty(), "{id:?} {last}");
        assert_eq!(world.state("b"), ("agent".to_owned(), VerdictState::Orphaned));
        // Now that bucket is the known one: its silence about an orphan still proves nothing, whatever happens between.
        world.restart();
        snapshot(&mut world, id, last + 1, &[a]);
        assert_eq!(world.state("b").1, VerdictState::Orphaned);
        assert!(world.catalog.remove_orphan(&name("a")).unwrap_err().contains("no orphan"));
        let mut said = World { catalog: Catalog::new(rules()), image: world.image.clone(), rules: rules() };
        said.restart();
        snapshot(&mut said, id, last + 2, &[a, b]);
        assert_eq!(said.state("b").1, VerdictState::Accepted, "said again, it is defined");
        said.restart();
        assert_eq!(said.state("b").1, VerdictState::Accepted, "durably");
        let changes = world.catalog.remove_orphan(&name("b")).unwrap();
        assert_eq!(world.take(changes).removed, [name("b")]);
        world.restart();
        assert_eq!(world.in_force("b"), None);
    }
    // A reading that was broken off says nothing.
    let mut world = World::new();
    snapshot(&mut world, Some("one"), 9, &[a, b]);
    world.catalog.begin_snapshot(Some(name("one")), 20);
    world.catalog.abort_snapshot();
    assert!(world.catalog.end_snapshot().entries.is_empty());
    assert!(world.in_force("a").is_some() && world.in_force("b").is_some());
}

#[test]
fn a_bucket_never_looks_older_for_what_was_refused_and_never_younger_for_a_hint() {
    let mut world = World::new();
    world.snapshot(Some("one"), 9, &[("agent.pi.a", 5, &text("x"))]);
    world.key("agent.pi.a", 20, &text("y"));
    world.restart();
    // The stream ends before what was applied: an older state of it.
    let changes = world.snapshot(Some("one"), 19, &[]);
    assert!(changes.removed.is_empty());
    assert_eq!(world.state("a").1, VerdictState::Orphaned);
}

#[test]
fn a_mark_of_deletion_from_an_older_state_of_the_bucket_takes_nothing_that_was_set_since() {
    let deleted_at_5 = |world: &mut World| {
        world.catalog.begin_snapshot(Some(name("one")), 10);
        world.delete("agent.pi.a", 5);
        let changes = world.catalog.end_snapshot();
        world.take(changes)
    };
    for restarted in [false, true] {
        let mut world = World::new();
        world.snapshot(Some("one"), 20, &[("agent.pi.a", 20, &text("x"))]);
        if restarted {
            world.restart();
        }
        assert!(deleted_at_5(&mut world).removed.is_empty());
        assert_eq!(world.state("a").1, VerdictState::Orphaned);
        // Said again, but not well: no orphan any more, over a restart too.
        world.key("agent.pi.a", 21, "{}");
        assert_eq!(world.state("a").1, VerdictState::Rejected);
        world.restart();
        assert_eq!(world.state("a").1, VerdictState::Accepted);
    }
}

#[test]
fn a_restored_bucket_that_has_caught_up_is_known_by_a_key_that_went_back() {
    let begun = || {
        let mut world = World::new();
        world.snapshot(Some("one"), 20, &[("agent.pi.a", 10, &text("x")), ("agent.pi.b", 20, &text("x"))]);
        world
    };
    // Restored to a state before 10, and at 25 again by what others wrote.
    let mut world = begun();
    let changes = world.snapshot(Some("one"), 25, &[("agent.pi.a", 5, &text("older"))]);
    assert!(changes.removed.is_empty());
    assert_eq!(world.state("b").1, VerdictState::Orphaned);
    assert_eq!(world.in_force("a").unwrap().1, Revision::of(&text("older")), "taken as it is there");
    // In that state it had been deleted, and was set again later.
    let mut world = begun();
    world.catalog.begin_snapshot(Some(name("one")), 25);
    world.delete("agent.pi.a", 5);
    let changes = world.catalog.end_snapshot();
    assert!(world.take(changes).removed.is_empty());
    for job in ["a", "b"] {
        assert_eq!(world.state(job).1, VerdictState::Orphaned, "{job}");
    }
}

#[test]
fn a_reading_that_broke_off_leaves_no_bucket_to_prove_anything_with() {
    // A key that came from another bucket is not removed by the silence of the first.
    for restarted in [false, true] {
        let mut world = World::new();
        world.snapshot(Some("one"), 9, &[]);
        world.catalog.begin_snapshot(Some(name("two")), 50);
        world.key("agent.pi.a", 50, &text("x"));
        world.catalog.abort_snapshot();
        if restarted {
            world.restart();
        }
        world.snapshot(Some("one"), 60, &[]);
        assert_eq!(world.state("a").1, VerdictState::Orphaned);
    }
    // What was taken at 20 is not removed by a state of the same bucket from before.
    for restarted in [false, true] {
        let mut world = World::new();
        world.snapshot(Some("one"), 9, &[]);
        world.catalog.begin_snapshot(Some(name("one")), 20);
        world.key("agent.pi.a", 20, &text("x"));
        world.catalog.abort_snapshot();
        if restarted {
            world.restart();
        }
        world.snapshot(Some("one"), 15, &[]);
        assert_eq!(world.state("a").1, VerdictState::Orphaned);
    }
}

#[test]
fn a_key_that_names_no_job_is_told_once_and_a_file_that_loses_is_not_the_verdict() {
    let mut world = World::new();
    let mut told = 0;
    for _ in 0..3 {
        world.catalog.begin_snapshot(None, 9);
        told += world.key("agent.pi.a.b", 3, &text("x")).rejected.len();
        world.catalog.end_snapshot();
    }
    assert_eq!(told, 1);
    let job = "[job.a]\nschedule = \"@daily\"\ncommand = \"x\"\n".to_owned();
    let file = |name: &str| JobsFile { name: name.to_owned(), text: Ok(job.clone()) };
    let changes = world.catalog.load_files([file("a.toml"), file("b.toml")]);
    assert_eq!(world.take(changes).rejected.len(), 1);
    assert_eq!(world.state("a").1, VerdictState::Accepted);
}

#[test]
fn what_a_centre_left_behind_can_be_removed_once_there_is_none() {
    let mut world = World::new();
    world.key("agent.pi.a", 1, &text("x"));
    world.files("[job.own]\nschedule = \"@daily\"\ncommand = \"x\"\n");
    assert!(world.catalog.remove_orphan(&name("a")).is_err(), "the centre says so");
    world.rules.centre = None;
    world.restart();
    assert!(world.catalog.remove_orphan(&name("own")).is_err());
    let changes = world.catalog.remove_orphan(&name("a")).unwrap();
    world.take(changes);
    assert!(world.catalog.refused().is_empty());
    world.rules = rules();
    world.restart();
    assert_eq!(world.in_force("a"), None);
}

#[test]
fn all_definitions_of_the_centre_together_have_a_bound() {
    let mut world = World::new();
    let large = |n: usize| text(&format!("{n} {}", "x".repeat(limits::DEFINITION_BYTES - 200)));
    let fits = limits::CENTRAL_BYTES / large(10).len();
    for n in 0..fits {
        let source = if n % 2 == 0 { "agent.pi" } else { "group.lab" };
        assert!(world.key(&format!("{source}.j{n}"), 1, &large(n)).rejected.is_empty(), "{n}");
    }
    let beyond = world.key("agent.pi.beyond", 2, &large(0));
    assert!(beyond.rejected[0].reason.contains("4194304"), "{}", beyond.rejected[0].reason);
    assert!(beyond.entries.is_empty());
    // What is there may change, and what is small may come.
    assert!(world.key("agent.pi.j0", 3, &large(1)).rejected.is_empty());
    assert!(world.key("agent.pi.small", 4, &text("x")).rejected.is_empty());
    world.delete("agent.pi.j0", 5);
    assert!(world.key("agent.pi.beyond", 2, &large(0)).rejected.is_empty(), "as the next reading finds it");
}

#[test]
fn what_a_group_said_goes_when_the_device_leaves_it() {
    let mut world = World::new();
    world.key("group.lab.a", 1, &text("lab"));
    world.key("group.all.a", 2, &text("all"));
    world.rules.groups = vec![name("all")];
    world.restart();
    let changes = world.catalog.leave_groups();
    world.take(changes);
    assert_eq!(world.in_force("a").unwrap().0, Source::Group(name("all")));
    world.restart();
    assert!(world.catalog.leave_groups().entries.is_empty());
}

#[test]
fn no_more_jobs_than_there_may_be_whoever_defines_them() {
    let mut world = World::new();
    let file: String = (0..limits::JOBS - 1)
        .map(|n| format!("[job.f{n}]\nschedule = \"@daily\"\ncommand = \"x\"\n"))
        .collect();
    world.files(&file);
    assert!(world.key("agent.pi.last", 1, &text("x")).rejected.is_empty());
    let beyond = world.key("agent.pi.beyond", 2, &text("x"));
    assert!(beyond.rejected[0].reason.contains("no more are allowed"));
    assert!(
        world.key("agent.pi.f0", 3, &text("x")).rejected.is_empty(),
        "another source of a job is no other job"
    );
    let entries: Vec<Entry> = world.image.entries().collect();
    let mut again = Image::default();
    entries.iter().for_each(|entry| again.apply(entry));
    assert_eq!(again.definitions, world.image.definitions);
    let jobs: Vec<JobName> = world.catalog.jobs().map(|(job, _)| job.clone()).collect();
    assert_eq!(jobs.len(), limits::JOBS);
}

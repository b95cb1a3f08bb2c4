//! What is made of crontabs, as a whole: it loads, it fires when cron would, and every line is accounted for.

use std::collections::{BTreeMap, BTreeSet};

use jiff::Timestamp;
use jiff::tz::TimeZone;
use leafcron::catalog::Catalog;
use leafcron::job::{Action, CatchUp, CronJob, JobsFile, Overlap, WallTime};
use proptest::prelude::*;
use proptest::sample::{select, subsequence};
use proptest::test_runner::RngSeed;

use super::*;
use crate::import::line::{Form, Line};

const SEED: RngSeed = RngSeed::Fixed(0x1eaf_c407);

fn crontab(text: &[u8], owner: Option<&str>) -> Crontab {
    let owner = owner.map(str::to_owned);
    Crontab { file: "crontab".to_owned(), label: "pi".to_owned(), owner, text: text.to_vec(), mode: 0o600 }
}

fn imported(text: &[u8], owner: Option<&str>) -> (Imported, Vec<Finding>) {
    let found = Found { crontabs: vec![crontab(text, owner)], findings: Vec::new() };
    let (mut imported, findings) = translate(found, &BTreeSet::new(), judge::anywhere).unwrap();
    (imported.remove(0), findings)
}

/// What the agent makes of it.
fn loaded(imported: &Imported) -> Catalog {
    let mut catalog = Catalog::new(judge::anywhere());
    let file = JobsFile { name: "a.toml".to_owned(), text: Ok(text(imported)) };
    let rejected = catalog.load_files([file]).rejected;
    assert!(rejected.is_empty(), "{rejected:#?}\n{}", text(imported));
    catalog
}

/// The one job of a crontab of user pi.
fn only(text: &str) -> CronJob {
    let (imported, findings) = imported(text.as_bytes(), Some("pi"));
    let [job] = &imported.jobs[..] else { panic!("{findings:#?}") };
    loaded(&imported).cronjob(&job.name).unwrap()
}

#[test]
fn a_line_becomes_a_job_that_behaves_as_under_cron() {
    let job = only("5 4 * * sun echo \"50\\%\"\n");
    assert_eq!((job.schedule.as_str(), job.user.as_deref()), ("5 4 * * sun", Some("pi")));
    assert_eq!(job.action, Action::Shell("echo \"50%\"".to_owned()));
    assert_eq!((job.catch_up, job.overlap, job.timeout), (CatchUp::None, Overlap::Allow, None));
    assert_eq!(job.env, BTreeMap::from([("PATH".to_owned(), "/usr/bin:/bin".to_owned())]));
    assert!(job.time_zone.is_none() && job.splay.is_zero() && job.working_dir.is_none());
    assert!(job.warn_after.is_some());
    assert_eq!(only("@reboot x\n").warn_after, None, "a daemon is not late");
}

#[test]
fn a_setting_holds_for_the_lines_below_it() {
    let text = "1 1 * * * a\nSHELL=/bin/bash\nHOME = /srv\nA = \" b \"\nCRON_TZ=Europe/Berlin\nRANDOM_DELAY=3\n\
                2 2 * * * b\nSHELL=/bin/sh\nA=\nCRON_TZ=\"\"\nRANDOM_DELAY=0\nTZ=Asia/Tokyo\nPATH=/x\n3 3 * * * c\n";
    let (imported, findings) = imported(text.as_bytes(), Some("pi"));
    let catalog = loaded(&imported);
    let jobs: Vec<CronJob> = imported.jobs.iter().map(|job| catalog.cronjob(&job.name).unwrap()).collect();
    let env = |n: usize, name: &str| jobs[n].env.get(name).cloned();
    assert_eq!(jobs[0].env.len(), 1);
    assert_eq!(jobs[1].action, Action::Argv(["/bin/bash", "-c", "b"].map(str::to_owned).to_vec()));
    assert_eq!((env(1, "A"), env(1, "SHELL")), (Some(" b ".to_owned()), Some("/bin/bash".to_owned())));
    assert_eq!(jobs[1].working_dir.as_deref(), Some("/srv"));
    assert_eq!((jobs[1].time_zone.as_deref(), jobs[1].splay.as_secs()), (Some("Europe/Berlin"), 180));
    assert_eq!(jobs[2].action, Action::Shell("c".to_owned()));
    assert_eq!((env(2, "A"), env(2, "PATH")), (Some(String::new()), Some("/x".to_owned())));
    // TZ is the commands' alone.
    assert_eq!((env(2, "TZ").as_deref(), &jobs[2].time_zone), (Some("Asia/Tokyo"), &None));
    assert!(jobs[2].splay.is_zero());
    let lines: Vec<_> = findings.iter().map(|finding| (finding.line.unwrap(), finding.kind)).collect();
    assert_eq!(lines, [(5, Kind::Changed), (6, Kind::Changed), (10, Kind::Changed)]);
}

#[test]
fn mail_goes_to_whom_the_crontab_names_by_the_program_that_cron_uses() {
    let text = "1 1 * * * a\nMAILTO=a%b@c.example\n2 2 * * * b\nMAILTO=\"\"\n3 3 * * * c\n";
    let (imported, findings) = imported(text.as_bytes(), Some("pi"));
    let mails: Vec<bool> = imported.jobs.iter().map(|job| job.text.contains("on_failure")).collect();
    assert_eq!(mails, [false, true, false]);
    let file = text_of(&imported);
    let mail = file["job"]["pi-b"]["on_failure"].as_str().unwrap();
    let (print, send) = mail.split_once(" | ").unwrap();
    assert_eq!(send, "/usr/sbin/sendmail -oi -t");
    let mut shell = std::process::Command::new("/bin/sh");
    shell.args(["-c", print]).env("LEAFCRON_JOB", "pi-b").env("LEAFCRON_OUTCOME", "failed");
    let letter = String::from_utf8(shell.env("LEAFCRON_EXIT_CODE", "3").output().unwrap().stdout).unwrap();
    let expected = "To: a%b@c.example\nSubject: leafcron: pi-b failed on ";
    assert!(letter.starts_with(expected), "{letter}");
    assert!(letter.contains("\n\nfailed  exit code 3\nleafcron history pi-b --output\n"), "{letter}");
    assert_eq!((findings.len(), findings[0].line), (1, Some(2)));
}

fn text_of(imported: &Imported) -> toml::Table {
    text(imported).parse().unwrap()
}

#[test]
fn what_cannot_be_carried_is_named_by_line_column_and_what_to_write() {
    for (line, column, reason) in [
        (
            "5/15 * * * * x",
            2,
            "field 1 (minute): a step needs '*' or a range before it, as in */15 or 5-59/15",
        ),
        (
            "  0\t22-6 * * * x",
            8,
            "field 2 (hour): \"22-6\" runs backwards; a span over the end is written as two",
        ),
        ("0~30 3 * * * x", 2, "field 1 (minute): \"0~30\" lets cronie draw a number"),
        ("61 3 * * * x", 1, "field 1 (minute): 61 is not in 0-59"),
        ("0 0 30 feb * x", 5, "can never fire: field 3 (day of month): no month"),
        ("@every_minute x", 1, "\"@every_minute\" is none of: "),
        ("é 1 1 1 1 x", 1, "field 1 (minute): 'é' is not allowed here"),
        ("1 1 1 1", 8, "ends after 4 of 5 time fields"),
        ("* * * * * * x", 11, "it takes five fields"),
    ] {
        let (imported, findings) = imported(format!("\n{line}\n").as_bytes(), Some("pi"));
        assert!(imported.jobs.is_empty() && findings.len() == 1, "{line}: {findings:?}");
        let found = &findings[0];
        assert_eq!(
            (found.line, found.column, found.kind),
            (Some(2), Some(column), Kind::NotCarried),
            "{found}"
        );
        assert!(found.reason.contains(reason), "{line}: {found}");
    }
    let (_, findings) = imported(b"CRON_TZ=Mars/Base\n1 1 * * * x\n", Some("pi"));
    assert!(findings[1].reason.starts_with("CRON_TZ: \"Mars/Base\" is not in"), "{findings:?}");
    let (_, findings) = imported(b"SHELL=\n1 1 * * * x\n", Some("pi"));
    assert!(findings[0].reason.starts_with("args: "), "what the catalog refuses: {findings:?}");
}

#[test]
fn a_name_or_a_value_in_any_quotes_is_what_it_was() {
    let long = "x".repeat(100);
    let text = format!("a\\'=1\n\"b'\\ c\" = '\"\\'\nE={long}\n* * * * * e 'x' \"y\" \\\n");
    let job = only(&text);
    for (name, value) in [("a\\'", "1"), ("b'\\ c", "\"\\"), ("E", &long)] {
        assert_eq!(job.env.get(name).map(String::as_str), Some(value), "{name}: {:?}", job.env);
    }
    assert_eq!(job.action, Action::Shell("e 'x' \"y\" \\".to_owned()));
}

#[test]
fn a_hostile_crontab_costs_its_size_and_no_more() {
    let mut text = format!("* * * * * {}\n", "x".repeat(70_000)).into_bytes();
    for n in 0..2_000 {
        text.extend(format!("V{n}={}\n* * * * * echo {n}\n", "\\".repeat(200)).bytes());
    }
    text.extend(b"* * * * * a\0b\n* * * * * \xff\n# \xff is fine here\n");
    let (imported, findings) = imported(&text, Some("pi"));
    let file = super::text(&imported);
    assert!(file.len() as u64 <= limits::JOBS_FILE_BYTES, "{}", file.len());
    loaded(&imported);
    let of = |line: usize| findings.iter().filter(|finding| finding.line == Some(line)).collect::<Vec<_>>();
    assert!(of(4_002)[0].reason.contains("NUL") && of(4_002)[0].column == Some(12));
    assert!(of(4_003)[0].reason.contains("UTF-8") && of(4_003)[0].column == Some(11));
    assert!(of(4_004).is_empty());
    assert!(of(1)[0].reason.contains("longer than a job may be"), "{:?}", of(1));
    assert!(findings.iter().all(|finding| finding.to_string().len() < 600));
}

#[test]
fn lines_of_one_command_keep_their_names_whatever_stands_around_them() {
    let names = |text: &str| -> Vec<String> {
        imported(text.as_bytes(), Some("pi")).0.jobs.iter().map(|job| job.name.to_string()).collect()
    };
    let both = names("1 1 * * * /bin/x\n2 2 * * * /bin/x\n");
    assert!(both.iter().all(|name| name.starts_with("pi-x-") && name.len() == 11), "{both:?}");
    let reversed = names("2 2 * * * /bin/x\n# more\n3 3 * * * y\n1 1 * * * /bin/x\n");
    assert_eq!([&reversed[0], &reversed[2]], [&both[1], &both[0]]);
    assert_eq!(
        names("1 1 * * * x\n1 1 * * * x\n")[1],
        format!("{}-2", names("1 1 * * * x\n1 1 * * * x\n")[0])
    );
}

/// A time field: its text, and the numbers that cron takes it for.
type Field = (String, BTreeSet<u32>);

fn field(low: u32, high: u32, names: &'static [&'static str]) -> impl Strategy<Value = Field> {
    let step = 1..=high;
    let number = (low..=high, any::<bool>()).prop_map(move |(number, by_name)| {
        let name = names.get((number - low) as usize).filter(|_| by_name);
        (name.map_or(number.to_string(), ToString::to_string), BTreeSet::from([number]))
    });
    let range = subsequence((low..=high).collect::<Vec<_>>(), 2).prop_map(|ends| (ends[0], ends[1]));
    let range = (range, proptest::option::of(step.clone())).prop_map(|((from, to), step)| {
        let text = step.map_or(format!("{from}-{to}"), |step| format!("{from}-{to}/{step}"));
        (text, (from..=to).step_by(step.unwrap_or(1) as usize).collect())
    });
    let star = proptest::option::of(step).prop_map(move |step| {
        let text = step.map_or("*".to_owned(), |step| format!("*/{step}"));
        (text, (low..=high).step_by(step.unwrap_or(1) as usize).collect())
    });
    let item = prop_oneof![2 => number, 2 => range, 3 => star];
    proptest::collection::vec(item, 1..3).prop_map(|items: Vec<Field>| {
        let text = items.iter().map(|(text, _)| text.as_str()).collect::<Vec<_>>().join(",");
        (text, items.into_iter().flat_map(|(_, numbers)| numbers).collect())
    })
}

const MONTHS: &[&str] = &["jan", "FEB", "mar", "apr", "May", "jun", "jul", "aug", "sep", "oct", "nov", "dec"];
const DAYS: &[&str] = &["sun", "Mon", "tue", "wed", "thu", "FRI", "sat"];

fn fields() -> impl Strategy<Value = [Field; 5]> {
    let (minute, hour) = (field(0, 59, &[]), field(0, 23, &[]));
    (minute, hour, field(1, 31, &[]), field(1, 12, MONTHS), field(0, 7, DAYS))
        .prop_map(|(minute, hour, day, month, weekday)| [minute, hour, day, month, weekday])
}

/// What cron does each minute: it looks at the clock.
fn cron_would_run([minute, hour, day, month, weekday]: &[Field; 5], at: i64, zone: &TimeZone) -> bool {
    let now = Timestamp::from_second(at).unwrap().to_zoned(zone.clone());
    let has = |(_, numbers): &Field, number: i8| numbers.contains(&u32::from(number.unsigned_abs()));
    let sunday = now.weekday().to_sunday_zero_offset();
    let on_weekday = has(weekday, sunday) || sunday == 0 && has(weekday, 7);
    let starred = day.0.starts_with('*') || weekday.0.starts_with('*');
    let on_day = has(day, now.day());
    let today = if starred { on_day && on_weekday } else { on_day || on_weekday };
    has(minute, now.minute()) && has(hour, now.hour()) && has(month, now.month()) && today
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 96, failure_persistence: None, rng_seed: SEED, ..ProptestConfig::default() })]

    #[test]
    fn a_job_fires_when_cron_would_run_its_line(
        fields in fields(),
        blanks in proptest::collection::vec(select(vec![" ", "\t", "   ", " \t "]), 6),
        // No clock change is near: those are the calendar's own tests.
        start in select(vec![1_767_571_200_i64, 1_782_604_800, 1_801_440_000]),
        zone in select(vec!["UTC", "Europe/Berlin", "America/St_Johns"]),
        command in "[a-z]{1,8}( [ -$&-~]{0,20})?",
    ) {
        let mut line = format!("CRON_TZ={zone}\n{}", blanks[5]);
        for ((text, _), blank) in fields.iter().zip(&blanks) {
            line.push_str(&format!("{text}{blank}"));
        }
        let (imported, findings) = imported(format!("{line}{command}\n").as_bytes(), Some("pi"));
        let tz = TimeZone::get(zone).unwrap();
        let minutes = (start..start + 3 * 86_400).step_by(60);
        let Some(job) = imported.jobs.first() else {
            prop_assert!(findings[1].reason.contains("can never fire"), "{:?}", findings);
            prop_assert!(!minutes.into_iter().any(|at| cron_would_run(&fields, at, &tz)));
            return Ok(());
        };
        let catalog = loaded(&imported);
        let cronjob = catalog.cronjob(&job.name).unwrap();
        prop_assert_eq!(cronjob.action.clone(), Action::Shell(command));
        let calendar = catalog.calendar(&cronjob).unwrap();
        let mut ran = 0;
        for at in minutes {
            let due = calendar.count(WallTime::from_secs(at - 1), WallTime::from_secs(at));
            let runs = cron_would_run(&fields, at, &tz);
            prop_assert_eq!(due == 1, runs, "{} at {}", line, at);
            ran += u64::from(runs);
        }
        let all = calendar.count(WallTime::from_secs(start - 1), WallTime::from_secs(start + 3 * 86_400 - 1));
        prop_assert_eq!(all, ran, "nothing between the minutes");
    }

    #[test]
    fn whatever_a_crontab_holds_what_is_made_of_it_loads_and_every_line_is_accounted_for(
        lines in proptest::collection::vec(prop_oneof![
            3 => "[*0-9/,a-z~-]{1,6}( [*0-9/,-]{1,6}){4} ([a-z]{1,8} )?[ -~é\u{1}\u{85}\u{202e}\u{2028}]{0,40}",
            3 => "(\\* ){5}[a-z-]{0,9} [ -~]{0,40}[%&\\\\]{0,4}",
            2 => "(\\*/5|@reboot|@daily|-1) (\\* ){0,4}[ -~]{0,20}",
            3 => "(SHELL|PATH|HOME|MAILTO|CRON_TZ|TZ|RANDOM_DELAY|USER|A|'B c'|é) ?= ?[ -~é\"']{0,20}",
            1 => "[ -~\t]{0,40}\r?",
        ].prop_map(String::into_bytes).boxed().prop_union(
            proptest::collection::vec(any::<u8>().prop_filter("one line", |byte| *byte != b'\n'), 0..40).boxed()
        ), 0..24),
        system in any::<bool>(),
        ended in any::<bool>(),
    ) {
        let mut text = lines.join(&b'\n');
        if ended {
            text.push(b'\n');
        }
        let form = if system { Form::System } else { Form::User };
        let (imported, findings) = imported(&text, (!system).then_some("pi"));
        loaded(&imported);
        for (number, line) in (1..).zip(&lines) {
            let is_job = imported.jobs.iter().any(|job| job.line == number);
            let dropped =
                findings.iter().any(|finding| finding.line == Some(number) && finding.kind == Kind::NotCarried);
            let setting = std::str::from_utf8(line)
                .is_ok_and(|line| !line.contains('\0') && matches!(line::read(line, form), Ok(Line::Setting { .. })));
            let expected = !line::is_nothing(line) && !setting;
            prop_assert!(is_job != dropped || !expected, "line {}: {:?} {:#?}", number, line, findings);
            prop_assert!(expected || !is_job, "line {}", number);
        }
        let again = self::imported(&text, (!system).then_some("pi"));
        prop_assert_eq!(super::text(&again.0), super::text(&imported), "the same crontab, the same jobs");
    }
}

//! The plug is pulled at random moments under jobs of each second. What they themselves wrote to a console, which no cut
//! takes back, is held against the journal and the hub: promises 1, 2 and 4.

use std::collections::BTreeSet;
use std::path::Path;
use std::process::Command;
use std::time::Duration;

use leafcron::job::JobName;
use serde_json::Value;

use super::account::{Account, Span};
use super::block::{Block, Loss};
use super::dice::Dice;
use super::lab::{Lab, stream};
use super::machine::{Cache, Machine};
use super::servers::Hub;

/// Each is due each second; what it does there differs.
const JOBS: &[(&str, &str)] = &[
    ("tick", "overlap = \"allow\"\ncatch_up = \"last\"\ncommand = \"@\""),
    ("last", "command = \"@\""),
    ("slow", "overlap = \"queue\"\ncatch_up = \"last\"\ncommand = \"@; sleep 1.3\""),
    ("fail", "retry = { attempts = 2, delay = \"1s\" }\ncommand = \"@; exit 3\""),
];
/// With a beginning and an end: a cut may break off a word, and a console's driver may lose the end of a line.
const WITNESS: &str = r#"echo \"<$LEAFCRON_JOB $LEAFCRON_DUE $LEAFCRON_ATTEMPT>\" >/dev/hvc0"#;
const BOOT: Duration = Duration::from_secs(400);
const SETTLE: Duration = Duration::from_secs(400);
/// Of a disk of its own.
const DISK_BYTES: usize = 64 << 20;

fn cuts() -> u64 {
    std::env::var("CUTS").ok().map_or(30, |text| text.parse().unwrap())
}

pub(super) fn stage(lab: &Lab) {
    let mut dice = Dice::new();
    for cache in [Cache::Writeback, Cache::None] {
        println!("a disk whose cache is {cache:?}");
        let hub = Lab::hub();
        let mut machine = lab.machine(Some(&hub));
        machine.cache = cache;
        torture(&mut machine, &hub, cuts().div_ceil(2), &mut dice, &mut Plug);
        Machine::fsck(&machine.disk());
    }
}

/// The same with the state on a disk that holds back what was not flushed, and loses half of it.
pub(super) fn of_a_disk_that_forgets(lab: &Lab) {
    let mut dice = Dice::new();
    let hub = Lab::hub();
    let mut machine = lab.machine(Some(&hub));
    let (socket, made) = (machine.path("disk.socket"), machine.path("state.ext4"));
    std::fs::write(&made, vec![0; DISK_BYTES]).unwrap();
    let mkfs = Command::new("/sbin/mke2fs").args(["-q", "-F", "-t", "ext4"]).arg(&made).status().unwrap();
    assert!(mkfs.success());
    let block = Block::serve(std::fs::read(&made).unwrap(), &socket);
    machine.second = Some(format!("nbd:unix:{}", socket.display()));
    machine.boot();
    machine.must("systemctl stop leafcrond; echo '/dev/vdb /var/lib/leafcron ext4 defaults,errors=remount-ro 0 2' >>/etc/fstab; mount /var/lib/leafcron && sync");
    machine.off();
    let mut forgetful = Forgetful { block: block.clone(), open: 0, lost: 0 };
    torture(&mut machine, &hub, cuts().div_ceil(2), &mut dice, &mut forgetful);
    let Forgetful { open, lost, .. } = forgetful;
    println!(
        "{} flushes; {open} sectors were not flushed at the cuts, {lost} of them are gone",
        block.flushes()
    );
    assert!(lost > 0, "no cut took anything");
    block.save(&made);
    Machine::fsck(&made);
}

/// How a life ends.
trait Cut {
    /// Waits for the moment.
    fn moment(&mut self, machine: &mut Machine, dice: &mut Dice);
    /// The machine is off.
    fn done(&mut self, _dice: &mut Dice) {}
}

/// Somebody pulls it.
struct Plug;

impl Cut for Plug {
    fn moment(&mut self, _: &mut Machine, dice: &mut Dice) {
        let most = if dice.below(2) == 0 { 1_500 } else { 12_000 };
        std::thread::sleep(dice.millis(most));
    }
}

/// The power goes between two writes of the state's disk, which then loses what was not flushed.
struct Forgetful {
    block: Block,
    open: usize,
    lost: usize,
}

impl Cut for Forgetful {
    fn moment(&mut self, machine: &mut Machine, dice: &mut Dice) {
        std::thread::sleep(dice.millis(4_000));
        self.block.dies_after(1 + dice.below(30));
        let block = &self.block;
        machine.wait("the disk is written", BOOT, |_| block.is_dead().then_some(()));
    }

    fn done(&mut self, dice: &mut Dice) {
        let Loss { open, lost } = self.block.cut(dice);
        println!("  {open} sectors were not flushed, {lost} of them are gone");
        (self.open, self.lost) = (self.open + open, self.lost + lost);
    }
}

/// By its own clock, which a boot sets to whole seconds.
fn now(machine: &Machine) -> i64 {
    machine.must("date +%s%3N").parse().unwrap()
}

fn torture(machine: &mut Machine, hub: &Hub, cuts: u64, dice: &mut Dice, cut: &mut dyn Cut) {
    let jobs: String = JOBS
        .iter()
        .map(|(job, rest)| {
            format!("[job.{job}]\nschedule = \"* * * * * *\"\n{}\n", rest.replace('@', WITNESS))
        })
        .collect();
    machine.boot();
    machine.must("systemctl stop leafcrond");
    machine.write("/etc/leafcron/jobs.d/jobs.toml", &jobs);
    let begun = now(machine);
    machine.must("sync; systemctl start leafcrond");
    let certain = now(machine);
    for number in 1..=cuts {
        let before = machine.witness().len();
        machine.wait("jobs run", BOOT, |machine| (machine.witness().len() > before).then_some(()));
        cut.moment(machine, dice);
        let lines = machine.witness().len() - before;
        machine.cut();
        println!("cut {number}: {lines} starts in this life");
        cut.done(dice);
        machine.plug_in();
    }
    machine.wait("somebody can log in", BOOT, |machine| machine.ssh("true").status.success().then_some(()));
    let stopped = now(machine);
    let epoch = settle(machine);
    let said = machine.must("dmesg | grep -ci 'EXT4-fs error' || true");
    assert_eq!(said, "0", "the file system: {}", machine.must("dmesg | grep -i ext4"));
    let state = machine.path("state");
    machine.fetch("/var/lib/leafcron", &state);
    machine.off();
    let span = Span { begun, certain, stopped };
    judge(machine, &state, hub, &epoch, &span, cuts);
}

/// No job is due any more, nothing runs, and the hub has it all; in which epoch.
fn settle(machine: &mut Machine) -> String {
    for (job, _) in JOBS {
        machine.wait("it is paused", SETTLE, |machine| {
            machine.ssh(&format!("leafcron pause {job}")).status.success().then_some(())
        });
    }
    machine.wait("all is over, and at the hub", SETTLE, |machine| {
        let status = machine.leafcron("status");
        let quiet = |list: &str| status[list].as_array().is_some_and(Vec::is_empty);
        (quiet("running") && quiet("waiting") && status["link"]["unsent"] == 0).then_some(())
    });
    let epoch = machine.leafcron("status")["epoch"].as_str().unwrap().to_owned();
    machine.must("systemctl stop leafcrond");
    epoch
}

fn judge(machine: &Machine, state: &Path, hub: &Hub, epoch: &str, span: &Span, cuts: u64) {
    let names: Vec<JobName> = JOBS.iter().map(|(job, _)| job.parse().unwrap()).collect();
    let witness = words(&machine.witness().concat());
    let mut account = Account::of(state, &witness, &names, span, 0);
    account.wrong.extend(at_the_hub(state, &names, epoch, &stream(hub)));
    println!("{cuts} cuts: {account}");
    for wrong in &account.wrong {
        println!("WRONG: {wrong}");
    }
    assert!(account.wrong.is_empty(), "the promises were broken");
}

/// What whole words say.
fn words(text: &str) -> Vec<String> {
    let begun = text.split('<').skip(1);
    begun.filter_map(|word| word.split_once('>')).map(|(word, _)| word.to_owned()).collect()
}

/// Every fact of the journal is in the stream, each once. (What an agent said before the jobs were there, from another
/// disk, is of another epoch.)
fn at_the_hub(state: &Path, jobs: &[JobName], epoch: &str, stream: &[Value]) -> Vec<String> {
    let mut wrong = Vec::new();
    let mut there: BTreeSet<u64> = BTreeSet::new();
    for fact in stream {
        let seq = fact["seq"].as_u64().unwrap();
        if fact["epoch"] != epoch {
            if !fact["job"].is_null() {
                wrong.push(format!("a run of another epoch is at the hub: {fact}"));
            }
        } else if !there.insert(seq) {
            wrong.push(format!("{seq} is twice at the hub"));
        }
    }
    let disk = leafcron::store::RealDisk::open(state).unwrap();
    for job in jobs {
        for (seq, _) in leafcron::store::history(&disk, Some(job), usize::MAX).unwrap() {
            if !there.contains(&seq) {
                wrong.push(format!("{seq} of {job} is not at the hub"));
            }
        }
    }
    let last = there.last().copied().unwrap_or(0);
    if there.len() as u64 != last {
        let missing: Vec<u64> = (1..=last).filter(|seq| !there.contains(seq)).take(5).collect();
        wrong.push(format!("{} numbers up to {last} are at the hub; missing: {missing:?}", there.len()));
    }
    wrong
}

//! What happens to an agent in the middle of a job of a minute: neither the job nor its result is lost. What happens to the
//! job when the machine goes down: it is told, and its record says why.

use std::time::Duration;

use super::lab::{Lab, NEW};
use super::machine::Machine;

const SOON: Duration = Duration::from_secs(120);
const LATER: Duration = Duration::from_secs(400);

/// In the middle of a job each.
const TROUBLES: &[(&str, &str)] = &[
    ("restart", "systemctl restart leafcrond"),
    ("upgrade", "dpkg --install --force-confdef /root/new.deb"),
    ("kill", "kill -KILL $(systemctl show --property=MainPID --value leafcrond)"),
    ("abort", "kill -ABRT $(systemctl show --property=MainPID --value leafcrond)"),
    ("stop", "kill -STOP $(systemctl show --property=MainPID --value leafcrond)"),
];

pub(super) fn stage(lab: &Lab) {
    let mut machine = lab.machine(None);
    machine.boot();
    machine.put(&lab.deb(NEW), "/root/new.deb");
    let mut jobs = String::new();
    for (name, _) in TROUBLES {
        jobs += &format!(
            "[job.{name}]\nschedule = \"@yearly\"\nsuccess_exit_codes = [3]\n\
             command = \"echo {name} start >/dev/hvc0; sleep 60; echo {name} end >/dev/hvc0; exit 3\"\n"
        );
    }
    for name in ["reboot", "poweroff"] {
        jobs += &format!(
            "[job.{name}]\nschedule = \"@yearly\"\ncommand = \"trap 'echo {name} told >/dev/hvc0; sleep 1; \
             echo {name} done >/dev/hvc0; exit 4' TERM; echo {name} start >/dev/hvc0; while :; do sleep 0.2; done\"\n"
        );
    }
    machine.write("/etc/leafcron/jobs.d/jobs.toml", &jobs);
    machine.must("mkdir -p /etc/systemd/system/leafcrond.service.d");
    machine.write("/etc/systemd/system/leafcrond.service.d/test.conf", "[Service]\nWatchdogSec=15s\n");
    machine.must("systemctl daemon-reload; systemctl restart leafcrond");

    for (name, trouble) in TROUBLES {
        begin(&mut machine, name);
        let before = machine.must("systemctl show --property=MainPID --value leafcrond");
        machine.ssh(trouble);
        machine.wait("another agent serves", SOON, |machine| {
            let now =
                machine.ssh("systemctl show --property=MainPID --value leafcrond; leafcron status --json");
            let now = String::from_utf8_lossy(&now.stdout).into_owned();
            let (pid, status) = now.split_once('\n')?;
            (pid != before && pid != "0" && status.contains("\"running\"")).then_some(())
        });
        println!("{name}: another agent serves");
    }
    assert_eq!(machine.must("dpkg-query --show --showformat='${Version}' leafcron"), NEW);
    for (name, _) in TROUBLES {
        let record = ended(&mut machine, name);
        assert_eq!((&record["outcome"], &record["exit_code"]), (&"succeeded".into(), &3.into()), "{record}");
        assert_eq!(lines(&machine, name), [format!("{name} start"), format!("{name} end")]);
    }
    println!("five jobs of 60 s outlived what befell their agent, each with its result, once");

    for name in ["reboot", "poweroff"] {
        begin(&mut machine, name);
        machine.ssh(&format!("systemctl {name}"));
        machine.gone();
        machine.boot();
        let record = ended(&mut machine, name);
        assert_eq!(record["outcome"], "stopped", "{record}");
        assert!(record.to_string().contains("shutdown"), "{record}");
        let all = ["start", "told", "done"].map(|what| format!("{name} {what}"));
        assert_eq!(lines(&machine, name), all);
        println!("{name}: the run was told and had its grace; its record: {}", record["reason"]);
    }
    machine.off();
    Machine::fsck(&machine.disk());
}

fn begin(machine: &mut Machine, name: &str) {
    machine.must(&format!("leafcron run {name}"));
    machine.wait("the job runs", SOON, |machine| (!lines(machine, name).is_empty()).then_some(()));
}

fn lines(machine: &Machine, name: &str) -> Vec<String> {
    let of = format!("{name} ");
    machine.witness().into_iter().filter(|line| line.starts_with(&of)).collect()
}

/// Its one final record.
fn ended(machine: &mut Machine, name: &str) -> serde_json::Value {
    let records = machine.wait("its record", LATER, |machine| {
        let output = machine.ssh(&format!("leafcron history {name} --json"));
        let records: serde_json::Value = serde_json::from_slice(&output.stdout).ok()?;
        records.as_array().filter(|records| records.iter().any(|it| it["final"] == true)).cloned()
    });
    assert_eq!(records.len(), 1, "{records:?}");
    records[0].clone()
}

//! Installed, up after a boot, and of use: what the centre pushes fires, and what became of it is at the hub.

use std::time::Duration;

use super::lab::{Lab, file, leafcron_hub, stream};

const SOON: Duration = Duration::from_secs(120);

pub(super) fn stage(lab: &Lab) {
    let hub = Lab::hub();
    let mut machine = lab.machine(Some(&hub));
    machine.boot();
    assert_eq!(machine.must("systemctl is-active leafcrond leaf"), "active\nactive");
    machine.wait("the link is up", SOON, |machine| {
        (machine.leafcron("status")["link"]["state"] == "up").then_some(())
    });
    println!(
        "active after the boot, its link is up: {}",
        machine.must("uname -srm; systemctl --version | head -1")
    );

    let pushed = file(
        &machine,
        "pushed.toml",
        "[job.pushed]\nschedule = \"*/2 * * * * *\"\ncommand = \"echo pushed $LEAFCRON_DUE >/dev/hvc0\"\n",
    );
    let said = leafcron_hub(&hub, &["push", pushed.to_str().unwrap(), "--agent", "vm", "--timeout", "60s"]);
    assert!(said.status.success(), "{}", String::from_utf8_lossy(&said.stderr));
    println!("{}", String::from_utf8_lossy(&said.stdout).trim_end());
    let fires = |lines: &[String]| lines.iter().filter(|line| line.starts_with("pushed ")).count();
    machine.wait("it fires", SOON, |machine| (fires(&machine.witness()) >= 5).then_some(()));
    machine.wait("its results are at the hub", SOON, |_| {
        let there = stream(&hub);
        let ended = there.iter().filter(|fact| fact["job"] == "pushed" && fact["outcome"] == "succeeded");
        (ended.count() >= 5).then_some(())
    });
    let client = nats::Options::new().connect(hub.url()).unwrap();
    let options = nats::JetStreamOptions::new().domain("hub");
    let state = nats::jetstream::JetStream::new(client, options).key_value("leafcron-state").unwrap();
    let verdict = state.get("vm.pushed").unwrap().unwrap();
    let verdict: serde_json::Value = serde_json::from_slice(&verdict).unwrap();
    assert_eq!((&verdict["state"], &verdict["source"]), (&"accepted".into(), &"agent".into()), "{verdict}");
    println!("what was pushed fires, its results and {verdict} are at the hub");
    machine.off();
}

//! A crontab, imported and run: what the command sees is what cron would give it.

use super::rig::{Rig, text_of};

const CRONTAB: &str = "\
SHELL=/bin/bash
HOME=@DIR@
A = \" b \"
5 4 * * * echo \"${BASH_VERSION:+bash} $SHELL $PATH [$A] $PWD $(echo 5\\%)\"; cat%one%%two 'three' $A\\%
SHELL=/bin/sh
@daily echo \"${BASH_VERSION:-sh} $LEAFCRON_JOB $LOGNAME\"; cat; exit 7
";

#[test]
fn an_imported_line_runs_with_the_shell_the_variables_and_the_input_that_cron_gives_it() {
    let mut rig = Rig::new("");
    rig.start();
    let dir = rig.path("").display().to_string().trim_end_matches('/').to_owned();
    std::fs::write(rig.path("crontab"), CRONTAB.replace("@DIR@", &dir)).unwrap();
    let user = nix::unistd::User::from_uid(nix::unistd::geteuid()).unwrap().unwrap().name;
    let crontab = rig.path("crontab").display().to_string();
    let imported = rig.leafcron(&["import", &crontab, "--as", &user, "--write", "--json"]);
    assert!(imported.status.success(), "{}", text_of(&imported.stderr));
    let imported: serde_json::Value = serde_json::from_slice(&imported.stdout).unwrap();
    assert_eq!(imported["findings"], serde_json::json!([]));
    let job = |n: usize| imported["files"][0]["jobs"][n]["job"].as_str().unwrap().to_owned();
    assert!(rig.leafcron(&["reload"]).status.success());

    let ran = rig.leafcron(&["run", &job(0), "--wait"]);
    let expected = format!("bash /bin/bash /usr/bin:/bin [ b ] {dir} 5%\none\n\ntwo 'three' $A%\n");
    assert_eq!(text_of(&ran.stdout), expected, "{}", text_of(&ran.stderr));
    let ran = rig.leafcron(&["run", &job(1), "--wait"]);
    assert_eq!(
        text_of(&ran.stdout),
        format!("sh {} {user}\n", job(1)),
        "nothing to read: {}",
        text_of(&ran.stderr)
    );
    assert_eq!(ran.status.code(), Some(7));

    let shown = rig.json(&["show", &job(0)]);
    let fields = shown["fields"].as_array().unwrap();
    for (name, value) in
        [("catch_up", "none"), ("overlap", "allow"), ("timeout", "none"), ("schedule", "5 4 * * *")]
    {
        let field = fields.iter().find(|field| field["field"] == name).unwrap();
        assert_eq!((&field["value"], &field["from"]), (&value.into(), &"definition".into()), "{name}");
    }
}

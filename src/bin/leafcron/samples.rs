//! Answers of a made-up device, for the tests of the pages.

use leafcron::job::{EventJson, JobRow, JobShown, RecordJson, Status};

use crate::here::Here;

/// Five hours before the record's due instant, in Berlin.
pub(crate) fn here() -> Here {
    Here {
        now: "2026-11-21T21:00:00Z".parse::<jiff::Timestamp>().unwrap().into(),
        zone: jiff::tz::TimeZone::get("Europe/Berlin").unwrap(),
    }
}

fn read<T: serde::de::DeserializeOwned>(text: &str) -> T {
    serde_json::from_str(text).unwrap()
}

pub(crate) fn rows() -> Vec<JobRow> {
    read(
        r#"[{"job":"backup","source":"file","schedule":"0 3 * * *","time_zone":"Europe/Berlin","enabled":true,
             "paused":false,"next":"2026-11-22T02:00:00.000Z","running":1,"waiting":0,
             "last":{"ended":"2026-11-21T02:03:10.120Z","outcome":"failed","exit_code":3}},
            {"job":"clean","source":"agent","schedule":"@every 90s","time_zone":"UTC","enabled":true,
             "paused":true,"running":0,"waiting":2,
             "last":{"ended":"2026-11-21T20:59:30.000Z","outcome":"skipped","reason":"gate"}},
            {"job":"new-one","source":"group.all","schedule":"@reboot","time_zone":"Europe/Berlin","enabled":false,
             "paused":false,"running":0,"waiting":0}]"#,
    )
}

pub(crate) fn shown() -> JobShown {
    read(
        r#"{"job":"backup","source":"file","schedule":"0 3 * * *","time_zone":"Europe/Berlin","enabled":true,
            "paused":false,"next":"2026-11-22T02:00:00.000Z","running":1,"waiting":1,
            "last":{"ended":"2026-11-21T02:03:10.120Z","outcome":"failed","exit_code":3},
            "revision":"9f2c41d07a3e","origin":"jobs.d/home.toml",
            "fields":[{"field":"schedule","value":"0 3 * * *","from":"definition"},
                      {"field":"command","value":"restic backup /home\necho \u001b[2Jdone","from":"definition"},
                      {"field":"require.load_per_cpu","value":0.7,"from":"device"},
                      {"field":"retry","value":{"attempts":1},"from":"default"},
                      {"field":"time_zone","value":null,"from":"default"}],
            "runs":[{"job":"backup","run":7,"trigger":"manual","due":"2026-11-21T20:58:00.000Z",
                     "started":"2026-11-21T20:58:00.010Z","attempt":1,"pid":812,"stopping":false,"overdue":true}],
            "pending":[{"job":"backup","trigger":"schedule","due":"2026-11-21T20:59:00.000Z","stage":"gate",
                        "shut":["load_per_cpu is 1.2, at most 0.7 is allowed"],
                        "until":"2026-11-21T21:09:00.000Z"}],
            "refused":{"origin":"jobs.d/home.toml","line":3,"job":"backup","field":"timeout",
                       "reason":"\"5x\" is not a duration"}}"#,
    )
}

pub(crate) fn record() -> RecordJson {
    read(include_str!("../../../tests/golden/record.json"))
}

pub(crate) fn missed() -> RecordJson {
    read(
        r#"{"seq":4712,"epoch":"6f0c0000000000000000000000000000","agent":"pi-01","job":"clean",
            "revision":"9f2c41d07a3e","trigger":"catch_up","era":1,"due":"2026-11-22T02:00:00.000Z",
            "ended":"2026-11-22T02:10:00.000Z","attempt":0,"outcome":"skipped","final":true,"reason":"missed",
            "covers":{"from":"2026-11-20T02:00:00.000Z","to":"2026-11-22T02:00:00.000Z","count":42},
            "clock":"synced"}"#,
    )
}

pub(crate) fn events() -> Vec<EventJson> {
    read(
        r#"[{"seq":4709,"epoch":"6f0c0000000000000000000000000000","agent":"pi-01","event":"clock_step",
             "at":"2026-11-18T17:00:02.000Z","clock":"synced","by_ms":-15000},
            {"seq":4710,"epoch":"6f0c0000000000000000000000000000","agent":"pi-01","event":"refused",
             "at":"2026-11-20T08:00:00.000Z","clock":"synced","source":"jobs.d/\u001bhome.toml",
             "job":"backup","reason":"timeout: no"}]"#,
    )
}

pub(crate) fn status() -> Status {
    let shown = shown();
    let text = r#"{"agent":"pi-01","version":"0.1.0","epoch":"6f0c0000000000000000000000000000","pid":411,
        "since":"2026-11-18T17:00:00.000Z","now":"2026-11-21T21:00:00.000Z","clock":"synced","jobs":3,"max_runs":4,
        "running":[],"waiting":[],"refused":[],
        "readings":{"load_per_cpu":1.2,"memory_available":104857600,"disk_available":{"/var":1073741824}},
        "journal":{"next_seq":4712,"bytes":1300000,"segments":2,"frames":17,"written":12345,"syncs":17,
                   "runs":40,"unrecorded":0}}"#;
    let status: Status = read(text);
    Status {
        events: events(),
        running: shown.runs,
        waiting: shown.pending,
        refused: shown.refused.into_iter().collect(),
        ..status
    }
}

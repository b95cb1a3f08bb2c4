//! Every bound of leafcron, with its unit and its reason (DESIGN section 8 and where each is used).

use core::time::Duration;

/// Jobs on one device: what keeps the agent's memory within its budget.
pub const JOBS: usize = 1_024;
/// One definition's canonical text, in bytes: also a KV value's bound.
pub const DEFINITION_BYTES: usize = 64 * 1024;
/// All definitions of the centre together, in bytes: a thousand ordinary ones are some 300 KiB. They lie in memory and in the
/// journal, and none gives way to history.
pub const CENTRAL_BYTES: usize = 4 * 1024 * 1024;
/// One jobs file, in bytes: a thousand ordinary definitions.
pub const JOBS_FILE_BYTES: u64 = 1024 * 1024;
/// Jobs files read from the jobs directory.
pub const JOBS_FILES: usize = 1_024;
/// One schedule line, in bytes, before any parser sees it.
pub const SCHEDULE_BYTES: usize = 256;
/// Output kept of one Run, at most, in bytes.
pub const OUTPUT_BYTES: u32 = 64 * 1024;
/// Output of one Run that can be followed while it goes on, at most, in bytes.
pub const LIVE_RUN_BYTES: u32 = 256 * 1024;
/// The same for all Runs that may go on at once, in bytes.
pub const LIVE_BYTES: u32 = 4 * 1024 * 1024;
/// Entries waiting to start, of one job.
pub const PENDING_PER_JOB: usize = 4;
/// Entries waiting to start, in all.
pub const PENDING: usize = 1_024;
/// Missed fires that `catch_up = "all"` runs.
pub const CATCH_UP: u32 = 100;
/// How late the latest due fire may be and still count as on time.
pub const ON_TIME: Duration = Duration::from_secs(60);
/// A change of wall time against boot time that is worth an event.
pub const CLOCK_STEP: Duration = Duration::from_secs(10);
/// How far behind the newest time an unsynchronised clock is implausible; one that is synchronised had been wrong.
pub const CLOCK_BEHIND: Duration = Duration::from_secs(3_600);
/// How far ahead of the newest time an unsynchronised clock is implausible: no device that kept time was off as long.
pub const CLOCK_AHEAD: Duration = Duration::from_secs(400 * 86_400);
/// Starts of a fire with `on_interrupt = "rerun"`, at least.
pub const RERUN_STARTS: u8 = 3;
/// Attempts that `retry` may ask for.
pub const ATTEMPTS: u8 = 100;
/// A tree that lives on so long after KILL hangs in the kernel: its run is reported as overdue.
pub const KILL_WORKS: Duration = Duration::from_secs(60);
/// How long a `check` command may take.
pub const CHECK_TIMEOUT: Duration = Duration::from_secs(30);
/// How long an `on_failure` command may take.
pub const ON_FAILURE_TIMEOUT: Duration = Duration::from_secs(30);
/// How long the result of a `check` counts.
pub const CHECK_FRESH: Duration = Duration::from_secs(5);
/// One frame of the journal, in bytes; a turn that grows beyond it is cut into the next one.
pub const FRAME_BYTES: usize = 1024 * 1024;
/// One request line on the control socket, in bytes.
pub const REQUEST_BYTES: usize = 64 * 1024;
/// One reply line on the control socket, in bytes.
pub const REPLY_BYTES: usize = 8 * 1024 * 1024;
/// Connections on the control socket at once.
pub const CONNECTIONS: usize = 32;
/// Records that one `history` answers with, at most.
pub const HISTORY_ROWS: usize = 1_000;
/// Events that `status` shows, and that are kept in memory for it: the newest.
pub const EVENTS_SHOWN: usize = 8;
/// A detail text in a record, in bytes.
pub const DETAIL_BYTES: usize = 512;
/// Environment variables of one job.
pub const ENV_VARS: usize = 256;
/// Arguments of one job's `args`.
pub const ARGS: usize = 1_024;
/// Paths of one job's `disk_available`.
pub const DISK_PATHS: usize = 8;
/// A kernel without PSI: where cpu or io pressure is bounded, the load per cpu may be so much at most; tasks that wait for
/// storage count in it.
pub const STAND_IN_LOAD: f32 = 1.0;
/// A kernel without PSI: where memory pressure is bounded, so much of the memory must be available, in percent.
pub const STAND_IN_MEMORY_PERCENT: f32 = 10.0;
/// Paths that `doctor` looks at, at least: no job has more than a few beyond it.
pub const DOCTOR_PATHS: usize = 64;
/// Command ids that are remembered, so that asking twice runs once.
pub const COMMAND_IDS: usize = 256;
/// How far ahead a command's `not_after` may be: as long as its id is remembered.
pub const COMMAND_AHEAD: Duration = Duration::from_secs(24 * 3600);
/// One frame between agent and link, in bytes.
pub const LINK_FRAME_BYTES: usize = 1024 * 1024;
/// Records on their way to the centre at once.
pub const IN_FLIGHT: usize = 32;
/// Bytes of records on their way to the centre at once; one larger record goes alone.
pub const IN_FLIGHT_BYTES: usize = 64 * 1024;
/// Jobs that a heartbeat names in one of its lists.
pub const LISTED: usize = 64;

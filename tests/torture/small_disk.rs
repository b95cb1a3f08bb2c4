//! A small ext4 in a file, mounted through a loop device, which is filled up and freed.

use std::fs;
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

/// The smallest that has room for a journal of the file system, a journal of ours and its reserve.
const IMAGE_BYTES: u64 = 8 * 1024 * 1024;

/// Longer than a second: something is due.
const FULL: Duration = Duration::from_millis(1_200);

pub(super) struct SmallDisk {
    dir: tempfile::TempDir,
    mounted: Option<PathBuf>,
}

impl SmallDisk {
    /// Makes the image and tries whether this machine lets it be mounted; otherwise what it said.
    pub(super) fn try_new() -> Result<Self, String> {
        let dir = tempfile::tempdir().map_err(|error| error.to_string())?;
        let mut disk = Self { dir, mounted: None };
        let image = fs::File::create(disk.image()).and_then(|file| file.set_len(IMAGE_BYTES));
        image.map_err(|error| error.to_string())?;
        run(Command::new("mkfs.ext4").args(["-q", "-F", "-m", "0"]).arg(disk.image()))?;
        let probe = disk.dir.path().join("probe");
        fs::create_dir(&probe).map_err(|error| error.to_string())?;
        disk.try_mount(&probe)?;
        disk.unmount();
        Ok(disk)
    }

    fn image(&self) -> PathBuf {
        self.dir.path().join("image")
    }

    fn try_mount(&mut self, at: &Path) -> Result<(), String> {
        run(Command::new("mount").args(["-o", "loop"]).arg(self.image()).arg(at))?;
        self.mounted = Some(at.to_owned());
        Ok(())
    }

    pub(super) fn mount(&mut self, at: &Path) {
        fs::create_dir(at).unwrap();
        self.try_mount(at).unwrap();
    }

    fn unmount(&mut self) {
        if let Some(at) = self.mounted.take()
            && let Err(why) = run(Command::new("umount").arg(&at))
        {
            eprintln!("umount {}: {why}", at.display());
        }
    }

    fn filler(&self) -> PathBuf {
        self.mounted.as_ref().unwrap().join("filler")
    }

    /// Frees it, fills it, or lets it be.
    pub(super) fn change(&mut self, roll: u64) {
        match roll {
            0 => self.free(),
            1 | 2 => self.fill(),
            _ => {}
        }
    }

    /// Full for some seconds, what the reserve gave too, then free again: intents are refused, carried, and written.
    pub(super) fn fill_and_free(&mut self) {
        for _ in 0..6 {
            self.fill();
            std::thread::sleep(FULL);
        }
        self.free();
        std::thread::sleep(FULL);
    }

    pub(super) fn free(&mut self) {
        fs::remove_file(self.filler()).ok();
    }

    /// Until not a byte more goes in: that the system says no is what is wanted.
    fn fill(&mut self) {
        let mut file = fs::OpenOptions::new().create(true).append(true).open(self.filler()).unwrap();
        for size in [64 * 1024, 1_024, 1] {
            let part = vec![b'x'; size];
            while file.write_all(&part).is_ok() {}
        }
        file.sync_all().ok();
    }
}

impl Drop for SmallDisk {
    fn drop(&mut self) {
        self.unmount();
    }
}

fn run(command: &mut Command) -> Result<(), String> {
    let name = command.get_program().to_string_lossy().into_owned();
    let output = command.output().map_err(|error| format!("{name}: {error}"))?;
    if output.status.success() {
        return Ok(());
    }
    Err(format!("{name}: {}", String::from_utf8_lossy(&output.stderr).trim()))
}

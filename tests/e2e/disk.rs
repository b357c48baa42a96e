//! Small disks: a file system in a file, to fill up, or to share blocks on.

use std::path::{Path, PathBuf};
use std::process::Command;

use crate::sandbox::skipped;

/// What a small disk is formatted with.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Fs {
    Ext4,
    /// From 300 MB; copies share their blocks.
    Xfs,
    /// From 110 MB; copies share their blocks.
    Btrfs,
}

impl Fs {
    fn name(self) -> &'static str {
        match self {
            Fs::Ext4 => "ext4",
            Fs::Xfs => "xfs",
            Fs::Btrfs => "btrfs",
        }
    }

    /// What `free` says is then what root's servers get.
    fn options(self) -> &'static [&'static str] {
        match self {
            Fs::Ext4 => &["-q", "-m", "0"],
            Fs::Xfs => &["-q"],
            // Otherwise what a small one says of its free space is off by tens of megabytes.
            Fs::Btrfs => &["-q", "--mixed"],
        }
    }
}

/// A mounted file system that goes away with this value.
pub struct SmallDisk {
    root: tempfile::TempDir,
    bound: Vec<PathBuf>,
}

impl SmallDisk {
    /// A disk of so many bytes; none when this machine cannot mount it, which it says, and which is
    /// a failure in CI.
    pub fn new(fs: Fs, size: u64, test: &str) -> Option<SmallDisk> {
        SmallDisk::make(fs, size)
            .map_err(|why| {
                let what = format!("{test}: no {} disk can be mounted: {why}", fs.name());
                assert!(std::env::var_os("CI").is_none(), "{what}");
                skipped(&what);
            })
            .ok()
    }

    fn make(fs: Fs, size: u64) -> Result<SmallDisk, String> {
        let root = tempfile::Builder::new().prefix("devdb-disk").tempdir().unwrap();
        let image = root.path().join("image");
        std::fs::File::create(&image).unwrap().set_len(size).unwrap();
        let program = format!("mkfs.{}", fs.name());
        run(Command::new(program).args(fs.options()).arg(&image))?;
        let disk = SmallDisk { root, bound: Vec::new() };
        std::fs::create_dir(disk.path()).unwrap();
        disk.mount()?;
        Ok(disk)
    }

    /// Mounts it, at first and after [`SmallDisk::unmount`].
    pub fn mount(&self) -> Result<(), String> {
        let image = self.root.path().join("image");
        run(Command::new("mount").args(["-o", "loop"]).arg(image).arg(self.path()))
    }

    /// Takes it away; what is on it stays.
    pub fn unmount(&self) {
        run(Command::new("umount").arg(self.path())).unwrap();
    }

    /// Where it is mounted.
    pub fn path(&self) -> PathBuf {
        self.root.path().join("disk")
    }

    /// Mounts a directory of the disk's over another, which is made if it is not there.
    pub fn bind_over(&mut self, directory: &Path) {
        let from = self.path().join(format!("bound-{}", self.bound.len()));
        for path in [from.as_path(), directory] {
            std::fs::create_dir_all(path).unwrap();
        }
        run(Command::new("mount").arg("--bind").arg(from).arg(directory)).unwrap();
        self.bound.push(directory.to_path_buf());
    }

    /// How many bytes can be written.
    pub fn free(&self) -> u64 {
        let seen = rustix::fs::statvfs(self.path()).unwrap();
        seen.f_bavail * seen.f_frsize
    }

    /// The same, when everything that was written so far is on the disk: until then btrfs does not
    /// count it.
    pub fn free_when_synced(&self) -> u64 {
        run(Command::new("sync").arg("-f").arg(self.path())).unwrap();
        self.free()
    }

    /// Fills it until at most so many bytes are free, or the file system gives no more: XFS and
    /// btrfs keep some. What filled it before makes room first.
    pub fn fill_up_to(&self, free: u64) {
        use rustix::fs::{FallocateFlags, fallocate};
        self.make_room();
        let filler = std::fs::File::create(self.filler()).unwrap();
        let (mut size, mut step) = (0, self.free());
        while self.free() > free && step >= 4096 {
            step = step.min(self.free() - free).max(4096);
            match fallocate(&filler, FallocateFlags::empty(), size, step) {
                Ok(()) => size += step,
                Err(rustix::io::Errno::NOSPC) => step /= 2,
                Err(error) => panic!("{error}"),
            }
            filler.sync_all().unwrap();
        }
    }

    /// Removes what filled it.
    pub fn make_room(&self) {
        drop(std::fs::remove_file(self.filler()));
    }

    fn filler(&self) -> PathBuf {
        self.path().join("filler")
    }
}

impl Drop for SmallDisk {
    fn drop(&mut self) {
        for directory in self.bound.iter().rev() {
            unmount(directory);
        }
        unmount_below(self.root.path());
    }
}

/// Undoes every mount in a directory, the innermost first.
pub fn unmount_below(directory: &Path) {
    let mounts = std::fs::read_to_string("/proc/self/mounts").unwrap();
    let inside = |line: &str| {
        // The temporary directories here have no space in their names, which would be escaped.
        let path = PathBuf::from(line.split(' ').nth(1)?);
        path.starts_with(directory).then_some(path)
    };
    for path in mounts.lines().rev().filter_map(inside) {
        unmount(&path);
    }
}

/// At once, or when the last process that a failed test left has ended.
fn unmount(directory: &Path) {
    if run(Command::new("umount").arg(directory)).is_err() {
        drop(run(Command::new("umount").arg("--lazy").arg(directory)));
    }
}

fn run(command: &mut Command) -> Result<(), String> {
    let output = command.output().map_err(|error| format!("{command:?}: {error}"))?;
    match output.status.success() {
        true => Ok(()),
        false => Err(String::from_utf8_lossy(&output.stderr).trim().to_owned()),
    }
}

#[test]
fn a_small_disk_fills_up_and_shares_blocks_where_it_should() {
    for (fs, size) in [(Fs::Ext4, 64 << 20), (Fs::Xfs, 320 << 20), (Fs::Btrfs, 160 << 20)] {
        let Some(disk) = SmallDisk::new(fs, size, "small disks") else { continue };
        let file = |name: &str| disk.path().join(name);
        std::fs::write(file("original"), vec![7; 1 << 20]).unwrap();
        let copy =
            run(Command::new("cp").arg("--reflink=always").args([file("original"), file("copy")]));
        assert_eq!(copy.is_ok(), fs != Fs::Ext4, "{fs:?}: {copy:?}");
        for free in [8 << 20, 0] {
            disk.fill_up_to(free);
            assert!(disk.free() <= free + (4 << 20), "{fs:?}: {}", disk.free());
            let full = std::fs::write(file("more"), vec![7; 12 << 20]).unwrap_err();
            assert_eq!(full.kind(), std::io::ErrorKind::StorageFull, "{fs:?}");
            // On a full XFS not even the file was made.
            drop(std::fs::remove_file(file("more")));
        }
        disk.make_room();
        std::fs::write(file("more"), vec![7; 12 << 20]).unwrap();
        let path = disk.path();
        drop(disk);
        assert!(!path.exists());
    }
}

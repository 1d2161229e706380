//! Where a server lives: a folder, at most one process in it, and a watcher that removes both.

use std::fs::{File, OpenOptions};
use std::io::{self, Write as _};
use std::os::unix::fs::{MetadataExt as _, OpenOptionsExt as _, chown};
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, Command, Stdio};
use std::time::{Duration, Instant};

use super::PATIENCE;

/// Waits until the other end of its input is closed, which the system does when a process ends, however it ends.
/// Then it ends the server, first with the signal `$2`, and removes the folder `$1`.
const WATCH: &str = r#"
while read -r _; do :; done
if pid=$(cat "$1/pid" 2>/dev/null); then
    kill -s "$2" "$pid" 2>/dev/null
    looks=0
    while kill -0 "$pid" 2>/dev/null && [ $looks -lt 1000 ]; do
        sleep 0.01
        looks=$((looks + 1))
    done
    kill -s KILL "$pid" 2>/dev/null
fi
looks=0
until rm -rf "$1" || [ $looks -ge 100 ]; do
    sleep 0.1
    looks=$((looks + 1))
done
"#;

/// Notes its process id before it becomes the server, so that no server runs which the watcher does not know.
const BECOME: &str = r#"echo $$ >"$0" && exec "$@""#;

/// The folder of a server and its process.
#[derive(Debug)]
pub(super) struct Home {
    folder: PathBuf,
    user: Option<User>,
    process: Option<Child>,
    watcher: Child,
    /// Closed when this process ends, or when the home is given up.
    alive: Option<ChildStdin>,
}

/// Who runs a server that refuses to run as root.
#[derive(Debug, Clone, Copy)]
struct User {
    id: u32,
    group: u32,
}

impl Home {
    /// A new folder below `place`, watched. `user` runs the server when we are root; `signal` ends it.
    pub(super) fn new(name: &str, place: Option<&Path>, user: Option<&str>, signal: &str) -> Self {
        let place = place.map_or_else(temporary, Path::to_path_buf);
        let folder = tempfile::Builder::new().prefix(&format!("acceptd-{name}.")).tempdir_in(place).expect("a folder");
        let is_root = folder.path().metadata().expect("it is there").uid() == 0;
        let user = user.filter(|_| is_root).map(User::named);
        let mut watcher = Command::new("sh");
        watcher.args(["-c", WATCH, "watch"]).arg(folder.path()).arg(signal).process_group(0);
        watcher.stdin(Stdio::piped()).stdout(Stdio::null()).stderr(Stdio::null()).current_dir("/");
        let mut watcher = watcher.spawn().expect("sh starts");
        let alive = watcher.stdin.take();
        let folder = folder.keep();
        if let Some(User { id, group }) = user {
            chown(&folder, Some(id), Some(group)).expect("the folder is ours to give");
        }
        Self { folder, user, process: None, watcher, alive }
    }

    /// The folder.
    pub(super) fn path(&self) -> &Path {
        &self.folder
    }

    /// Writes a file that the server may read, and nobody else.
    pub(super) fn write(&self, name: &str, text: &str) -> PathBuf {
        let path = self.folder.join(name);
        let mut file =
            OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(&path).expect("a file");
        file.write_all(text.as_bytes()).expect("it is written");
        if let Some(User { id, group }) = self.user {
            chown(&path, Some(id), Some(group)).expect("the file is ours to give");
        }
        path
    }

    /// A program in the folder, run by who runs the server, in a plain environment.
    fn command(&self, program: &Path) -> Command {
        let mut command = Command::new(program);
        command.env_clear().env("PATH", std::env::var_os("PATH").unwrap_or_default()).env("LC_ALL", "C");
        command.current_dir(&self.folder).stdin(Stdio::null());
        if let Some(User { id, group }) = self.user {
            command.uid(id).gid(group);
        }
        command
    }

    /// Runs a program to its end and panics with what it said when that was no success.
    pub(super) fn run(&self, program: &Path, arguments: &[&str]) {
        let output = self.command(program).args(arguments).output().expect("the program starts");
        let said = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "{} {arguments:?}: {}\n{said}", program.display(), output.status);
    }

    /// Starts the server and waits until `is_ready`, which is given its process id.
    pub(super) fn start(&mut self, program: &Path, arguments: &[String], is_ready: impl Fn(u32) -> bool) {
        assert!(self.process.is_none(), "it runs already");
        let log = || -> io::Result<File> { OpenOptions::new().create(true).append(true).open(self.folder.join("log")) };
        let mut command = self.command(Path::new("sh"));
        command.args(["-c", BECOME]).arg(self.pid_file()).arg(program).args(arguments).process_group(0);
        command.stdout(log().expect("a log")).stderr(log().expect("a log"));
        let process = self.process.insert(command.spawn().expect("sh starts"));
        let (pid, since) = (process.id(), Instant::now());
        while !is_ready(pid) {
            let ended = self.process.as_mut().and_then(|process| process.try_wait().expect("an exit status"));
            let too_late = since.elapsed() > PATIENCE;
            assert!(ended.is_none() && !too_late, "{} is not ready: {ended:?}\n{}", program.display(), self.log());
            pause();
        }
    }

    /// Ends the server with a signal and waits until it has ended. Nothing when it does not run.
    pub(super) fn stop(&mut self, signal: &str) {
        let Some(process) = &mut self.process else { return };
        send(signal, &[process.id()]);
        let since = Instant::now();
        while process.try_wait().expect("an exit status").is_none() {
            assert!(since.elapsed() < PATIENCE, "it did not end by SIG{signal}");
            pause();
        }
        self.forget();
    }

    /// Ends the server and every process that it has started with SIGKILL, and waits until they are gone.
    pub(super) fn kill(&mut self) {
        let Some(process) = &mut self.process else { return };
        // It must start no other child while we look, and it must not see its children die.
        send("STOP", &[process.id()]);
        let children = children_of(process.id());
        send("KILL", &[process.id()]);
        send("KILL", &children);
        process.wait().expect("an exit status");
        let since = Instant::now();
        while !children.is_empty() && lives(&children) {
            assert!(since.elapsed() < PATIENCE, "{children:?} survived SIGKILL");
            pause();
        }
        self.forget();
    }

    /// The server's process; None while there is none.
    pub(super) fn pid(&self) -> Option<u32> {
        self.process.as_ref().map(Child::id)
    }

    /// What the server said.
    pub(super) fn log(&self) -> String {
        let log = std::fs::read(self.folder.join("log")).unwrap_or_default();
        String::from_utf8_lossy(&log).into_owned()
    }

    fn pid_file(&self) -> PathBuf {
        self.folder.join("pid")
    }

    /// The process has ended: its id may soon be another's.
    fn forget(&mut self) {
        self.process = None;
        std::fs::remove_file(self.pid_file()).ok();
    }
}

impl Drop for Home {
    fn drop(&mut self) {
        drop(self.alive.take());
        if let Some(process) = &mut self.process {
            process.wait().ok();
        }
        self.watcher.wait().ok();
    }
}

impl User {
    /// By `/etc/passwd`: `name:x:id:group:…`.
    fn named(name: &str) -> Self {
        let text = std::fs::read_to_string("/etc/passwd").expect("/etc/passwd");
        let mut fields = text.lines().map(|line| line.split(':').collect::<Vec<_>>());
        let found = fields.find(|fields| fields.len() > 3 && fields[0] == name);
        let found = found.unwrap_or_else(|| panic!("the server refuses to run as root, and there is no user {name}"));
        let number = |text: &str| text.parse().expect("a number");
        Self { id: number(found[2]), group: number(found[3]) }
    }
}

/// A folder for temporary files that every user can reach.
fn temporary() -> PathBuf {
    let common = Path::new("/tmp");
    if common.is_dir() { common.to_path_buf() } else { std::env::temp_dir() }
}

/// Sends a signal to processes of ours; those that have ended meanwhile don't mind.
fn send(signal: &str, pids: &[u32]) {
    let mut command = Command::new("kill");
    command.arg(format!("-{signal}")).args(pids.iter().map(ToString::to_string));
    command.stderr(Stdio::null()).status().expect("the kill program");
}

/// The processes that a process has started and that still are.
fn children_of(parent: u32) -> Vec<u32> {
    let output = Command::new("ps").args(["-A", "-o", "pid=,ppid="]).output().expect("the ps program");
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    let pairs = text.lines().filter_map(|line| {
        let mut numbers = line.split_whitespace().map(str::parse::<u32>);
        Some((numbers.next()?.ok()?, numbers.next()?.ok()?))
    });
    pairs.filter(|(_, of)| *of == parent).map(|(pid, _)| pid).collect()
}

/// Whether one of these processes runs; one that nobody has asked for its end does not.
fn lives(pids: &[u32]) -> bool {
    let list: Vec<_> = pids.iter().map(ToString::to_string).collect();
    let output = Command::new("ps").args(["-o", "stat=", "-p", &list.join(",")]).output().expect("the ps program");
    String::from_utf8_lossy(&output.stdout).lines().any(|state| !state.trim_start().starts_with('Z'))
}

/// Between two looks at a condition.
fn pause() {
    std::thread::sleep(Duration::from_millis(2));
}

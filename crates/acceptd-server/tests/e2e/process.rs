//! Processes under test: run to the end, or running beside the test. Nothing sleeps for a fixed time: conditions are
//! polled with a deadline.

use std::io::{BufRead as _, BufReader, Write as _};
use std::path::Path;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

/// How long anything may take on a busy machine.
pub(crate) const PATIENCE: Duration = Duration::from_secs(60);

/// The binary, without the settings of whoever runs the tests.
pub(crate) fn acceptd(folder: &Path) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_acceptd"));
    for (name, _) in std::env::vars_os() {
        if name.to_string_lossy().starts_with("ACCEPTD_") {
            command.env_remove(name);
        }
    }
    command.current_dir(folder).stdin(Stdio::null());
    command
}

/// A process that has ended.
#[derive(Debug)]
pub(crate) struct Ended {
    pub(crate) code: Option<i32>,
    pub(crate) stdout: String,
    pub(crate) stderr: String,
}

impl Ended {
    /// Its standard output as JSON.
    pub(crate) fn json(&self) -> serde_json::Value {
        serde_json::from_str(&self.stdout).unwrap_or_else(|error| panic!("{error}: {self:?}"))
    }

    /// Checks its exit code.
    #[track_caller]
    pub(crate) fn exits(self, code: i32) -> Self {
        assert_eq!(self.code, Some(code), "{self:?}");
        self
    }

    /// Checks that its standard error says something.
    #[track_caller]
    pub(crate) fn says(self, text: &str) -> Self {
        assert!(self.stderr.contains(text), "{text:?} is not in {self:?}");
        self
    }
}

/// Runs the binary to its end.
pub(crate) fn run(folder: &Path, arguments: &[&str]) -> Ended {
    end(acceptd(folder).args(arguments))
}

/// Runs a command to its end.
pub(crate) fn end(command: &mut Command) -> Ended {
    let output = command.output().unwrap();
    Ended {
        code: output.status.code(),
        stdout: String::from_utf8(output.stdout).unwrap(),
        stderr: String::from_utf8(output.stderr).unwrap(),
    }
}

/// A process that runs; killed when it goes.
pub(crate) struct Running {
    child: Child,
    lines: Arc<Mutex<Vec<String>>>,
}

impl Running {
    /// Starts it; its standard error is collected.
    pub(crate) fn start(command: &mut Command) -> Self {
        let mut child = command.stdout(Stdio::null()).stderr(Stdio::piped()).spawn().unwrap();
        let lines = Arc::new(Mutex::new(Vec::new()));
        let (stderr, into) = (child.stderr.take().unwrap(), Arc::clone(&lines));
        std::thread::spawn(move || {
            for line in BufReader::new(stderr).lines().map_while(Result::ok) {
                into.lock().unwrap().push(line);
            }
        });
        Self { child, lines }
    }

    /// Starts a server in a folder, on a free port, and waits until it listens.
    pub(crate) fn serve(folder: &Path, arguments: &[&str]) -> Server {
        Self::listening(folder, acceptd(folder).args(arguments).args(["--listen", "127.0.0.1:0"]))
    }

    /// Starts a server by a command of its own, and waits until it listens.
    pub(crate) fn listening(folder: &Path, command: &mut Command) -> Server {
        let running = Self::start(command);
        let line = running.line("listening on ");
        let url = line.trim_start_matches("listening on ").to_owned();
        Server { running, url, folder: folder.to_owned() }
    }

    /// Waits for a line of standard error that contains a text, and returns it.
    #[track_caller]
    pub(crate) fn line(&self, text: &str) -> String {
        let deadline = Instant::now() + PATIENCE;
        loop {
            let lines = self.lines.lock().unwrap().clone();
            if let Some(line) = lines.iter().find(|line| line.contains(text)) {
                return line.clone();
            }
            assert!(Instant::now() < deadline, "{text:?} was not said: {lines:#?}");
            std::thread::sleep(Duration::from_millis(5));
        }
    }

    /// What it said so far.
    pub(crate) fn said(&self) -> String {
        self.lines.lock().unwrap().join("\n")
    }

    /// Sends it a signal, such as `TERM`.
    pub(crate) fn signal(&self, name: &str) {
        let pid = self.child.id().to_string();
        assert!(Command::new("kill").args([&format!("-{name}"), &pid]).status().unwrap().success());
    }

    /// Waits for its end.
    pub(crate) fn wait(&mut self) -> ExitStatus {
        let deadline = Instant::now() + PATIENCE;
        loop {
            if let Some(status) = self.child.try_wait().unwrap() {
                return status;
            }
            assert!(Instant::now() < deadline, "the process did not end: {}", self.said());
            std::thread::sleep(Duration::from_millis(5));
        }
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        // It may have ended already.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// A server that runs, and the command line as its client.
pub(crate) struct Server {
    pub(crate) running: Running,
    pub(crate) url: String,
    folder: std::path::PathBuf,
}

impl Server {
    /// Runs a client of it.
    pub(crate) fn client(&self, arguments: &[&str]) -> Ended {
        end(acceptd(&self.folder).env("ACCEPTD_URL", &self.url).args(arguments))
    }

    /// Runs a client of it in somebody's name.
    pub(crate) fn client_as(&self, user: &str, arguments: &[&str]) -> Ended {
        end(acceptd(&self.folder).env("ACCEPTD_URL", &self.url).env("USER", user).args(arguments))
    }

    /// Runs a client of it with something on its standard input.
    pub(crate) fn client_with_input(&self, arguments: &[&str], input: &str) -> Ended {
        let mut command = acceptd(&self.folder);
        command.env("ACCEPTD_URL", &self.url).args(arguments);
        let mut child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
        child.stdin.take().unwrap().write_all(input.as_bytes()).unwrap();
        let output = child.wait_with_output().unwrap();
        let text = |bytes| String::from_utf8(bytes).unwrap();
        Ended { code: output.status.code(), stdout: text(output.stdout), stderr: text(output.stderr) }
    }

    /// Sends an event and returns the operation's id.
    #[track_caller]
    pub(crate) fn send(&self, arguments: &[&str]) -> String {
        let sent = self.client(&[&["send"], arguments].concat()).exits(0);
        sent.stdout.trim().to_owned()
    }
}

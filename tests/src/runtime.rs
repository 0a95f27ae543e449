//! The local runtime: a build of the Worker, run by the project's script in workerd alone.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, Command, Stdio};
use std::sync::OnceLock;
use std::time::{Duration, Instant};

use crate::client::{Client, Stream};
use crate::unique;

/// Folders are named after this, the process they belong to, and chance.
const FOLDER: &str = "tailrace-tests-";

/// Which build to run.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Build {
    /// The one that is deployed.
    #[default]
    Deployed,
    /// The one whose faults can be provoked.
    FaultInjection,
}

/// How to start a runtime.
#[derive(Clone, Debug, Default)]
pub struct Settings {
    build: Build,
    vars: BTreeMap<String, String>,
}

/// A runtime, and the folder in which its streams are kept. It ends with its value, or with this process.
#[derive(Debug)]
pub struct Runtime {
    /// `http://127.0.0.1:PORT`
    pub url: String,
    settings: Settings,
    folder: PathBuf,
    process: Option<Process>,
}

#[derive(Debug)]
struct Process {
    serve: Child,
    /// Held open: the script ends the runtime when it closes, however this process ends.
    _lifeline: ChildStdin,
    workerd: u32,
}

impl Settings {
    /// With a variable of the Worker's.
    #[must_use]
    pub fn var(mut self, name: &str, value: &str) -> Self {
        self.vars.insert(name.to_owned(), value.to_owned());
        self
    }

    /// With another build.
    #[must_use]
    pub fn build(mut self, build: Build) -> Self {
        self.build = build;
        self
    }

    /// Starts it.
    #[must_use]
    pub fn start(self) -> Runtime {
        sweep();
        let folder = std::env::temp_dir().join(unique(&format!("{FOLDER}{}", std::process::id())));
        std::fs::create_dir_all(&folder).unwrap();
        let mut runtime = Runtime { url: String::new(), settings: self, folder, process: None };
        runtime.start_on(0);
        runtime
    }
}

/// The runtime that all tests of this binary share: open, as `npm start` runs it.
pub fn shared() -> &'static Runtime {
    static SHARED: OnceLock<Runtime> = OnceLock::new();
    SHARED.get_or_init(|| Runtime::with().start())
}

/// A stream of its own in the shared runtime.
#[must_use]
pub fn a_stream() -> Stream {
    shared().client().stream(&format!("/{}", unique("t")))
}

impl Runtime {
    /// One of its own, to be configured and started.
    #[must_use]
    pub fn with() -> Settings {
        Settings::default()
    }

    /// A client without a token.
    #[must_use]
    pub fn client(&self) -> Client {
        Client::new(&self.url)
    }

    /// A stream of its own in this runtime.
    #[must_use]
    pub fn a_stream(&self) -> Stream {
        self.client().stream(&format!("/{}", unique("t")))
    }

    /// `host:port`, for who writes bytes to a socket.
    #[must_use]
    pub fn authority(&self) -> &str {
        self.url.trim_start_matches("http://")
    }

    /// `kill -9`: nobody gets to say goodbye. Clients from before may still hold connections that are gone.
    pub fn kill(&mut self) {
        let Some(mut process) = self.process.take() else { return };
        send_signal("KILL", process.workerd);
        process.serve.kill().unwrap();
        process.serve.wait().unwrap();
        let begun = Instant::now();
        while is_running(process.workerd) {
            assert!(begun.elapsed() < Duration::from_secs(10), "workerd does not die");
            std::thread::sleep(Duration::from_millis(5));
        }
    }

    /// Starts again where the last one was, on the same streams.
    pub fn start_again(&mut self) {
        let port = self.url.rsplit(':').next().and_then(|port| port.parse().ok()).unwrap();
        self.start_on(port);
    }

    /// `kill -9`, and up again.
    pub fn kill_and_restart(&mut self) {
        self.kill();
        self.start_again();
    }

    /// The memory that workerd has resident now, and the most it ever had, in MiB.
    #[must_use]
    pub fn memory(&self) -> (u64, u64) {
        let process = self.process.as_ref().unwrap();
        let status = std::fs::read_to_string(format!("/proc/{}/status", process.workerd)).unwrap();
        let read = |name: &str| {
            let line = status.lines().find(|line| line.starts_with(name)).unwrap();
            line.split_whitespace().nth(1).unwrap().parse::<u64>().unwrap() / 1024
        };
        (read("VmRSS:"), read("VmHWM:"))
    }

    fn start_on(&mut self, port: u16) {
        let build = match self.settings.build {
            Build::Deployed => from_env("TAILRACE_BUILD", "build"),
            Build::FaultInjection => from_env("TAILRACE_TEST_BUILD", "build-test"),
        };
        assert!(
            Path::new(&build).join("index.js").exists(),
            "there is no build in {}: run the suite by `npm test -- http`",
            build.display()
        );
        let mut command = Command::new(from_env("TAILRACE_NODE", "node_modules/.bin/node"));
        command.arg("--no-warnings").arg(from_env("TAILRACE_RUNTIME", "scripts/runtime/serve.mjs"));
        command.arg("--build").arg(build).arg("--port").arg(port.to_string());
        command.arg("--persist-to").arg(&self.folder).arg("--until-stdin-closes");
        // The variables of whoever runs the tests are not the Worker's.
        for (name, _) in std::env::vars_os().filter(|(name, _)| is_ours(name)) {
            command.env_remove(name);
        }
        command.envs(&self.settings.vars);
        let log = std::fs::File::options().create(true).append(true).open(self.folder.join("log")).unwrap();
        let mut serve = command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(log).spawn().unwrap();
        let mut line = String::new();
        BufReader::new(serve.stdout.take().unwrap()).read_line(&mut line).unwrap();
        let url = line.split('"').nth(3).map(str::to_owned);
        let Some(url) = url else {
            let log = std::fs::read_to_string(self.folder.join("log")).unwrap_or_default();
            panic!("the runtime does not start: {line}\n{log}");
        };
        self.url = url;
        let workerd = child_named(serve.id(), "workerd").expect("the script runs workerd");
        let lifeline = serve.stdin.take().unwrap();
        self.process = Some(Process { serve, _lifeline: lifeline, workerd });
    }
}

impl Drop for Runtime {
    fn drop(&mut self) {
        self.kill();
        if !std::thread::panicking() {
            let _ = std::fs::remove_dir_all(&self.folder);
        }
    }
}

/// Removes the folders of test processes that are gone: a shared runtime lives as long as its process.
fn sweep() {
    for entry in std::fs::read_dir(std::env::temp_dir()).into_iter().flatten().flatten() {
        let name = entry.file_name().to_string_lossy().into_owned();
        let owner = name.strip_prefix(FOLDER).and_then(|rest| rest.split('-').next()?.parse().ok());
        if owner.is_some_and(|pid| !is_running(pid)) {
            let _ = std::fs::remove_dir_all(entry.path());
        }
    }
}

fn from_env(name: &str, in_project: &str) -> PathBuf {
    let usual = || Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap().join(in_project);
    std::env::var_os(name).map_or_else(usual, PathBuf::from)
}

fn is_ours(name: &OsString) -> bool {
    name.to_string_lossy().starts_with("TAILRACE_")
}

fn send_signal(signal: &str, pid: u32) {
    let _ = Command::new("kill").arg(format!("-{signal}")).arg(pid.to_string()).stderr(Stdio::null()).status();
}

/// A process that is not yet collected by its parent counts as dead: its files are closed.
fn is_running(pid: u32) -> bool {
    stat_of(pid).is_some_and(|(_, state, _)| state != "Z" && state != "X")
}

fn child_named(parent: u32, name: &str) -> Option<u32> {
    let entries = std::fs::read_dir("/proc").ok()?;
    let pids = entries.filter_map(|entry| entry.ok()?.file_name().to_str()?.parse().ok());
    pids.into_iter().find(|&pid| stat_of(pid).is_some_and(|(its_name, _, its)| its_name == name && its == parent))
}

/// Name, state and parent of a process.
fn stat_of(pid: u32) -> Option<(String, String, u32)> {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    let (name, rest) = stat.split_once('(')?.1.rsplit_once(") ")?;
    let mut fields = rest.split(' ');
    Some((name.to_owned(), fields.next()?.to_owned(), fields.next()?.parse().ok()?))
}

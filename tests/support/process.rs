//! Child processes that end with this one, however it ends.
//!
//! A destructor does not run in a process that is killed, and the statics of a test run are never dropped. So each child
//! has a watchdog beside it: a shell that reads from a pipe whose other end only this process holds. When this process is
//! gone, for whatever reason, the read ends, and the watchdog kills the child and removes its files.

use std::ffi::OsStr;
use std::fs::{File, OpenOptions};
use std::io::Write;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::{Duration, Instant};

use super::error::{Context, Error, Result};

const POLL: Duration = Duration::from_millis(10);
/// How much of a log belongs into an error.
const TAIL_LINES: usize = 25;

/// Waits for the pid, then for the end of the owner. `$1`: tenths of a second between TERM and KILL, 0 for KILL at once;
/// the rest: what to remove. The loops are bounded because a process that nobody reaps can be signalled for ever.
const WATCHDOG: &str = r#"
trap '' HUP INT TERM
tenths=$1
shift
if read -r pid; then
    while read -r _line; do :; done
    if [ "$tenths" -gt 0 ]; then kill -TERM "-$pid"; fi
    while [ "$tenths" -gt 0 ] && kill -0 "-$pid"; do sleep 0.1; tenths=$((tenths - 1)); done
    kill -KILL "-$pid"
    tenths=20
    while [ "$tenths" -gt 0 ] && kill -0 "-$pid"; do sleep 0.1; tenths=$((tenths - 1)); done
fi
if [ "$#" -gt 0 ]; then rm -rf -- "$@"; fi
"#;

/// Becomes the program only once its watchdog knows it: without this, an owner killed between the two starts would leave
/// the program behind.
const GATE: &str = r#"read -r _go && exec "$@" </dev/null"#;

/// A command about to be started as a guarded process.
pub struct Launch {
    name: String,
    command: Command,
    directory: PathBuf,
    grace: Duration,
    remove: Vec<PathBuf>,
}

impl Launch {
    /// `directory` gets the output: `NAME.out` and `NAME.log`. The output of an earlier process of that name is kept in
    /// the log and replaced in the `.out` file, whose first lines are awaited.
    pub fn new(name: &str, program: impl AsRef<OsStr>, directory: &Path) -> Self {
        let mut command = Command::new("/bin/sh");
        command.arg("-c").arg(GATE).arg(name).arg(program);
        Self {
            name: name.to_owned(),
            command,
            directory: directory.to_owned(),
            grace: Duration::ZERO,
            remove: Vec::new(),
        }
    }

    /// For arguments, environment and working directory. Input and output are settled here.
    pub fn command(mut self, change: impl FnOnce(&mut Command)) -> Self {
        change(&mut self.command);
        self
    }

    /// How long the process may take to end in good order once its owner is gone; killed at once without it.
    pub fn grace(mut self, grace: Duration) -> Self {
        self.grace = grace;
        self
    }

    /// Removes this file or folder if the owner ends without having done so. Processes may share it.
    pub fn removing(mut self, path: &Path) -> Self {
        self.remove.push(path.to_owned());
        self
    }

    pub fn start(mut self) -> Result<Guarded> {
        let (output, log) = (self.file("out"), self.file("log"));
        let watchdog = self.watchdog()?;
        // A process group of their own, so that Ctrl-C in a terminal reaches the owner alone, which then ends them.
        self.command.process_group(0).stdin(Stdio::piped());
        self.command.stdout(File::create(&output).context(output.display())?);
        self.command.stderr(OpenOptions::new().create(true).append(true).open(&log).context(log.display())?);
        let child = self.command.spawn().context(format!("cannot start {}", self.name))?;
        let mut guarded =
            Guarded { name: self.name, child, watchdog: Some(watchdog), output, log, status: None, grace: self.grace };
        guarded.open_gate()?;
        Ok(guarded)
    }

    fn file(&self, extension: &str) -> PathBuf {
        self.directory.join(format!("{}.{extension}", self.name))
    }

    fn watchdog(&self) -> Result<Child> {
        let tenths = self.grace.as_millis().div_ceil(100).to_string();
        Command::new("/bin/sh")
            .args(["-c", WATCHDOG, "extapp-watchdog", &tenths])
            .args(&self.remove)
            .process_group(0)
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .context(format!("cannot start the watchdog of {}", self.name))
    }
}

/// Processor time of a process (a pid, or `self`), in user and kernel mode, where the system tells.
pub fn processor_time(process: &str) -> Option<Duration> {
    // The unit of these fields is fixed for Linux at 1/100 s, whatever the kernel's own tick.
    const TICKS_PER_SECOND: u64 = 100;
    let stat = std::fs::read_to_string(format!("/proc/{process}/stat")).ok()?;
    // The name, in parentheses, may hold spaces; behind it `utime` and `stime` are the 12th and 13th field.
    let mut fields = stat.rsplit_once(')')?.1.split_whitespace().skip(11).map(str::parse::<u64>);
    let ticks = fields.next()?.ok()? + fields.next()?.ok()?;
    Some(Duration::from_millis(ticks * 1_000 / TICKS_PER_SECOND))
}

/// A running child process; dropping it kills it.
pub struct Guarded {
    name: String,
    child: Child,
    watchdog: Option<Child>,
    output: PathBuf,
    log: PathBuf,
    status: Option<ExitStatus>,
    grace: Duration,
}

impl Guarded {
    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    /// Where its standard error goes.
    pub fn log(&self) -> &Path {
        &self.log
    }

    /// Where its standard output goes.
    pub fn output(&self) -> &Path {
        &self.output
    }

    pub fn log_tail(&self) -> String {
        let tails = [tail(&self.output, TAIL_LINES), tail(&self.log, TAIL_LINES)];
        format!("last output of {}:\n{}", self.name, tails.join(""))
    }

    /// Memory in use, in KiB, where the system tells.
    pub fn resident_kib(&self) -> Option<u64> {
        let status = std::fs::read_to_string(format!("/proc/{}/status", self.pid())).ok()?;
        status.lines().find_map(|line| line.strip_prefix("VmRSS:"))?.split_whitespace().next()?.parse().ok()
    }

    /// Processor time used so far, where the system tells.
    pub fn processor_time(&self) -> Option<Duration> {
        processor_time(&self.pid().to_string())
    }

    pub fn alive(&mut self) -> bool {
        matches!(self.exited(), Ok(None))
    }

    /// The exit status, if it has ended.
    pub fn exited(&mut self) -> Result<Option<ExitStatus>> {
        if self.status.is_none() {
            self.status = self.child.try_wait()?;
            if self.status.is_some() {
                self.dismiss_watchdog();
            }
        }
        Ok(self.status)
    }

    /// Ends it the way a crash does.
    pub fn kill9(&mut self) -> Result<()> {
        if self.status.is_none() {
            // Before the pid is free for another process, which the watchdog would take for this one.
            self.dismiss_watchdog();
            self.child.kill()?;
            self.status = Some(self.child.wait()?);
        }
        Ok(())
    }

    /// Asks it to end, as Kubernetes does; an error, and the end, if it takes longer than `limit`.
    pub async fn terminate_and_wait(&mut self, limit: Duration) -> Result<ExitStatus> {
        if self.exited()?.is_none() {
            let pid = self.pid().to_string();
            Command::new("/bin/sh").args(["-c", r#"kill -TERM "$1""#, "sh", &pid]).status()?;
        }
        let ended = self.wait_exit(limit).await;
        self.kill9()?;
        ended
    }

    pub async fn wait_exit(&mut self, limit: Duration) -> Result<ExitStatus> {
        let started = Instant::now();
        loop {
            if let Some(status) = self.exited()? {
                return Ok(status);
            }
            if started.elapsed() > limit {
                return Err(Error::new(format!("{} still runs after {limit:?}; {}", self.name, self.log_tail())));
            }
            tokio::time::sleep(POLL).await;
        }
    }

    /// The first line of its standard output that contains `part`; an error if it ends before, or `limit` passes.
    pub async fn wait_for_line(&mut self, part: &str, limit: Duration) -> Result<String> {
        let started = Instant::now();
        loop {
            let exited = self.exited()?;
            let output = std::fs::read_to_string(&self.output).unwrap_or_default();
            let mut whole_lines = output.split_inclusive('\n').filter(|line| line.ends_with('\n'));
            if let Some(line) = whole_lines.find(|line| line.contains(part)) {
                return Ok(line.trim_end().to_owned());
            }
            if let Some(status) = exited {
                return Err(Error::new(format!("{} ended with {status} at start; {}", self.name, self.log_tail())));
            }
            if started.elapsed() > limit {
                let name = &self.name;
                return Err(Error::new(format!("{name} did not print {part:?} in {limit:?}; {}", self.log_tail())));
            }
            tokio::time::sleep(POLL).await;
        }
    }

    fn open_gate(&mut self) -> Result<()> {
        let pid = self.pid();
        let watchdog = self.watchdog.as_mut().and_then(|watchdog| watchdog.stdin.as_mut()).context("no watchdog")?;
        writeln!(watchdog, "{pid}")?;
        writeln!(self.child.stdin.take().context("no standard input")?, "go")?;
        Ok(())
    }

    fn dismiss_watchdog(&mut self) {
        if let Some(mut watchdog) = self.watchdog.take() {
            // An error means that it is gone already, which is what is wanted.
            let _ = watchdog.kill();
            let _ = watchdog.wait();
        }
    }
}

impl Drop for Guarded {
    fn drop(&mut self) {
        if !self.grace.is_zero() && self.alive() {
            let _ = Command::new("/bin/sh").args(["-c", r#"kill -TERM "-$1""#, "sh", &self.pid().to_string()]).status();
            let started = Instant::now();
            while self.alive() && started.elapsed() < self.grace {
                std::thread::sleep(POLL);
            }
        }
        // A destructor has nobody to tell.
        let _ = self.kill9();
        self.dismiss_watchdog();
    }
}

/// Whether a process of this number runs; one that has ended and waits to be reaped does not.
pub fn runs(pid: u32) -> bool {
    let process = PathBuf::from(format!("/proc/{pid}"));
    let state = if Path::new("/proc/self/stat").exists() {
        // The name, in parentheses, may contain anything; the state follows it.
        let stat = std::fs::read_to_string(process.join("stat")).unwrap_or_default();
        stat.rsplit_once(") ").map(|(_, rest)| rest.to_owned()).unwrap_or_default()
    } else {
        let ps = Command::new("ps").args(["-o", "stat=", "-p", &pid.to_string()]).output();
        ps.map(|output| String::from_utf8_lossy(&output.stdout).trim().to_owned()).unwrap_or_default()
    };
    !(state.is_empty() || state.starts_with(['Z', 'X']))
}

/// The last lines of a file, indented; empty if there is none.
pub fn tail(path: &Path, lines: usize) -> String {
    let bytes = std::fs::read(path).unwrap_or_default();
    let text = String::from_utf8_lossy(&bytes);
    let all: Vec<&str> = text.lines().collect();
    all[all.len().saturating_sub(lines)..].iter().flat_map(|line| ["    ", line, "\n"]).collect()
}

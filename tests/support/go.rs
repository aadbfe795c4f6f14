//! Programs in Go: built from their published modules with the machine's own Go tool, and kept below the target folder.

use std::fs::{File, TryLockError};
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};

use sha2::{Digest, Sha256};

use super::error::{Context, Error, Result};
use super::process::{Launch, tail};

const REPORT_INTERVAL: Duration = Duration::from_secs(10);
const POLL: Duration = Duration::from_millis(100);
/// How much of the Go tool's output belongs into an error.
const TAIL_LINES: usize = 40;

/// A module of tools, which says by its go.mod what is built in which version.
pub struct ToolModule {
    /// What a person who waits is told that this is about.
    pub topic: &'static str,
    /// The folder of its go.mod.
    pub folder: PathBuf,
    /// Whether a C compiler takes part.
    pub cgo: bool,
    /// What to do about a machine that cannot build it.
    pub advice: String,
}

impl ToolModule {
    /// The version of a module that go.mod requires: it is the one place that names it.
    pub fn required(&self, module: &str) -> Result<String> {
        let path = self.folder.join("go.mod");
        let text = std::fs::read_to_string(&path).context(path.display())?;
        let mut words = text.lines().map(|line| line.trim().trim_start_matches("require ").split_whitespace());
        let version = words.find_map(|mut line| (line.next() == Some(module)).then(|| line.next()).flatten());
        version.map(str::to_owned).context(format!("{} requires no {module}", path.display()))
    }

    /// The version of the Go tool, which newer ones fetch by themselves where the module wants a newer one.
    pub fn go_version(&self) -> Result<String> {
        let advice = &self.advice;
        match self.environment(&mut Command::new("go")).args(["env", "GOVERSION"]).output() {
            Ok(output) if output.status.success() => Ok(String::from_utf8_lossy(&output.stdout).trim().to_owned()),
            Ok(output) => {
                let reason = String::from_utf8_lossy(&output.stderr).trim().to_owned();
                Err(Error::new(format!("{advice}; the Go that is installed says: {reason}")))
            }
            Err(_) => Err(Error::new(format!("there is no Go: {advice}"))),
        }
    }

    /// Builds one program into a folder: it is there whole or not at all.
    pub fn build(&self, name: &str, package: &str, flags: &[&str], folder: &Path) -> Result<()> {
        std::fs::create_dir_all(folder).context(folder.display())?;
        // Beside the final place, so that the rename at the end moves no bytes.
        let parent = folder.parent().context("the folder has no parent")?;
        let workshop = tempfile::Builder::new().prefix("building-").tempdir_in(parent)?;
        let program = workshop.path().join(name);
        let tags: Vec<&str> = flags.windows(2).filter(|pair| pair[0] == "-tags").flatten().copied().collect();
        let list = [&["list"], &tags[..], &["-deps", package]].concat();
        let packages = self.run(name, "reading its sources", None, workshop.path(), &list)?;
        let output = program.display().to_string();
        let build = [&["build", "-v", "-trimpath"], flags, &["-o", &output, package]].concat();
        self.run(name, "compiling", Some(packages), workshop.path(), &build)?;
        std::fs::rename(&program, folder.join(name)).context(program.display())
    }

    /// Runs the Go tool, telling now and then how far it is; the number of lines that it printed.
    fn run(&self, name: &str, doing: &str, of: Option<usize>, workshop: &Path, arguments: &[&str]) -> Result<usize> {
        let launch = Launch::new("go", "go", workshop).removing(workshop).grace(Duration::from_secs(2));
        let prepare = |command: &mut Command| {
            self.environment(command).args(arguments);
        };
        let mut go = launch.command(prepare).start()?;
        let (started, mut reported) = (Instant::now(), Instant::now());
        let of = of.map(|packages| format!(" of at most {packages}")).unwrap_or_default();
        let mut first = true;
        loop {
            let status = go.exited()?;
            let diagnostics = std::fs::read_to_string(go.log()).unwrap_or_default();
            let downloads = diagnostics.lines().filter(|line| line.starts_with("go: downloading")).count();
            let compiled = diagnostics.lines().filter(|line| !line.starts_with("go:")).count();
            if status.is_none() && (first || reported.elapsed() >= REPORT_INTERVAL) {
                (first, reported) = (false, Instant::now());
                let detail = match (compiled, downloads) {
                    (0, 0) => String::new(),
                    (0, downloads) => format!(", {downloads} modules downloaded"),
                    (compiled, _) => format!(", {compiled}{of} packages"),
                };
                say(&format!("{}: {name}: {doing}{detail}, {}", self.topic, human(started.elapsed())));
            }
            match status {
                None => std::thread::sleep(POLL),
                Some(status) if status.success() => return Ok(std::fs::read_to_string(go.output())?.lines().count()),
                Some(status) => {
                    let output = tail(go.log(), TAIL_LINES);
                    return Err(Error::new(format!("`go {}` ended with {status}:\n{output}", arguments.join(" "))));
                }
            }
        }
    }

    fn environment<'a>(&self, command: &'a mut Command) -> &'a mut Command {
        // A workspace or flags of the person's own projects are not meant for this build.
        let cgo = if self.cgo { "1" } else { "0" };
        command.current_dir(&self.folder).env("CGO_ENABLED", cgo).env("GOFLAGS", "").env("GOWORK", "off")
    }
}

/// Changes with the contents of any of the files, so that a stale program is never taken for the wanted one.
pub fn cache_key(files: &[PathBuf]) -> Result<String> {
    let mut digest = Sha256::new();
    for path in files {
        digest.update(std::fs::read(path).context(path.display())?);
    }
    Ok(digest.finalize()[..6].iter().fold(String::new(), |text, byte| format!("{text}{byte:02x}")))
}

/// Keeps parallel builds into a folder apart. Held until dropped; the system drops it with the process, so a killed build
/// leaves no lock.
pub fn lock(directory: &Path, topic: &str) -> Result<File> {
    std::fs::create_dir_all(directory).context(directory.display())?;
    let path = directory.join("build.lock");
    let file = File::create(&path).context(path.display())?;
    match file.try_lock() {
        Ok(()) => {}
        Err(TryLockError::WouldBlock) => {
            say(&format!("{topic}: waiting for another build of the same programs ..."));
            file.lock().context(path.display())?;
        }
        Err(TryLockError::Error(error)) => return Err(error).context(path.display()),
    }
    Ok(file)
}

/// Progress is for a person who waits. The test harness captures the print macros, so this writes past it.
pub fn say(text: &str) {
    // Nobody to tell if standard error is closed.
    let _ = writeln!(std::io::stderr(), "{text}");
}

pub fn human(duration: Duration) -> String {
    let seconds = duration.as_secs();
    if seconds < 60 { format!("{seconds} s") } else { format!("{} min {} s", seconds / 60, seconds % 60) }
}

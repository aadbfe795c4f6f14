//! Programs that we did not write: installed once, below the target directory, from the registries that the machine's own
//! package managers are set up for.

use std::fs::{self, File};
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use sha2::{Digest, Sha256};

use super::assets::target_directory;
use super::error::{Context, Error, Result};
use super::process::Launch;

const NODE_HINT: &str = "install Node 20 or newer with npm, or name the program in NODE";
const CHROMIUM_HINT: &str = "install Chromium (Debian: apt-get install chromium), or name the program in CHROMIUM";

/// An interpreter that finds the packages which its scripts need.
#[derive(Clone, Debug)]
pub struct Interpreter {
    program: PathBuf,
    home: PathBuf,
    flags: &'static [&'static str],
    /// Where its scripts lie.
    scripts: PathBuf,
}

impl Interpreter {
    /// A script that goes on running, with these arguments.
    pub fn launch(&self, name: &str, script: &str, arguments: &[&str], directory: &Path) -> Launch {
        Launch::new(name, &self.program, directory).command(|command| {
            command.args(self.flags).arg(self.scripts.join(script)).args(arguments);
            command.env("NO_PROXY", "*").env("no_proxy", "*");
        })
    }

    /// Runs a script with this standard input, and gives back what it prints. Blocks.
    pub fn run(&self, script: &str, arguments: &[&str], input: &str) -> Result<String> {
        let mut command = Command::new(&self.program);
        command.args(self.flags).arg(self.scripts.join(script)).args(arguments);
        // Nothing is written beside the sources, and no proxy of the machine comes between two programs on it.
        command.env("PYTHONPYCACHEPREFIX", self.home.join("pycache")).env("NO_PROXY", "*").env("no_proxy", "*");
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = command.spawn().context(self.program.display())?;
        if let Some(mut stdin) = child.stdin.take() {
            stdin.write_all(input.as_bytes())?;
        }
        let output = child.wait_with_output()?;
        if output.status.success() {
            return Ok(String::from_utf8_lossy(&output.stdout).into_owned());
        }
        let (printed, said) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
        Err(Error::new(format!("{script} {} failed:\n{printed}{said}", arguments.join(" "))))
    }
}

/// A Python with the packages of a requirements file, for the scripts beside it.
pub fn python(requirements: &Path) -> Result<Interpreter> {
    let base = std::env::var("PYTHON").unwrap_or_else(|_| "python3".into());
    let home = installed("python", &[requirements], |home| {
        let hint = "install Python 3.11 or newer with its venv module (Debian: python3-venv), or name one in PYTHON";
        run(Command::new(&base).args(["-m", "venv", "--clear"]).arg(home), hint)?;
        // The file names every package, so there is nothing to resolve.
        let install = "-m pip install --quiet --disable-pip-version-check --no-deps --no-compile --requirement";
        run(
            Command::new(home.join("bin/python")).args(install.split(' ')).arg(requirements),
            "pip could not install the packages: is a registry reachable?",
        )
    })?;
    let scripts = requirements.parent().context("a folder")?.to_owned();
    Ok(Interpreter { program: home.join("bin/python"), home, flags: &[], scripts })
}

/// A Node with the packages of the lock file in `scripts`.
pub fn node(scripts: &Path) -> Result<Interpreter> {
    let program = node_program()?;
    let files = [scripts.join("package.json"), scripts.join("package-lock.json")];
    let home = installed("node", &[&files[0], &files[1]], |home| {
        fs::create_dir_all(home)?;
        for file in &files {
            fs::copy(file, home.join(file.file_name().context("a name")?)).context(file.display())?;
        }
        // Packages are looked for in the folders above a script, so the scripts seem to lie here.
        let link = home.join("scripts");
        if fs::symlink_metadata(&link).is_err() {
            std::os::unix::fs::symlink(scripts, link)?;
        }
        let install = ["ci", "--ignore-scripts", "--no-audit", "--no-fund", "--loglevel=error"];
        let hint = "npm could not install the packages: is npm installed, and a registry reachable?";
        run(Command::new("npm").args(install).current_dir(home), hint)
    })?;
    let flags = &["--preserve-symlinks", "--preserve-symlinks-main"];
    Ok(Interpreter { program, flags, scripts: home.join("scripts"), home })
}

fn node_program() -> Result<PathBuf> {
    let program = PathBuf::from(std::env::var_os("NODE").unwrap_or_else(|| "node".into()));
    let output = Command::new(&program).arg("--version").stdin(Stdio::null()).output().context(NODE_HINT)?;
    let version = String::from_utf8_lossy(&output.stdout).trim().to_owned();
    let major = version.trim_start_matches('v').split('.').next().and_then(|major| major.parse::<u32>().ok());
    if major.is_some_and(|major| major >= 20) {
        return Ok(program);
    }
    Err(Error::new(format!("{NODE_HINT}: {} is {version}", program.display())))
}

/// The browser.
pub fn chromium() -> Result<PathBuf> {
    let usual = ["chromium", "chromium-browser", "google-chrome"].map(Into::into).to_vec();
    let names = std::env::var_os("CHROMIUM").map_or(usual, |named| vec![named]);
    // A path from the root stays what it is, whatever folder it is joined to.
    let folders = std::env::var_os("PATH").unwrap_or_default();
    let mut programs =
        std::env::split_paths(&folders).flat_map(|folder| names.iter().map(move |name| folder.join(name)));
    programs.find(|program| program.is_file()).context(CHROMIUM_HINT)
}

/// Packages in a folder that `install` has filled. It is named after what is in the files that say what to install, and
/// after where they are, so that a change makes a new one.
fn installed(kind: &str, files: &[&Path], install: impl FnOnce(&Path) -> Result<()>) -> Result<PathBuf> {
    let mut digest = Sha256::new();
    for file in files {
        digest.update(file.as_os_str().as_encoded_bytes());
        digest.update(fs::read(file).context(file.display())?);
    }
    let name = digest.finalize()[..8].iter().fold(String::new(), |text, byte| format!("{text}{byte:02x}"));
    let doing = format!("installing the {kind} packages of {} ...", files[0].display());
    kept(&format!("{kind}-{name}"), &doing, install)
}

/// A folder of this name that `install` has filled, once: a lock keeps parallel runs apart. `doing` tells whoever waits.
pub(super) fn kept(name: &str, doing: &str, install: impl FnOnce(&Path) -> Result<()>) -> Result<PathBuf> {
    // Not with `with_extension`, which would take the end of a version for one.
    let peers = target_directory().join("peers");
    let home = peers.join(name);
    fs::create_dir_all(&peers)?;
    let lock = File::create(peers.join(format!("{name}.lock")))?;
    lock.lock()?;
    let complete = home.join("complete");
    if !complete.exists() {
        // libtest hides what goes through its macros; this is for whoever waits.
        let _ = writeln!(std::io::stderr(), "{doing}");
        install(&home)?;
        File::create(complete)?;
    }
    Ok(home)
}

pub(super) fn run(command: &mut Command, hint: &str) -> Result<()> {
    let output = command.stdin(Stdio::null()).output().context(hint)?;
    if output.status.success() {
        return Ok(());
    }
    Err(Error::new(format!("{hint}\n{}", String::from_utf8_lossy(&output.stderr))))
}
